"""Parses image references (`[registry/]repository[:tag][@digest]`) as docker and podman do."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.images.registry.descriptor import is_digest

# Docker Hub is the default registry, and has three host names.
DEFAULT_REGISTRY = "docker.io"
_DEFAULT_ALIAS = "index.docker.io"
_DEFAULT_API = "registry-1.docker.io"
_DEFAULT_CREDENTIALS = "https://index.docker.io/v1/"
_DEFAULT_NAMESPACE = "library"

SCHEME = "oci://"  # scheme of references in options that also accept other URLs
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MAX_NAME = 255


@dataclass(frozen=True)
class Reference:
    """A reference to a repository or to an image in the repository. Use `parse` or `from_url` to create a reference.

    >>> Reference.parse("registry.example.com/acme/iris:v1").repository
    'acme/iris'
    """

    registry: str  # host, or host:port
    repository: str
    tag: str = ""
    digest: str = ""  # algorithm:hexadecimal

    @staticmethod
    def parse(text: str, shown: str = "") -> Reference:
        """Parse a reference. Raises BentoError for an invalid reference. `shown` replaces `text` in the message."""
        shown = shown or text
        rest, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise _digest_error(shown)
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            name, tag = rest, ""
        elif not _TAG.fullmatch(tag):
            raise BentoError(_tag_error(tag), place=repr(shown))
        registry, repository = _split_registry(name)
        if not _HOST.fullmatch(registry):
            problem = f"invalid host name {registry!r}"
            raise BentoError(problem, place=repr(shown), remedy="Write `host:port/repository` without a scheme.")
        if not _NAME.fullmatch(repository) or len(repository) > _MAX_NAME:
            problem = f"invalid repository {(repository if repository in name else name)!r}"
            remedy = f"Use at most {_MAX_NAME} characters: lowercase letters and digits, separated by '.', '_', "
            remedy += "'__', '-', or '/'."
            raise BentoError(problem, place=repr(shown), remedy=remedy)
        return Reference(registry, repository, tag, digest)

    @staticmethod
    def from_url(text: str) -> Reference:
        """Parse `[oci://]registry/repository[:tag][@digest]`. Raises BentoError for an invalid reference."""
        rest = text.removeprefix(SCHEME)
        host, slash, name = rest.partition("/")
        remedy = ""
        if "://" in rest:
            remedy = f"Remove {rest.partition('://')[0]}://."
        elif not slash:
            remedy = "Add the missing part of HOST/REPOSITORY:TAG."
        elif rest == text and not has_registry(text):
            remedy = f"If {host} is a host, use {SCHEME}{text}. Otherwise, add the host: HOST/{text}."
        if remedy:
            raise BentoError("invalid reference", place=repr(text), remedy=remedy)
        if "@" in host:
            raise _digest_error(text)
        # A dot makes the first part a host for `parse`; the actual host might have none.
        known = Reference.parse(f"host.invalid/{name}", text)
        if not _HOST.fullmatch(host):
            problem = f"invalid host name {host!r}"
            raise BentoError(problem, place=repr(text), remedy=f"Write `{SCHEME}host:port/repository`.")
        return replace(known, registry=DEFAULT_REGISTRY if host == _DEFAULT_ALIAS else host)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """The name of the repository, including the registry."""
        return f"{self.registry}/{self.repository}"

    @property
    def target(self) -> str:
        """The digest if set, otherwise the tag if set, otherwise `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def api_host(self) -> str:
        """The `host` or `host:port` of the registry's API."""
        return _DEFAULT_API if self.registry == DEFAULT_REGISTRY else self.registry

    @property
    def credentials_key(self) -> str:
        """The name of the registry in credential stores."""
        return _DEFAULT_CREDENTIALS if self.registry == DEFAULT_REGISTRY else self.registry

    def with_tag(self, tag: str) -> Reference:
        """Return a reference to this repository with `tag`. Raises BentoError for an invalid tag."""
        if not _TAG.fullmatch(tag):
            raise BentoError(_tag_error(tag), place=self.name)
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """Return a reference to this repository with `digest`."""
        return replace(self, tag="", digest=digest)


def has_registry(name: str) -> bool:
    """Return whether a name unambiguously begins with the host of a registry."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first or first.lower() != first)


def _digest_error(text: str) -> BentoError:
    """Return the error for an invalid digest. Omits the text before `@`, which might be a password."""
    return BentoError(
        f"…@{text.rpartition('@')[2]!r}: invalid digest",
        remedy="Write `@sha256:` and 64 hexadecimal digits. If the reference contains credentials, remove them, and "
        "use `docker login`, `podman login`, or netrc.",
    )


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not has_registry(name):
        return DEFAULT_REGISTRY, name if slash else f"{_DEFAULT_NAMESPACE}/{name}"
    if first in (DEFAULT_REGISTRY, _DEFAULT_ALIAS):
        return DEFAULT_REGISTRY, rest if "/" in rest else f"{_DEFAULT_NAMESPACE}/{rest}"
    return first, rest


def _tag_error(tag: str) -> str:
    return f"invalid tag {tag!r}. Use at most 128 letters, digits, '_', '.', and '-'; '.' and '-' can't be first."
