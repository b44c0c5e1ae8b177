"""Provides pytest fixtures for the tests of a Bento: `bento`, `serve`, `server`, `url`, and `client`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import pytest

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping
from rules_bento.run.testing.bentoml_server import NotReadyError, Server
from rules_bento.run.testing.bentoml_server import serve as run_server

if TYPE_CHECKING:
    from pathlib import Path


class Bento(NamedTuple):
    """The Bento under test: its tag, and the directory of its unpacked files."""

    tag: str  # name:version
    path: Path  # the directory that it is unpacked to


class Setting(NamedTuple):
    """The plugin's settings for a `bento_test` target."""

    bento: Bento
    python: Path
    directory: Path
    startup_timeout_seconds: float


class Servers:
    """A pytest plugin that starts servers for tests, and adds the servers' logs to reports of failed tests."""

    def __init__(self, setting: Setting) -> None:
        """Store the settings. The fixtures start the servers."""
        self.setting = setting
        self.logs: list[Path] = []
        self._numbers = count()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make this object available to the fixtures."""
        config.stash[_SERVERS] = self

    @contextmanager
    def serve(self, *options: str, variables: Mapping[str, str] | None = None) -> Iterator[Server]:
        """Run `bentoml serve` with `options` in the `with` block. Fails the test if the server doesn't start."""
        setting = self.setting
        directory = setting.directory / f"server{next(self._numbers)}"
        try:
            with run_server(
                setting.python,
                setting.bento.path,
                directory,
                seconds=setting.startup_timeout_seconds,
                options=options,
                variables=variables,
            ) as server:
                self.logs.append(server.log)
                yield server
        except NotReadyError as error:
            pytest.fail(str(error), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Any:
        """Add the logs of all servers to the report of a failed test."""
        report = yield
        if report.failed:
            for log in self.logs:
                report.sections.append(("log of the server", log.read_text("utf-8", "replace")))
        return report


_SERVERS = pytest.StashKey[Servers]()


@pytest.fixture(scope="session")
def bento(request: pytest.FixtureRequest) -> Bento:
    """Return the Bento under test: its tag, and the directory of its unpacked files."""
    return request.config.stash[_SERVERS].setting.bento


@pytest.fixture(scope="session")
def serve(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Server]]:
    """Return a function that runs a server in a `with` block. The function accepts options of `bentoml serve`."""
    return request.config.stash[_SERVERS].serve


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield the server that all tests of a target share. With sharding, each shard has its own server."""
    servers = request.config.stash[_SERVERS]
    with servers.serve() as server:
        yield server


@pytest.fixture(scope="session")
def url(server: Server) -> str:
    """Return the URL of the shared server, without a trailing slash."""
    return server.url


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """Yield a `bentoml.SyncHTTPClient` for the shared server."""
    import bentoml

    with bentoml.SyncHTTPClient(url) as client:
        yield client


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests of this shard: every nth test, where n is the number of shards."""
    shards = int(os.environ.get("TEST_TOTAL_SHARDS", "1"))
    if shards > 1:
        shard = int(os.environ["TEST_SHARD_INDEX"])
        config.hook.pytest_deselected(items=[item for at, item in enumerate(items) if at % shards != shard])
        items[:] = items[shard::shards]
