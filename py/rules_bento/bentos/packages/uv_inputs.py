"""Checks what uv locks for a project that isn't trusted, and writes settings with parsed values of the project's files.

The project chooses requirements, versions, and addresses of indexes. Only the user chooses proxies, certificates,
caches, credentials, and programs.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.net.secret_hosts import is_loopback, is_odd, is_safe
from rules_bento.base.typing_lite import Any, Iterable, Iterator, Mapping
from rules_bento.bentos.packages.requirement_syntax import parse_requirement
from rules_bento.bentos.packages.uv_settings import COPIED, to_toml

_PROJECT = {
    "build-system?": dict,
    "project": dict,
    "tool?": {"uv?": {"sources?": dict, "workspace?": {"members?": [str]}}},
}
# Keys of uv.toml or [tool.uv], in addition to `uv_settings.COPIED`.
_REQUIREMENTS = tuple(f"{kind}-dependencies" for kind in ("constraint", "override", "build-constraint"))
_ADDRESSES = ("index-url", "extra-index-url", "find-links")
_LIMITS: dict[str, Any] = {
    "environments": [str],
    "index": [dict],
    "index-url": str,
    "no-index": bool,
    "dependency-metadata": [{"requires-dist?": [str]}],
}
_LIMITS |= {key: [str] for key in ("extra-index-url", "find-links", *_REQUIREMENTS, "exclude-dependencies")}
_INDEX_KEYS = ("default", "explicit", "format", "name", "url")
_SOURCE_KEYS = ("branch", "git", "path", "rev", "subdirectory", "tag", "url")


@dataclass
class LockInputs:
    """The values of the project in `directory`, as TOML for uv. Raises BentoError for an unsafe value.

    `remedy` is the advice for a value that uv can read only in the project.
    """

    directory: Path
    remedy: str
    is_trusted: bool = False  # whether the user chose to lock with uv's own rules
    allows_http: bool = False  # without encryption, and without secrets
    indexes: list[tuple[str, str]] = field(default_factory=list)  # names and addresses that the project chooses
    links: list[str] = field(default_factory=list)  # paths in the project that uv reads

    def check(self, document: Mapping[str, Any], place: str) -> None:
        """Raise BentoError for a pyproject.toml with an unsafe value, or with another project, which has its own."""
        schema.validate(document, _PROJECT, place, "Correct the file.")
        project, uv = document["project"], document.get("tool", {}).get("uv", {})
        if uv.get("workspace", {}).get("members"):
            raise self._error("the project has a workspace, whose members are other projects", place)
        tables = [project.get("dependencies"), project.get("optional-dependencies"), document.get("dependency-groups")]
        tables += [document.get("build-system", {}).get("requires")]
        tables += [uv.get(f"{kind}-dependencies") for kind in ("dev", "extra-build")]
        self.requirements(texts(tables), place)
        self.settings(uv, f"{place}: tool.uv")
        for sources in uv.get("sources", {}).values():
            for source in sources if isinstance(sources, list) else [sources]:
                self._check_source(source, f"{place}: tool.uv.sources")

    def settings(self, uv: Mapping[str, Any], place: str) -> list[str]:
        """Return the settings of uv that change versions, as lines of TOML. Omits all other settings."""
        kinds = {**COPIED, **_LIMITS}
        chosen: dict[str, Any] = {key: uv[key] for key in kinds if key in uv}
        chosen |= {key: [chosen[key]] for key in chosen if kinds[key] == [str] and isinstance(chosen[key], str)}
        schema.validate(chosen, {f"{key}?": kind for key, kind in kinds.items()}, place, "Correct the setting.")
        for key in chosen.keys() & set(_REQUIREMENTS):
            chosen[key] = self.requirements(chosen[key], f"{place}.{key}")
        for key in chosen.keys() & set(_ADDRESSES):
            for address in chosen[key] if isinstance(chosen[key], list) else [chosen[key]]:
                self.location(address, f"{place}.{key}")
        for metadata in chosen.get("dependency-metadata", ()):
            requires = metadata.get("requires-dist", ())
            metadata["requires-dist"] = self.requirements(requires, f"{place}.dependency-metadata")
        if "index" in chosen:
            chosen["index"] = [{key: each[key] for key in _INDEX_KEYS if key in each} for each in chosen["index"]]
        for index in chosen.get("index", ()):
            self.location(str(index.get("url", "")), f"{place}.index")
            self.indexes.append((str(index.get("name", "")), str(index["url"])))
        return list(_lines(chosen, place))

    def requirements(self, texts: Iterable[str], place: str) -> list[str]:
        """Return requirements as parsed."""
        parsed = []
        for text in texts:
            try:
                requirement = parse_requirement(text)
            except ValueError:
                if "://" not in text and not self.is_trusted:
                    raise self._error(f"unsupported requirement {text!r}", place) from None
                parsed.append(self.address(text, place))
                continue
            if requirement.url:
                self.address(requirement.url, f"{place}: {requirement.name}")
            parsed.append(str(requirement))
        return parsed

    def location(self, text: str, place: str) -> None:
        """Check an address, or a path in the project, which `link` then adds to the directory of uv."""
        if is_odd(text) or not re.fullmatch("[ -~]*", text):
            raise self._error(f"{without_credentials(text)!r} contains a character that clients can ignore", place)
        if re.match(r"\w[\w+.-]*:", text):
            self.address(text, place)
            return
        path = Path(text)
        real = (self.directory / path).resolve()
        is_inside = real.is_relative_to(self.directory.resolve())
        is_inside = is_inside and (real.is_file() if text.endswith(".whl") else real.is_dir())
        if path.is_absolute() or ".." in path.parts or not path.parts or not is_inside:
            raise self._error(f"the path {text!r} isn't a directory or a wheel in the project", place)
        if path.parts[0].lower().endswith((".lock", ".toml", ".txt")):
            raise self._error(f"the path {text!r} can be a file that uv reads or writes", place)
        self.links.append(text)

    def address(self, text: str, place: str) -> str:
        """Return a URL. Raises BentoError unless the URL means only itself, and secrets can be sent to its server."""
        self.indexes.append(("", text))
        plain = text.removeprefix("git+")
        if self.is_trusted:
            return text
        encrypted = re.sub("^http:", "https:", plain) if self.allows_http else plain
        if not plain.startswith(("http://", "https://")) or not is_safe(encrypted) or "@" in urlsplit(plain).netloc:
            shown = without_credentials(text)
            problem = f"{shown!r} isn't an https:// URL of a host, without a user and without variables"
            raise self._error(problem, place)
        return text

    def trust_hosts(self, hosts: Iterable[str]) -> None:
        """Raise BentoError for a server whose certificate the project doesn't verify, unless it is this machine."""
        for host in hosts:
            if not is_loopback(host.rpartition(":")[0] or host) and not is_loopback(host):
                raise self._error(f"the project trusts {host} without a certificate", "requirements")

    def link(self, directory: Path) -> None:  # writes: own, paths that `location` has checked
        """Add links to the paths in the project to the directory in which uv runs."""
        for name in {Path(text).parts[0] for text in self.links}:
            (directory / name).symlink_to((self.directory / name).absolute())

    def _check_source(self, source: Any, place: str) -> None:
        if not isinstance(source, dict) or any(str(source.get(key, "")).startswith("-") for key in _SOURCE_KEYS):
            raise self._error(f"unsupported source {source}", place)
        for key in {"git", "url"} & source.keys():
            self.address(str(source[key]), place)
        if str(source.get("path")).endswith(".whl"):
            self.location(source["path"], place)
        elif not {"git", "index", "url"} & source.keys():
            raise self._error(f"{source} is another project, whose code uv can run", place)

    def _error(self, problem: str, place: str) -> BentoError:
        return BentoError(problem, place=place, remedy=self.remedy)


def _lines(table: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from (f"{to_toml(key, place)} = {to_toml(value, place)}" for key, value in table.items())


def texts(value: Any) -> Iterator[str]:
    """Yield the strings in a parsed document."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(item)
