"""The actions of a Bento whose service is imported, and the real BentoML."""

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.import_differences import compared
from rules_bento.actions.bento_sources import snapshot
from rules_bento.actions.package import make_bento, package
from rules_bento.actions.service import import_service
from rules_bento.base.subcommand_arguments import decode

from tests.conftest import locked_wheels
from tests.helpers.projects import real_builder, write_project


@pytest.fixture(scope="module")
def real():
    # Not where Bazel keeps what tests write: BentoML refuses files below a folder whose name begins with a dot.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rules_bento-") as temporary:
        builder = real_builder(Path(temporary))
        yield builder
        builder.close()


class Build:
    """The actions of a Bento, one after the other."""

    def __init__(self, directory: Path, project: dict) -> None:
        self.directory = directory
        self.project = write_project(directory / "svc", project, "")
        self.packaged: list[str] = []

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def snapshot(self, *more: str) -> str:
        words = ["--target", "//svc:bento", "--build-ctx", "svc", "--service", "service:Svc", *more]
        for path in filter(Path.is_file, self.project.rglob("*")):
            words += ["--source", str(path), f"svc/{path.relative_to(self.project)}", f"//svc:{path.name}"]
        words += ["--manifest", self.path("manifest"), "--part", self.path("part"), "--unused", self.path("unused")]
        self.run(snapshot, [*words, "--service-info", self.path("snapshot")])
        return self.path("snapshot")

    def imported(self, *more: str) -> str:
        words = ["--target", "//svc:bento", "--service-info", self.path("snapshot"), "--part", self.path("part")]
        words += ["--openapi", self.path("openapi"), "--output", self.path("imported"), *more]
        words += [word for root in locked_wheels() for word in ("--root", str(root))]
        self.run(import_service, words)
        return self.path("imported")

    def package(self, service_info: str, builder, *more: str) -> dict:
        words = [
            *("--target", "//svc:bento", "--creation-time", "1980-01-01T00:00:00+00:00", "--attributes"),
            '{"version": "v1"}',
        ]
        words += ["--bentoml-version", builder.version, "--python-version", builder.python_version, *more]
        words += ["--sources", self.path("manifest"), "--service-info", service_info]
        outputs = ("bento-yaml", "digest", "imports", "manifest", "part", "tag")
        self.packaged = words + [word for name in outputs for word in (f"--{name}", self.path(f"made.{name}"))]
        self.run(package, self.packaged)
        return yaml.safe_load(Path(self.path("made.bento-yaml")).read_text("utf-8"))

    def compared(self, imported: str) -> str:
        request = decode(package, self.packaged)
        read, other = (json.loads(Path(path).read_text("utf-8")) for path in (request.service_info, imported))
        return "\n".join(
            compared(read["service"], other["service"], make_bento(request, read), make_bento(request, other))
        )

    def run(self, verb, words: list[str]) -> None:
        verb(decode(verb, words))
