"""Parses names of images: `[registry/]repository[:tag][@digest]`, as docker and podman do."""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import dataclass, replace
from rules_bento.errors import BentoError
from rules_bento.registry.descriptor import is_digest

# What the format says of names without a registry: they are Docker Hub's, which has three host names.
DEFAULT_REGISTRY = "docker.io"
_DEFAULT_ALIAS = "index.docker.io"
_DEFAULT_API = "registry-1.docker.io"
_DEFAULT_CREDENTIALS = "https://index.docker.io/v1/"
_DEFAULT_NAMESPACE = "library"

SCHEME = "oci://"
"""What references begin with where other addresses may stand, too."""

_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Reference:
    """Names a repository of a registry and, perhaps, a tag or digest in it. Made by `parse`."""

    registry: str  # host, or host:port
    repository: str
    tag: str = ""
    digest: str = ""  # algorithm:hexadecimal

    @staticmethod
    def parse(text: str, shown: str = "") -> Reference:
        """Read a name as users write it, `shown` in messages. Raises BentoError for what is none."""
        shown = shown or text
        rest, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise _not_behind_at(shown)
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            name, tag = rest, ""
        elif not _TAG.fullmatch(tag):
            raise BentoError(f"{shown!r}: {_tag_problem(tag)}")
        registry, repository = _split(name)
        if not _HOST.fullmatch(registry):
            raise BentoError(
                f"{shown!r}: {registry!r} is no host name. Write `host:port/repository`, without a scheme."
            )
        if not _NAME.fullmatch(repository) or len(repository) > _LONGEST_NAME:
            raise BentoError(
                f"{shown!r}: {repository!r} is no repository. Its parts, between '/', are lower-case letters and "
                f"digits, with '.', '_', '__' or '-' between them; at most {_LONGEST_NAME} characters."
            )
        return Reference(registry, repository, tag, digest)

    @staticmethod
    def of_address(text: str) -> Reference:
        """Read `oci://registry/repository[:tag][@digest]`, where nothing is left to defaults. Raises as `parse`."""
        rest = text.removeprefix(SCHEME)
        host, slash, name = rest.partition("/")
        if rest == text or not slash:
            raise BentoError(f"{text!r}: is no place in a registry. Write `{SCHEME}registry/repository:tag`.")
        if "@" in host:
            raise _not_behind_at(text)
        # A dot makes the first part a host for `parse`; the name itself may be one without.
        known = Reference.parse(f"host.invalid/{name}", text)
        if not _HOST.fullmatch(host):
            raise BentoError(f"{text!r}: {host!r} is no host name. Write `{SCHEME}host:port/repository`.")
        return replace(known, registry=DEFAULT_REGISTRY if host == _DEFAULT_ALIAS else host)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Return registry and repository as one text."""
        return f"{self.registry}/{self.repository}"

    @property
    def target(self) -> str:
        """Return what a manifest is asked for by: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def api_host(self) -> str:
        """Return where the registry's API listens: host, or host:port."""
        return _DEFAULT_API if self.registry == DEFAULT_REGISTRY else self.registry

    @property
    def credentials_key(self) -> str:
        """Return the name under which credential stores keep the registry."""
        return _DEFAULT_CREDENTIALS if self.registry == DEFAULT_REGISTRY else self.registry

    def with_tag(self, tag: str) -> Reference:
        """Return the same repository under a tag. Raises BentoError for what is no tag."""
        if not _TAG.fullmatch(tag):
            raise BentoError(f"{self.name}: {_tag_problem(tag)}")
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """Return the same repository, what has the digest."""
        return replace(self, tag="", digest=digest)


def names_registry(name: str) -> bool:
    """Return whether a name begins with a registry: its first part is a host if it cannot be anything else."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first or first.lower() != first)


def _not_behind_at(text: str) -> BentoError:
    """Return the refusal of an `@` that no digest follows; what stands before it may be a password."""
    return BentoError(
        f"…@{text.rpartition('@')[2]!r}: is no digest. Write `@sha256:` and 64 hexadecimal digits; user and password "
        "are taken from the logins of docker or podman, or from netrc, and never from a reference."
    )


def _split(name: str) -> tuple[str, str]:
    """Split a reference into registry and repository."""
    first, slash, rest = name.partition("/")
    if not names_registry(name):
        return DEFAULT_REGISTRY, name if slash else f"{_DEFAULT_NAMESPACE}/{name}"
    if first in (DEFAULT_REGISTRY, _DEFAULT_ALIAS):
        return DEFAULT_REGISTRY, rest if "/" in rest else f"{_DEFAULT_NAMESPACE}/{rest}"
    return first, rest


def _tag_problem(tag: str) -> str:
    return f"{tag!r} is no tag. Take at most 128 letters, digits, '_', '.' and '-', with a letter, digit or '_' first."
