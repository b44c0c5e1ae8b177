"""Several transfers: the first error is shown at once, whatever the others wait for."""

import os
import pty
import random
import threading
import time

import pytest
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.net.transfers import Progress, Retry, fit, parallel_map, pause
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


@pytest.mark.parametrize("width", [1, 2, 10, 40, 60, 80, 120])
@pytest.mark.parametrize("length", [1, 5, 15, 32, 60])
def test_a_line_is_shorter_than_the_terminal(width, length):
    title = f"Pushing {'n' * length}:{'v' * 32} to localhost:5055/team/{'n' * length}"
    line = fit(title, "208 of 336 MB, 62 %, 36 MB/s", width)
    assert len(line) < max(width, 2)
    if width >= 60:
        assert line.endswith(": 208 of 336 MB, 62 %, 36 MB/s")
        assert line.startswith("Pushing n"[: width // 6])


@pytest.mark.parametrize("columns", [60, 80])
def test_progress_uses_one_line_of_a_terminal(columns):
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as out:  # noqa: PTH123
        import fcntl
        import struct
        import termios

        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with Progress("Pushing " + "iris_classifier" * 6, out=out) as progress:
            progress.expect_all(1000)
            for _ in range(5):
                progress._shown = 0
                progress.advance(random.randrange(100))
        shown = ""
        while not shown.endswith("\x1b[K\r\x1b[K"):  # the end of the block
            shown += os.read(ours, 1 << 16).decode()
    lines = [line.removesuffix("\x1b[K") for line in shown.split("\r") if line.strip()]
    assert len(lines) > 5
    assert all(len(line) < columns for line in lines), lines
    assert "\n" not in shown


def test_a_share_is_shown_only_of_a_known_total():
    states = []
    unknown = Progress("x")
    for size in (4, 20, 53):  # of files, of which each is known only when its download begins
        unknown.expect(size << 20)
        unknown.advance(size << 20)
        states.append(unknown._state(unknown._start + 1))
    assert not [state for state in states if "%" in state]
    known = Progress("x")
    known.expect_all(200 << 20)
    known.advance(50 << 20)
    assert "52 of 210 MB, 25 %" in known._state(known._start + 1)
    known.expect_all(-(100 << 20))  # a blob is mounted
    assert "52 of 105 MB, 50 %" in known._state(known._start + 1)
    known.advance(100 << 20)
    assert "%" not in known._state(known._start + 1)
    single = Progress("x", is_single=True)
    single.expect(100 << 20)
    assert "0 of 105 MB, 0 %" in single._state(single._start + 1)
