"""A service serves whose image names a file, wherever Bazel's folders are."""


def test_it_serves(client):
    assert client.hello() == "hello"
