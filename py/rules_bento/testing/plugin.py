"""Fixtures for tests of a Bento: `bento`, `server`, `url`, `client`, `server_log`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from rules_bento.testing.server import NotReadyError, Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bento(NamedTuple):
    """The Bento under test."""

    tag: str  # name:version
    path: Path  # the folder that it is unpacked to


class Setting(NamedTuple):
    """What the target under test gives to the plugin."""

    bento: Bento
    python: Path
    folder: Path
    start_seconds: float
    options: tuple[str, ...]


class Plugin:
    """A pytest plugin for one Bento."""

    def __init__(self, setting: Setting) -> None:
        """Serve what `setting` says, when the first test asks for it."""
        self._setting = setting
        self._log: Path | None = None

    @pytest.fixture(scope="session")
    def bento(self) -> Bento:
        """The Bento: its tag and the folder that it is unpacked to."""
        return self._setting.bento

    @pytest.fixture(scope="session")
    def server(self) -> Iterator[Server]:
        """The server, which all tests of the target share."""
        setting = self._setting
        try:
            with serve(
                setting.python,
                setting.bento.path,
                setting.folder / "server",
                seconds=setting.start_seconds,
                options=setting.options,
            ) as server:
                self._log = server.log
                yield server
        except NotReadyError as error:
            pytest.fail(str(error), pytrace=False)

    @pytest.fixture(scope="session")
    def url(self, server: Server) -> str:
        """The server's address, without a slash at its end."""
        return server.url

    @pytest.fixture
    def client(self, url: str) -> Iterator[Any]:
        """A `bentoml.SyncHTTPClient` of the server."""
        import bentoml

        with bentoml.SyncHTTPClient(url) as client:
            yield client

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Any:
        """Show what the server wrote beside a test that failed."""
        report = yield
        if report.failed and self._log:
            report.sections.append(("log of the server", self._log.read_text("utf-8", "replace")))
        return report
