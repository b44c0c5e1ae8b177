"""Real BentoML serves a Bento with a wheel of the repository's own."""


def test_the_wheel_answers(client):
    assert client.scale(value=3) == 1.5
