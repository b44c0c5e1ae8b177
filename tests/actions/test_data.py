"""`data` lie in a part of their own, and the Bento is the same."""

import io
import json
import lzma
import tarfile

import pytest

from tests.actions.helper import LABEL, Actions, described

WEIGHTS = "svc/weights.bin"
SERVICE = "svc/service.py"


@pytest.fixture
def actions(tmp_path):
    made = Actions(tmp_path)
    made.write(WEIGHTS, b"weights")
    return made


def pack(actions, *more: str, sources=(), data=(WEIGHTS,)):
    """BentoData of the package `svc`."""
    arguments = ["--target", LABEL, "--build-ctx", "svc", *more]
    arguments += [word for path in sources for word in described("--source", path)]
    arguments += [word for path in data for word in described("--data", path)]
    done = actions.run("data_part", arguments, {"--manifest": "data.json", "--part": "data.part"})
    assert done.code == 0, done.errors
    return done.outputs


def names(part: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:xz") as archive:
        return archive.getnames()


def paths(manifest: bytes) -> list[str]:
    return [entry["path"] for entry in json.loads(manifest)]


def test_the_parts_have_no_file_in_common_and_the_manifest_has_all(actions):
    together = actions.snapshot(data=[WEIGHTS])
    packed = pack(actions)
    apart = actions.snapshot(
        data=[WEIGHTS], more=["--packed-data", actions.write("bazel-out/packed.json", packed["--manifest"])]
    )
    assert apart.outputs["--manifest"] == together.outputs["--manifest"]
    assert names(together.outputs["--part"]) == ["./src/service.py", "./src/weights.bin"]
    assert names(apart.outputs["--part"]) == ["./src/service.py"]
    assert names(packed["--part"]) == ["./src/weights.bin"]


def test_patterns_and_ignore_files_apply_to_data(actions):
    data = [WEIGHTS, actions.write("svc/raw/a.csv"), actions.write("svc/raw/b.csv"), actions.write("svc/raw/c.txt")]
    ignored = actions.write("svc/raw/.bentoignore", "b.csv\n")
    packed = pack(actions, "--exclude", "*.txt", sources=[ignored], data=data)
    assert paths(packed["--manifest"]) == ["raw/a.csv", "weights.bin"]
    assert names(packed["--part"]) == ["./src/raw/a.csv", "./src/weights.bin"]


def test_a_source_layout_strips_data_too(actions):
    inside = actions.write("svc/src/table.csv", "1,2")
    packed = pack(actions, "--options", json.dumps({"python": {"is_src_layout": True}}), data=[inside])
    assert paths(packed["--manifest"]) == ["table.csv"]


def test_data_that_all_patterns_drop_leave_an_empty_part(actions):
    packed = pack(actions, "--exclude", "*.bin")
    assert json.loads(packed["--manifest"]) == []
    assert lzma.decompress(packed["--part"]) == b""


def test_the_service_may_lie_in_data(actions):
    service = actions.write(SERVICE, "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n")
    packed = pack(actions, data=[service])
    seen = actions.snapshot(
        srcs=[WEIGHTS],
        data=[service],
        more=["--packed-data", actions.write("bazel-out/packed.json", packed["--manifest"])],
    )
    assert seen.code == 0, seen.errors
    assert json.loads(seen.outputs["--service-info"])["service"]["services"][0]["name"] == "Service"
