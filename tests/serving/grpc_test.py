"""A legacy service answers over gRPC, and over HTTP as others do."""

import json
import os
import socket
import subprocess
import urllib.request

import grpc
import pytest
from bentoml.grpc.v1 import service_pb2, service_pb2_grpc
from google.protobuf import struct_pb2, wrappers_pb2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def stub(bento, tmp_path_factory):
    """A client of a server; `bentoml.server.GrpcServer` cannot be waited for, it asks over HTTP whether it is ready."""
    port, metrics = free_port(), free_port()
    log = tmp_path_factory.mktemp("grpc") / "log"
    command = [
        "bentoml", "serve-grpc", str(bento.path), "--host", "127.0.0.1", "--port", str(port), "--api-workers", "1",
    ]  # fmt: skip
    variables = os.environ | {"BENTOML_CONFIG_OPTIONS": f"api_server.grpc.metrics.port={metrics}"}
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=variables, cwd=log.parent, stdout=output, stderr=output)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=600)
            except grpc.FutureTimeoutError:
                pytest.fail(log.read_text("utf-8"), pytrace=False)
            yield service_pb2_grpc.BentoServiceStub(channel)
    finally:
        server.terminate()
        server.wait(60)


def test_texts_travel(stub):
    request = service_pb2.Request(api_name="shout", text=wrappers_pb2.StringValue(value="hello"))
    assert stub.Call(request, timeout=600).text.value == "HELLO"


def test_json_travels(stub):
    rows = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[struct_pb2.Value(number_value=21)]))
    response = stub.Call(service_pb2.Request(api_name="double", json=rows), timeout=600)
    assert [value.number_value for value in response.json.list_value.values] == [42]


def test_its_metadata_names_the_apis(stub):
    metadata = stub.ServiceMetadata(service_pb2.ServiceMetadataRequest(), timeout=600)
    assert {api.name for api in metadata.apis} == {"double", "shout"}


def test_http_serves_it_as_well(url):
    request = urllib.request.Request(f"{url}/double", json.dumps([1, 2]).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        assert json.load(response) == [2, 4]
