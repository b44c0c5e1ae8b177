"""A server under test has the models that the archive leaves out."""


def test_it_has_its_weights(client):
    assert client.read() == ["seven"]
