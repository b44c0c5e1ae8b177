"""The language model answers, on whatever device the machine has."""

from __future__ import annotations


def test_it_continues_a_text_and_does_so_again(client):
    first = client.generate(prompt="Once upon", tokens=4)
    assert first
    assert client.generate(prompt="Once upon", tokens=4) == first
