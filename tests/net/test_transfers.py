"""Several transfers: the first error is shown at once, whatever the others wait for."""

import io
import re
import threading
from unicodedata import east_asian_width

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, terminal
from rules_bento.base.net.transfers import Progress, Retry, StoppedError, parallel_map, pause
from rules_bento.base.net.transport import Transport

from tests.net.liar import liar, reply


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na"])
def test_an_error_is_shown_before_others_have_waited_for_their_servers(first):
    waiting = threading.Event()
    over = threading.Event()
    waited = []

    def answer(_):
        yield first
        waiting.set()
        waited.append(over.wait(60))

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
    with liar(answer) as server, pytest.raises(BentoError, match="wrong"):
        parallel_map(one, [server.url, ""])
    assert not waited, "the error came before the end of the other transfer"
    over.set()
    assert len(server.requests) == 1


def test_an_error_stops_transfers_of_transfers():
    waits, waited = threading.Event(), []

    def inner(_):
        waits.set()
        waited.append(pause(60))

    def one(number):
        if number:
            return parallel_map(inner, [1, 2])
        waits.wait(60)
        raise BentoError("wrong")

    with pytest.raises(BentoError, match="wrong"):
        parallel_map(one, [1, 0])
    assert not waited


def test_an_error_ends_the_pauses_of_others():
    waits, waited = threading.Event(), []

    def one(waiting):
        if not waiting:
            waits.wait(60)
            raise BentoError("wrong")
        waits.set()
        waited.append(pause(60))

    with pytest.raises(BentoError, match="wrong"):
        parallel_map(one, [True, False])
    assert not waited


def test_an_interruption_before_the_last_transfer_starts_stops_the_others():
    waits, stopped = threading.Event(), []

    def one(_):
        waits.set()
        try:
            pause(60)
        except StoppedError as error:
            stopped.append(error.interrupted)

    def items():
        yield 1
        waits.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel_map(one, items())
    assert stopped == [True]


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


class Terminal(io.StringIO):
    """A terminal with a width."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("width", [1, 2, 10, 40, 60, 80, 120])
@pytest.mark.parametrize("name", ["n", "nnnnn", "n" * 60, "\u6f22" * 40, "a\tb\r\n\x1b[31m"])
@pytest.mark.parametrize("total", [0, 1, 5, 336 << 20, 9 << 40])
def test_a_line_is_shorter_than_the_terminal(monkeypatch, width, name, total):
    monkeypatch.setattr(terminal, "columns", lambda _: width)
    monkeypatch.setattr(terminal.state, "color", "never")
    for done in {0, total // 3, total, total + 7}:
        title = f"Pushing {name}:{'v' * 32} to localhost:5055/team/{name}"
        line = terminal.progress_line(title, done, total, 3.0, Terminal())
        assert sum(2 if east_asian_width(char) in "WF" else 1 for char in line) < max(width, 2)
        assert line.isprintable()
    if width >= 80 and total == 336 << 20:
        assert line.startswith("Pushing ")
        line = terminal.progress_line("Pushing x", 208 << 20, total, (208 << 20) / 6, Terminal())
        assert re.fullmatch("Pushing x  \u2501+\u2500+  61 %  208.0/336.0 MiB  34.7 MiB/s  0:03", line)
        assert len(line) == width - 1
        line = terminal.progress_line("Pushing x", 208 << 20, total, (1 << 20) / 60, Terminal())
        assert line.endswith("17.1 KiB/s  2:08:00")
        line = terminal.progress_line("Pushing x", total - 1, total, 1 << 30, Terminal())
        assert line.endswith("99 %  336.0/336.0 MiB  1.0 GiB/s  0:01"), "it isn't at the end"
        line = terminal.progress_line("Pushing x", total, total, 1 << 30, Terminal())
        assert line.endswith("100 %  336.0/336.0 MiB  1.0 GiB/s")
        line = terminal.progress_line("Writing layers", 7, 11, None, Terminal())
        assert re.fullmatch("Writing layers  \u2501+\u2500+  7/11", line)
        assert terminal.progress_line("Finding wheels", 0, 0, 0, Terminal()).rstrip() == "Finding wheels"


def test_a_share_is_shown_only_of_a_known_total():
    unknown, known, single = Progress("x"), Progress("x"), Progress("x", is_single=True)

    def state(progress):
        return terminal.amounts(progress._furthest, progress._total, progress._moved)

    for size in (4, 20, 53):  # of files, of which each is known only when its download begins
        unknown.expect(size << 20)
        unknown.advance(size << 20)
        assert "%" not in "".join(state(unknown))
    known.expect_all(200 << 20)
    known.advance(50 << 20)
    assert state(known) == ["25 %", "50.0/200.0 MiB", "50.0 MiB/s", "0:03"]
    known.advance(100 << 20, is_moved=False)  # a blob is mounted
    assert state(known) == ["75 %", "150.0/200.0 MiB", "50.0 MiB/s", "0:01"]
    known.advance(-(100 << 20))  # and lost
    assert state(known)[:2] == ["75 %", "150.0/200.0 MiB"]
    known.expect_all(100 << 20)
    assert state(known) == ["150.0 MiB", "50.0 MiB/s"], "the total is unknown"
    known.begin("y")
    known.expect_all(100 << 20)
    assert state(known) == ["0 %", "0.0/100.0 MiB"]
    resumed = known.tally()
    resumed(40 << 20)
    resumed(50 << 20)
    assert state(known) == ["50 %", "50.0/100.0 MiB", "10.0 MiB/s", "0:05"]
    single.expect(100 << 20)
    assert state(single)[:2] == ["0 %", "0.0/100.0 MiB"]


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    out = io.StringIO()
    with Progress("Pushing x", 1000, out) as progress:
        progress.advance(10)
        assert out.getvalue() == ""
        progress._start, progress._shown = progress._start - 30, progress._shown - 30
        progress.advance(90)
        progress.advance(90)
        progress._shown -= 30
        assert [progress._shown, *progress.counted("Writing layers", "ab")][1:] == ["a", "b"]
    assert out.getvalue() == "Pushing x: 10 %, 100/1000 B, 3 B/s, 4:30\nWriting layers: 0/2\n"


@pytest.mark.parametrize(
    ("variables", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_the_environment_selects_colors(monkeypatch, variables, is_terminal, expected):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(terminal.state, "color", "auto")
    assert terminal.is_colored(Terminal() if is_terminal else io.StringIO()) is expected
