"""Says, without a network, whether a lock of Debian packages is what its target asks for; `bazel test` starts it."""

from __future__ import annotations

from pathlib import Path

from rules_bento.debian import apt
from rules_bento.errors import BentoError
from rules_bento.formats import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

REQUEST_FLAGS = {
    "--architecture": 1,
    "--exclude": 1,
    "--package": 1,
    "--suite": 1,
    "--target": 1,
}
FLAGS = REQUEST_FLAGS | {
    "--lock": 2,  # path, name
    "--update": 1,  # the target that writes it
}


def run(arguments: Arguments) -> None:
    """Compare what the lock records with the request, and hold that it is whole."""
    [(path, name)] = arguments.tuples("--lock")
    lock = apt.loads(decoded(Path(path).read_bytes(), name), name)
    problems = apt.problems_of(lock, read_request(arguments))
    if problems:
        listing = "".join(f"  {problem}\n" for problem in problems)
        raise BentoError(f"{name} is stale:\n{listing}Write it again: bazel run {arguments.required('--update')}")


def read_request(arguments: Arguments) -> apt.Request:
    """Return what a target asks for."""
    return apt.Request(
        suites=arguments.repeated("--suite"),
        architectures=arguments.repeated("--architecture"),
        packages=arguments.repeated("--package"),
        exclude=arguments.repeated("--exclude"),
    )
