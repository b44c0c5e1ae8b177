"""Tests each API of both services, the page, and the task with a real client."""

from __future__ import annotations

import asyncio
import urllib.request

import bentoml
import pytest
from sklearn.datasets import load_digits

DRAWINGS = load_digits().data.tolist()


def test_the_result_is_a_word_for_each_digit(client):
    assert client.read(drawings=DRAWINGS[:4]) == ["zero", "one", "two", "three"]


def test_words_can_be_german(client):
    assert client.read(drawings=DRAWINGS[5:6], language="de") == ["fünf"]


def test_an_invalid_drawing_is_rejected(client):
    with pytest.raises(bentoml.exceptions.BentoMLException):
        client.read(drawings=["none"])


def test_the_entry_service_calls_the_other_service(client):
    assert client.size() >= len(DRAWINGS)


def test_a_search_is_a_task(url):
    assert asyncio.run(search(url, DRAWINGS[7], 2))[0] == 7


async def search(url: str, drawing: list[float], count: int) -> list[int]:
    """Submit a search and wait for it; the client that is not asynchronous cannot submit (BentoML 1.4.39, 1.4.40)."""
    async with bentoml.AsyncHTTPClient(url) as client:
        task = await client.search.submit(drawing=drawing, count=count)
        while (await task.get_status()).value == "in_progress":
            await asyncio.sleep(0.1)
        return await task.get()


@pytest.mark.parametrize("digit", [0, 9])
def test_the_page_is_mounted(url, digit):
    with urllib.request.urlopen(f"{url}/gallery/{digit}") as response:
        assert f"Draw a {digit}" in response.read().decode()


def test_three_models_are_bundled(bento):
    names = {path.name for path in (bento.path / "models").iterdir()}
    assert names == {"digit_names", "digits_clf", "digits_index"}
