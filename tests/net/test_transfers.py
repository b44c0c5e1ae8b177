"""Several transfers: the first error is shown at once, whatever the others wait for."""

import threading
import time

import pytest
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.net.transfers import Retry, parallel_map, pause
from rules_bento.net.transport import Transport

from tests.net.liar import liar, reply


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na"])
def test_an_error_is_shown_before_others_have_waited_for_their_servers(first):
    waiting = threading.Event()
    over = threading.Event()

    def answer(_):
        yield first
        waiting.set()
        over.wait(60)

    def one(url):
        if not url:
            waiting.wait(60)
            raise BentoError("wrong")
        retry = Retry()
        while True:
            try:
                with transport.exchange("GET", url, {}) as response:
                    return response.read(1000)
            except ConnectionLostError:
                assert retry.again()

    transport = Transport()
    begin = time.monotonic()
    with liar(answer) as server, pytest.raises(BentoError, match="wrong"):
        parallel_map(one, [server.url, ""])
    over.set()
    assert time.monotonic() - begin < 5
    assert len(server.requests) == 1


def test_an_error_stops_transfers_of_transfers():
    waits = threading.Event()

    def inner(_):
        waits.set()
        pause(60)

    def one(number):
        if number:
            return parallel_map(inner, [1, 2])
        waits.wait(60)
        raise BentoError("wrong")

    begin = time.monotonic()
    with pytest.raises(BentoError, match="wrong"):
        parallel_map(one, [1, 0])
    assert time.monotonic() - begin < 5


def test_an_error_ends_the_pauses_of_others():
    waits = threading.Event()

    def one(waiting):
        if not waiting:
            waits.wait(60)
            raise BentoError("wrong")
        waits.set()
        pause(60)

    begin = time.monotonic()
    with pytest.raises(BentoError, match="wrong"):
        parallel_map(one, [True, False])
    assert time.monotonic() - begin < 5


def test_connections_are_left_alone_where_nothing_fails():
    with liar(lambda request: reply(body=request.path.encode())) as server:
        transport = Transport()

        def one(number):
            with transport.exchange("GET", f"{server.url}/{number}", {}) as response:
                return response.read(1000)

        assert parallel_map(one, range(20)) == [b"/%d" % number for number in range(20)]


def test_a_server_that_never_answers_is_asked_three_times():
    over = threading.Event()

    def answer(_):
        over.wait(20)
        return reply()

    transport = Transport(patience=0.2)

    def once():
        with transport.exchange("GET", server.url, {}) as response:
            return response.read(10)

    with liar(answer) as server:
        with pytest.raises(BentoError, match="lost: timed out"):
            Retry(sleep=lambda _: None).run(once, lambda cut: BentoError(f"lost: {cut}"))
        assert len(server.requests) == 3
        over.set()
