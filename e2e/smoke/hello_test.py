"""Sends a request to the service."""


def test_the_service_greets(client):
    assert client.greet(name="Bazel") == "Hello, Bazel!"
