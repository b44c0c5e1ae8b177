"""Describes what `bento verify --rebuild` proved of an image, and from what, for attestations."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from shutil import which

from rules_bento.base.display import some, without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping
from rules_bento.bentos.packages.uv import require_uv, version_of
from rules_bento.images.signing import provenance, verification

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.sharing.image_proof import Proof

_REMEDY = "Commit the changes, or verify without --attest."
# Git runs no program that the repository names, and changes nothing in it.
_GIT = (
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "-c",
    "core.pager=cat",
)


def commit_of(source: Path) -> dict[str, Any]:
    """Return the commit of a repository as an SLSA resource descriptor.

    Raises BentoError if a directory isn't in a repository, or if its files aren't the commit's.
    """
    place = f"--attest: {source}"
    if not which("git"):
        raise BentoError("Git, which names the commit, isn't installed", place=place, remedy="Install Git.")
    if changed := _git(source, place, "status", "--porcelain=v1", "--untracked-files=all", "--ignore-submodules=none"):
        names = [line[3:] for line in changed.splitlines()]
        raise BentoError(f"files differ from the commit: {some(names, 1)}", place=place, remedy=_REMEDY)
    commit = _git(source, place, "rev-parse", "--verify", "HEAD^{commit}")
    address = without_credentials(_git(source, place, "config", "--get", "--default=", "remote.origin.url"))
    is_url = "://" in address
    kind = "sha256" if len(commit) == 64 else "sha1"
    return {"uri": f"git+{address}" if is_url else "git", "digest": {"gitCommit": commit, kind: commit}}


def _git(source: Path, place: str, *words: str) -> str:
    env = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *_GIT, "-C", str(source), *words], capture_output=True, encoding="utf-8", errors="replace", env=env
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no output"])[-1].removeprefix("fatal: ")
        raise BentoError(f"Git can't name the commit: {said[:300]}", place=place, remedy=_REMEDY)
    return done.stdout.rstrip("\n")


def predicate(proof: Proof, name: str, options: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return the summary of a proof without findings.

    `name` is `HOST/REPOSITORY`, or the name of a layout. `options` specify what the image must contain. `version` is
    the version of the command.
    """
    uv = version_of(require_uv("installs packages"))
    versions = {"bento": version, "python": platform.python_version(), "uv": uv}
    images = [*map(_image, proof.reports)]
    return verification.summary(f"oci://{name}", images, proof.trusted, options, versions)


def _image(report: Any) -> dict[str, Any]:
    files, sizes = (sum(map(Counter, each), Counter[str]()) for each in (report.proven, report.sizes))
    return {
        "digest": provenance.dependency("", report.digest)["digest"],
        "platform": report.platform,
        "command": report.command,
        "proven": {origin: {"files": files[origin], "bytes": sizes[origin]} for origin in sorted(files)},
        "unproven_files": len(report.unproven),
        "unproven_bytes": sum(size for *_, size in report.unproven),
    }
