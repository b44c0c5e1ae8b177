"""Stamps Bentos with labels: a new commit reruns only fast actions, and rebuilds no other Bento."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Checkout, Result, Workbench

BUILD = """\
load("//rules:defs.bzl", "bento_package")

[
    bento_package(name = name, srcs = ["service.py"], service = "service:Service", labels = labels)
    for name, labels in {
        "plain": {},
        "stable": {"commit": "{STABLE_COMMIT}"},
        "volatile": {"commit": "{COMMIT}"},
    }.items()
]
"""
STATUS = "#!/bin/sh\necho STABLE_COMMIT {0}\necho COMMIT {0}\n"
ARCHIVES = "bazel-bin/stamps"


def a_new_commit_rebuilds_little(bench: Workbench) -> str:
    """Build after new commits: stable keys rewrite the archive's bento.yaml, volatile keys only with other changes."""
    checkout = bench.plain
    checkout.write("stamps/BUILD.bazel", BUILD)
    checkout.write("stamps/service.py", "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n")
    build(checkout, "1111", stamp=False)
    assert not any("commit" in document(checkout, name) for name in ("plain", "stable", "volatile"))
    unstamped = {name: tag(checkout, name) for name in ("plain", "stable", "volatile")}
    first = build(checkout, "1111")
    assert first.ran == ["BentoArchive", "BentoArchive", "BentoStamp", "BentoStamp"], first.ran
    assert "commit: '1111'" in document(checkout, "stable")
    again = build(checkout, "2222")
    assert again.ran == ["BentoArchive", "BentoStamp"], again.ran
    assert {spawn.target for spawn in again.spawns} == {"//stamps:stable"}
    assert "commit: '2222'" in document(checkout, "stable")
    assert "commit: '1111'" in document(checkout, "volatile"), "nothing but the commit has changed"
    assert unstamped == {name: tag(checkout, name) for name in unstamped}, "a stamp is no part of the identity"
    checkout.write("stamps/service.py", checkout.read("stamps/service.py") + "# A remark.\n")
    build(checkout, "3333")
    assert "commit: '3333'" in document(checkout, "volatile")
    labels_of_the_command_line(checkout)
    return f"a new commit takes {again.seconds:.2f} s"


def build(checkout: Checkout, commit: str, *, stamp: bool = True) -> Result:
    checkout.write("status.sh", STATUS.format(commit))
    (checkout.root / "status.sh").chmod(0o755)
    flags = [f"--workspace_status_command={checkout.root}/status.sh", *(["--stamp"] if stamp else [])]
    return checkout.build("//stamps/...", "--output_groups=+tag,+bento_yaml", *flags)


def document(checkout: Checkout, name: str) -> str:
    """Return bento.yaml in the archive."""
    with tarfile.open(checkout.root / ARCHIVES / f"{name}.bento", "r:xz") as archive:
        file = archive.extractfile("./bento.yaml")
        assert file
        return file.read().decode()


def tag(checkout: Checkout, name: str) -> str:
    return checkout.read(f"{ARCHIVES}/{name}.tag")


def labels_of_the_command_line(checkout: Checkout) -> None:
    """Set labels on the command line. They become part of the Bento's identity."""
    before = tag(checkout, "plain")
    labels = ["--//rules:labels=team=ml", "--//rules:labels=note=a=b"]
    checkout.build("//stamps:plain", "--output_groups=+tag", *labels)
    assert "labels:\n  team: ml\n  note: a=b\n" in document(checkout, "plain")
    assert tag(checkout, "plain") != before
