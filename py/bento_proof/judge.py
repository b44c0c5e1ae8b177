"""Compares the members of an image's layers with what must be there. Everything else is a finding."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bento_proof import bytecode
from bento_proof.base import Base
from bento_proof.model import ENVIRONMENT, HOME, ROOT, USER, Expected, Found, Member, Report, UnableError, parents
from bento_proof.packages import Environment

# SHA-256 of the program that starts containers, in this release of rules_bento.
PROGRAM = "f4c40a4bcdfdf64fb4b4337368f0417acfba6ed72b7c0b37d3427eeaa975e32e"
_HOMES = tuple(f"{HOME}/{name}" for name in ("bentos", "envs", "models", "tmp"))
_OF_USER = ("app/", f"{HOME}/")  # where nothing is known without sources
# What dpkg and scripts of packages write: dpkg's database, alternatives, the linker's cache, and certificates.
_WRITTEN = re.compile(
    r"file (var/lib/dpkg/(status|alternatives/[^/]+|info/(format|[^/]+\.(list|md5sums|conffiles)))|etc/(ld\.so\.cache|"
    r"ca-certificates\.conf|ssl/certs/ca-certificates\.crt))|link (etc/alternatives/[^/]+|usr/lib/ssl/cert(s|\.pem))"
)
_TOGETHER = 300  # sources in memory


class Wanted(NamedTuple):
    """What an image must contain."""

    environment: Environment
    files: dict[str, Expected]
    writable: list[str]
    replaced: set[str]  # paths at which the user replaces files of the base
    is_known: bool  # whether the user named the files of the sources
    debian: dict[str, Expected]  # files of Debian packages


def own_files(base: Base) -> dict[str, Expected]:
    """Return what rules_bento adds: the environment of the base's Python, and the program that starts containers."""
    home = base.python.rpartition("/")[0]
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = 3.{base.minor}\n"
    files = {"pyvenv.cfg": hashlib.sha256(settings.encode()).hexdigest(), "bin/entrypoint.py": PROGRAM}
    links = {"bin/python": base.python, "bin/python3": "python", f"bin/python3.{base.minor}": "python"}
    made = {name: Member("file", 0o644, USER, digest) for name, digest in files.items()}
    made |= {name: Member("link", 0o777, USER, target) for name, target in links.items()}
    return {f"{ENVIRONMENT}/{name}": Expected(each, "rules_bento", "this release") for name, each in made.items()}


class Judge:
    """Judges the members of the layers above a base."""

    def __init__(self, base: Base, wanted: Wanted, report: Report) -> None:
        self._base, self._wanted, self._report = base, wanted, report
        self._expected = wanted.environment.members | wanted.files | own_files(base)
        for path in sorted(wanted.environment.members.keys() & (wanted.files | own_files(base)).keys()):
            report.find(None, path, "is in a package, and in the sources or the environment")

    def run(self, members: Sequence[Found]) -> dict[str, Found]:
        """Judge the members, and return those with bytecode, by module."""
        solid = {path for _, path, each in members if each.kind != "directory"}
        at = next((each for each, path, _ in members if path == "var/lib/dpkg/status" and self._wanted.debian), None)
        debian = [each for each in members if each[0] == at and not each[1].startswith(_OF_USER)]
        self._packages(debian, solid)
        members = [each for each in members if each[0] != at or each[1].startswith(_OF_USER)]
        empty = [f"{each}/." for each in (*_HOMES, *self._wanted.writable, *self._wanted.environment.directories)]
        folders = {each for path in (*solid, *empty) for each in parents(path)}
        seen, compiled = set[str](), dict[str, Found]()
        for layer, path, member in members:
            problem, expected = self._structure(path, member, solid), self._expected.get(path)
            if not problem and member.kind == "directory" and not expected:
                problem = self._directory(path, member, is_used=path in folders)
            elif not problem and expected:  # packages can share files, in several layers
                self._compare((layer, path, member), expected)
            elif not problem and path in seen:
                problem = "is in the image twice, and the last member replaces the others"
            elif not problem and (module := bytecode.module_of(path, self._base.minor)):
                compiled[module] = layer, path, member
            elif not problem and self._is_unknown(path):
                self._report.doubt(layer, path, "sources aren't known. Add --source (bento-proof: --file)", member.size)
            elif not problem:
                problem = "isn't of a package, the sources, or the base"
            if problem:
                self._report.find(layer, path, problem)
            seen.add(path)
        missing = {path: f"is missing, but {each.origin} has it" for path, each in self._expected.items()}
        above = {path.rpartition("/")[0] for path in seen} - {""}
        missing |= dict.fromkeys({*above, *_HOMES} - self._base.members.keys(), "is a missing directory")
        for path in sorted(missing.keys() - seen):
            self._report.find(None, path, missing[path])
        return compiled

    def _packages(self, members: Sequence[Found], solid: set[str]) -> None:
        """Judge the layer of Debian packages. What dpkg and scripts write or remove isn't proven."""
        seen, debian = dict[str, Member](), self._wanted.debian
        for layer, path, member in members:
            member = seen.get(member.what, member) if member.kind == "hard link" else member  # to a file before it
            seen[path], below, (directory, _, name) = member, self._base.kind(path), path.rpartition("/")
            is_plain = (member.kind, member.mode, member.owner) in (("file", 0o644, ROOT), ("link", 0o777, ROOT))
            is_removed = name.startswith(".wh.") and not member.size and self._base.is_file(f"{directory}/{name[4:]}")
            is_choice = not below and re.fullmatch("/etc/alternatives/[^/]+", member.what)
            if problem := self._structure(path, member, solid, is_debian=True):
                self._report.find(layer, path, problem)
            elif member.kind == "directory" and (below or path not in debian) and below in ("", "directory"):
                if problem := self._directory(path, member, is_used=True):
                    (self._report.find if below else self._report.doubt)(layer, path, problem)
            elif path in debian:
                (user, group), file = member.owner, member.kind == "file"  # unpacked files have no groups
                doubt = f"belongs to the group {group}" if group or (file and member.mode & 0o2000) else ""
                self._compare((layer, path, member._replace(owner=(user, 0))), debian[path], doubt)
            elif is_plain and (is_removed or is_choice or _WRITTEN.fullmatch(f"{member.kind} {path}")):
                size = -1 if is_removed or member.kind == "link" else member.size
                self._report.doubt(layer, path, f"a {member.kind} that dpkg or a script wrote ({member.what})", size)
            else:
                self._report.find(layer, path, "isn't of a Debian package")
        if lacking := debian.keys() - seen.keys():  # such as what settings of the base's dpkg exclude
            self._report.doubt(None, "Debian packages", f"{len(lacking)} files are missing, such as {min(lacking)}")

    def _structure(self, path: str, member: Member, solid: set[str], *, is_debian: bool = False) -> str:
        """Return what is wrong with the place of a member, or "", and its mode, but for Debian packages."""
        is_directory, below = member.kind == "directory", self._base.kind(path)
        if link := next((each for each in parents(path) if each in solid or self._base.is_file(each)), ""):
            return f"is below {link}, which is a file or a link"
        if is_directory and path in solid:
            return "is also a file or a link"
        if below == "directory" and not is_directory:
            return "replaces a directory of the base"
        if is_debian:
            return ""
        if path.rpartition("/")[2].startswith(".wh."):
            return "removes files of the layers below"
        if member.kind == "hard link":
            return "is a hard link"
        if below not in ("", "directory") and path not in self._wanted.replaced:
            return "replaces a file of the base"
        is_usual = is_directory or member.mode in {"file": (0o644, 0o755), "link": (0o777,)}[member.kind]
        return "" if is_usual else f"has the mode {member.mode:o}"

    def _directory(self, path: str, member: Member, *, is_used: bool) -> str:
        """Return what is wrong with a directory, or "". It is as in the base, or as images make it."""
        below, found = self._base.members.get(path), (member.mode, member.owner)
        is_own = f"{path}/".startswith(tuple(f"{each}/" for each in (ENVIRONMENT, HOME, *self._wanted.writable)))
        if below and found == (below.mode, below.owner):
            return ""
        if (is_used or below) and (found != (0o755, USER if is_own else ROOT) or not is_used):
            return f"has mode {member.mode:o} of {member.owner}"
        is_unknown = self._is_unknown(f"{path}/") and member.mode == 0o755
        return "" if is_used or is_unknown else "isn't a directory of a package, the sources, or the base"

    def _is_unknown(self, path: str) -> bool:
        return not self._wanted.is_known and path.startswith(_OF_USER) and not path.startswith(f"{ENVIRONMENT}/")

    def compile(self, compiled: Mapping[str, Found], program: str) -> str:
        """Judge bytecode, and return the version of the Python that compiles it, or "" if none does."""
        modules, version = self._wanted.environment.modules, ""
        below = compiled.keys() - self._expected.keys() - self._wanted.debian.keys()
        known = [each for each in compiled if each in modules or (each in below and self._base.kind(each) == "file")]
        for module in compiled.keys() - {*known}:
            self._report.find(*compiled[module][:2], "is bytecode without a verified source")
        try:
            for batch in (known[at : at + _TOGETHER] for at in range(0, len(known), _TOGETHER)):
                read = [modules[m].read_bytes() if m in modules else self._base.read(m) for m in batch]
                own = [m in self._wanted.environment.own for m in batch]  # which a user can change in a container
                version, results = bytecode.compile_all(self._base, program, [*zip(batch, read, own, strict=True)])
                for module, right in zip(batch, results, strict=True):  # b"" if the source isn't valid
                    member = Member("file", 0o644, USER if module in modules else ROOT)
                    member = member._replace(what=hashlib.sha256(right).hexdigest() if right else "")
                    self._compare(compiled[module], Expected(member, "bytecode", f"the bytecode of {module}"))
        except UnableError as error:
            for layer, path, member in map(compiled.__getitem__, known):
                self._report.doubt(layer, path, str(error), member.size)
            return ""
        return version

    def _compare(self, found: Found, expected: Expected, doubt: str = "") -> None:
        layer, path, member = found
        if problem := expected.difference(member):
            self._report.find(layer, path, problem)
        elif doubt:
            self._report.doubt(layer, path, doubt, member.size)
        else:
            self._report.prove(layer, expected.source, member.size)
