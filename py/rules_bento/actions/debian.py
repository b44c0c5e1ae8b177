"""Subcommands that check locks of Debian packages, and write layers with these packages."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.debian import apt
from rules_bento.errors import BentoError
from rules_bento.formats import decode_text
from rules_bento.images.layers import description
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from rules_bento.debian.rootfs import Rootfs


REQUEST_FLAGS = {"--architecture": 1, "--exclude": 1, "--package": 1, "--suite": 1}


@Subcommand(
    REQUEST_FLAGS
    | {
        "--lock": 2,  # path, name
        "--update": 1,  # the target that updates the lock
    }
)
def check_debs(arguments: Arguments) -> None:
    """Raise BentoError if a lock is inconsistent, or doesn't match the packages that a target requests."""
    [(path, name)] = arguments.tuples("--lock")
    lock = apt.loads(decode_text(Path(path).read_bytes(), name), name)
    problems = apt.find_problems(lock, read_request(arguments))
    if problems:
        listing = "".join(f"  {problem}\n" for problem in problems)
        update = f"To update the lock, run `bazel run {arguments.required('--update')}`."
        raise BentoError(f"{name} is stale:\n{listing}{update}")


def read_request(arguments: Arguments) -> apt.Request:
    """Convert the flags to a request for Debian packages."""
    return apt.Request(
        suites=arguments.repeated("--suite"),
        architectures=arguments.repeated("--architecture"),
        packages=arguments.repeated("--package"),
        exclude=arguments.repeated("--exclude"),
    )


# Installed first: this package creates the links of a merged /usr, and the directories with their modes.
_FIRST_PACKAGE = "base-files_"


@Subcommand(
    description.FLAGS
    | {
        "--architecture": 1,  # Debian's name of it
        "--certificate": 1,
        "--deb": 1,
        "--exclude": 1,
        "--include": 1,
        "--index": 1,
        "--lower": 1,  # index of the layers below
        "--symlink": 2,  # path in the image, target
        "--user": 2,  # name, number
    }
)
def deb_layer(arguments: Arguments) -> None:
    """Install Debian packages into a layer, and write the layer's description and index. Runs no maintainer scripts."""
    from rules_bento.debian import system
    from rules_bento.debian.rootfs import PathFilter, Rootfs
    from rules_bento.images.layers.layer import write_tar_layer

    lower = arguments.optional("--lower")
    root = Rootfs(
        json.loads(Path(lower).read_text("utf-8")) if lower else None,
        PathFilter.from_patterns(arguments.repeated("--exclude"), arguments.repeated("--include")),
        system.is_captured,
        system.GENERATED_LINKS,
    )
    below = set(root.packages)
    out, compression = description.output(arguments)
    info = write_tar_layer(out, _deb_tar(arguments, root, is_lowest=not lower), compression)
    added = list(root.packages.keys() - below)
    name = f"Debian package {added[0]}" if len(added) == 1 else f"{len(added)} Debian packages"
    description.describe(arguments, info, name)
    Path(arguments.required("--index")).write_text(json.dumps(root.index(), indent=0) + "\n", "utf-8")


def _deb_tar(arguments: Arguments, root: Rootfs, *, is_lowest: bool) -> Iterator[bytes]:
    from rules_bento.debian import system
    from rules_bento.debian.deb import Deb

    debs = [Path(path) for path in dict.fromkeys(arguments.repeated("--deb"))]
    for path in sorted(debs, key=lambda path: (not path.name.startswith(_FIRST_PACKAGE), path.name)):
        yield from root.install(Deb(path), arguments.optional("--architecture"))
    if is_lowest:
        yield from system.directories(root)
        yield from system.users(root, _user_ids(arguments.pairs("--user")))
        yield from system.name_service(root)
    certificates = [(path, Path(path).read_bytes()) for path in arguments.repeated("--certificate")]
    yield from system.certificates(root, certificates)
    for link, target in sorted(arguments.pairs("--symlink").items()):
        yield from root.link(link.strip("/"), target)
    yield from root.database()


def _user_ids(users: dict[str, str]) -> dict[str, int]:
    for name, number in users.items():
        if not number.isdecimal():
            raise BentoError(f"users: {name}: expected a decimal user ID, got {number!r}.")
    return {name: int(number) for name, number in users.items()}
