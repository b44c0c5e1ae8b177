"""Proves an image: compares each member of each layer, and the config, with what trusted inputs imply.

Trusts the hashes of a lock, or an index; a base by its digest; the base's Python, which compiles verified sources in
isolation; and the files of `own_files`. Never trusts what the image or the registry states.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from itertools import accumulate

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages import namespace_modules
from rules_bento.images.standard_library import uncompiled

from bento_cli.proofs import bytecode_proof, config_proof, own_files
from bento_cli.proofs.debian_proof import SOURCE, STATUS
from bento_cli.proofs.expected import Expected, Finding, LayerMember, Unproven, directories
from bento_cli.proofs.layer_reader import LayerError, LayerReader
from bento_cli.proofs.wheel_proof import Environment, wheel_files

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.proofs.base_files import BaseFiles
    from bento_cli.proofs.debian_proof import DebianProof
    from bento_cli.proofs.image_source import ImageSource
    from bento_cli.sharing.native_build import BuildWorkspace

_KEPT = re.compile(r"app/\.venv/lib/python3\.\d+/site-packages/[^/]+\.dist-info/WHEEL")
_MAX_KEPT = 1 << 16
_WHITEOUT = ".wh."
# Files of which one wheel's replaces another's: scripts of entry points, and what nothing imports
_SHARED = re.compile(
    r"app/\.venv/bin/[^/]+|.*/(?:py\.typed|(?i:authors|changelog|changes|copying|licen[cs]e|notice|readme)(?i:\.(?:md|rst|txt))?)"
)
_MODES = {"file": (0o644, 0o755), "link": (0o777,)}


class TrustedWheel(NamedTuple):
    """A wheel that an image must contain."""

    sha256: str
    path: Path
    excluded: frozenset[str] = frozenset()  # names of its files that the user excludes
    is_project: bool = False  # built from the user's sources


@dataclass
class Trusted:
    """What an image must contain, apart from its base."""

    wheels: list[TrustedWheel]
    files: dict[str, Expected] = field(default_factory=dict)  # files and links of the user
    claims: config_proof.Claims = field(default_factory=config_proof.Claims)
    sboms: config_proof.Sboms | None = None
    unproven: dict[str, str] = field(default_factory=dict)  # prefixes of paths, and why files there aren't proven
    replaced: frozenset[str] = frozenset()  # files of the base that the user replaces
    packages: Mapping[str, Expected] = field(default_factory=dict)  # members of the layer with Debian packages
    writable: tuple[str, ...] = ()  # directories of the image's user
    newest: tuple[str, str] = ("", "")  # the time of the newest upload, and the name of the wheel
    findings: list[Finding] = field(default_factory=list)


@dataclass
class Proof:
    """The result for one image."""

    digest: str
    platform: str
    layers: list[tuple[str, int]]  # digest and bytes
    proven: Counter[tuple[int, str]] = field(default_factory=Counter)  # files, by layer and source
    sizes: Counter[tuple[int, str]] = field(default_factory=Counter)  # bytes of these files
    unproven: list[Unproven] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    command: tuple[str, ...] = ()  # as the config states
    newest: str = ""  # the time of the newest upload of a wheel, and its name

    @property
    def unproven_bytes(self) -> int:
        """The bytes of the files and settings that aren't proven."""
        return sum(item.size for item in self.unproven)


def prove(
    workspace: BuildWorkspace,
    source: ImageSource,
    base: BaseFiles,
    packages: DebianProof | None,
    trust: Callable[[Sequence[LayerMember]], Trusted],
) -> Proof:
    """Return the proof of an image. Raises BentoError only if something that is trusted can't be read.

    `packages` is what the layer with Debian packages must contain, or None without packages.
    `trust` returns what the image must contain. It can use only names of the members, to find trusted inputs.
    """
    manifest = source.manifest
    layers = manifest.layers()
    proof = Proof(manifest.descriptor.digest, source.platform, [(each.digest, each.size) for each in layers])
    proof.findings += source.findings
    below = base.image.image.layers
    # Runtimes also find layers by their diff IDs, and lazy pulls files by annotations.
    stated = [each.to_json() for each in layers[: len(below)]], config_proof.diff_ids(source.config)[: len(below)]
    if stated != ([each.descriptor for each in below], [each.diff_id for each in below]):
        problem = f"aren't the layers of {base.image.name} ({base.image.image.digest})"
        named = manifest.descriptor.annotations.get(f"{config_proof.ANNOTATION}base.digest", base.image.image.digest)
        if named != base.image.image.digest:  # such as of a tag that moved
            problem += f"; the image names {named}, which --base can select if you trust it"
        proof.findings.append(Finding(None, "lowest layers", problem))
        return proof
    for position in range(len(below)):
        proof.proven[position, "base"] += 1
        proof.sizes[position, "base"] += layers[position].size
    members = [*_read(source, len(below), packages, proof)]
    there = base.members.keys() | directories(base.members, {}, "", "").keys()
    filled = {each.layer for each in members if each.kind != "directory" or each.path not in there}
    empty = {*range(len(below), len(layers))} - filled
    proof.findings += [Finding(at, "members", "are only directories of the base") for at in sorted(empty)]
    members = _judge_packages(members, packages, proof)
    trusted = trust(members)
    trusted.packages = packages.expected if packages else {}
    judged = _Judge(workspace, base, trusted, proof).run(members)
    findings, unproven = config_proof.check_config(source, base.image, trusted.claims, judged)
    proof.findings += findings
    proof.unproven += unproven
    proof.unproven += config_proof.check_attached(source.attached(), proof.digest, trusted.sboms)
    words = source.config.get("config", {}).get("Cmd") if isinstance(source.config.get("config"), dict) else ()
    proof.findings += trusted.findings
    proof.newest = " ".join(trusted.newest).strip()
    proof.command = tuple(map(str, words)) if isinstance(words, list) else ()
    return proof


def _judge_packages(members: list[LayerMember], packages: DebianProof | None, proof: Proof) -> list[LayerMember]:
    """Judge the layer with Debian packages, which has dpkg's database, and return the members of the other layers."""
    if packages is None:
        return members
    at = next((each.layer for each in members if each.path == STATUS), None)
    if at is None:
        proof.findings.append(Finding(None, STATUS, "is missing, so no layer has the Debian packages"))
        return members
    judged = packages.judge(at, [each for each in members if each.layer == at])
    files = [each for each in judged.proven if each.kind != "directory"]
    proof.proven[at, SOURCE] += len(files)
    proof.sizes[at, SOURCE] += sum(each.size for each in files)
    proof.unproven += judged.unproven
    proof.findings += judged.findings
    return [each for each in members if each.layer != at]


def _read(source: ImageSource, first: int, packages: DebianProof | None, proof: Proof) -> Iterator[LayerMember]:
    def is_kept(path: str, size: int) -> bool:
        is_of_wheel = size <= _MAX_KEPT and _KEPT.fullmatch(path) is not None
        return is_of_wheel or (packages is not None and packages.keeps(path, size))

    reader = LayerReader(is_kept)
    diff_ids = config_proof.diff_ids(source.config)
    layers = source.manifest.layers()
    if len(diff_ids) != len(layers):
        proof.findings.append(Finding(None, "rootfs", f"names {len(diff_ids)} layers instead of {len(layers)}"))
        return
    for position, layer in [*enumerate(layers)][first:]:
        pieces = (bytes(piece) for piece in source.pieces(layer))
        try:
            yield from reader.members(position, pieces, layer.media_type, diff_ids[position])
        except LayerError as error:
            proof.findings.append(Finding(position, layer.digest[:19], str(error)))
        except BentoError as error:
            if not str(error).startswith("the content doesn't match"):
                raise  # such as a lost connection
            proof.findings.append(Finding(position, layer.digest[:19], str(error)))


class _Judge:
    """Judges the members of an image above its base."""

    def __init__(self, workspace: BuildWorkspace, base: BaseFiles, trusted: Trusted, proof: Proof) -> None:
        self._workspace, self._base, self._trusted, self._proof = workspace, base, trusted, proof
        minor = int(base.image.python_version.split(".")[1])
        self._environment = Environment(own_files.ENVIRONMENT, minor, own_files.OWNER)
        self._expected: dict[str, Expected] = {}
        self._others: dict[str, list[Expected]] = {}  # what other wheels have at a path of `_SHARED`
        self._sources: dict[str, tuple[Path, str]] = {}  # modules in wheels: the wheel, and the name in it
        self._projects: set[str] = set()  # modules of the user's wheels

    def run(self, members: Sequence[LayerMember]) -> bool:
        """Judge the members, and return whether the image has bytecode."""
        folders = self._expect()
        solid = {member.path for member in members if member.kind != "directory"}
        seen: set[str] = set()
        compiled: dict[str, LayerMember] = {}
        for member in members:
            if problem := self._structure(member, solid):
                self._find(member, problem)
            elif member.kind == "directory":
                self._directory(member, folders)
            elif expected := self._expected.get(member.path):  # packages and models can share files, in several layers
                others = self._others.get(member.path, ())
                self._judge(member, next((each for each in others if not each.difference(member)), expected))
            elif member.path in seen:
                self._find(member, "is in the image twice, and the last member replaces the others")
            elif module := bytecode_proof.module_of(member.path, self._environment.minor):
                compiled[module] = member
            elif reason := self._unproven(member.path):
                self._proof.unproven.append(Unproven(member.layer, member.path, member.size, reason))
            else:
                self._find(member, "isn't of a package, the sources, or the base")
            seen.add(member.path)
        has_all = not any(each.path.startswith("sha256:") for each in self._proof.findings)
        if has_all:
            for path in sorted(self._expected.keys() - seen):
                self._miss(path, f"is missing, but {self._expected[path].origin} has it")
            parents = {path.rpartition("/")[0] for path in seen} - {""}
            for path in sorted({*parents, *own_files.DIRECTORIES} - seen - self._base.members.keys()):
                self._miss(path, "is a missing directory")
        self._compile(compiled, self._compiled_modules(compiled) if compiled and has_all else ())
        return bool(compiled)

    def _compiled_modules(self, compiled: Iterable[str]) -> Iterator[str]:
        """Yield the modules that have bytecode if `compiled` have. Directories named `tests` have none."""
        top = f"{self._environment.site_packages}/"
        for path in self._sources:
            if path.startswith(top) and "tests" not in path[len(top) :].split("/")[:-1]:
                yield path
        if not self._base.members.keys().isdisjoint(compiled):
            files = {path for path, each in self._base.members.items() if each.kind == "file"}
            yield from uncompiled(files, self._base.image.python, self._base.image.python_version)

    def _expect(self) -> dict[str, Expected]:
        """Compute the expected members, and return the expected directories."""
        tops = (own_files.ENVIRONMENT, own_files.HOME, *self._trusted.writable)
        owners = dict.fromkeys(tops, own_files.OWNER)
        folders = [*self._trusted.writable]
        for wheel in self._trusted.wheels:
            files = wheel_files(wheel.path, self._environment, wheel.excluded)
            if wheel.is_project:
                files.members.update({path: each._replace(source="sources") for path, each in files.members.items()})
            for path, expected in files.members.items():
                other = self._expected.get(path) or self._trusted.files.get(path)
                of_wheel = other and path not in self._trusted.files
                if other and of_wheel and (_SHARED.fullmatch(path) or self._extends(path, wheel, files.places)):
                    self._others.setdefault(path, []).append(other)
                elif other and (other.digest, other.mode) != (expected.digest, expected.mode):
                    problem = f"is in {other.origin} and in {expected.origin} with other contents"
                    self._proof.findings.append(Finding(None, path, problem))
            self._expected |= files.members
            self._sources |= {path: (wheel.path, name) for path, name in files.places.items() if path.endswith(".py")}
            self._projects |= files.places.keys() if wheel.is_project else set()
            folders += files.directories
        own = own_files.environment(self._base.image, self._environment)
        self._expected |= self._trusted.files | own
        paths = [*self._expected, *(f"{each}/." for each in (*folders, *own_files.DIRECTORIES))]
        paths += [f"{path.rpartition('/')[0]}/__pycache__/." for path in self._sources]
        # A base doesn't need to list directories.
        cached = (f"{path.rpartition('/')[0]}/__pycache__/." for path in self._base.members)
        listed = directories(cached, {}, "", "")
        listed = {path: each for path, each in listed.items() if path not in self._base.members}
        return listed | directories(paths, owners, "", "")

    def _extends(self, path: str, wheel: TrustedWheel, places: Mapping[str, str]) -> bool:
        """Return whether two modules at a path, of this wheel and of one before, only extend `__path__`, in one way."""
        if not path.endswith("/__init__.py") or path not in self._sources or path not in places:
            return False
        found = set()
        for file, name in (self._sources[path], (wheel.path, places[path])):
            with zipfile.ZipFile(file) as archive, archive.open(name) as module:
                found.add(namespace_modules.extension(module.read(namespace_modules.MAX_SIZE + 1)))
        return len(found) == 1 and "" not in found

    def _structure(self, member: LayerMember, solid: Collection[str]) -> str:
        """Return what is wrong with the place or mode of a member, or "". `solid` has all paths of files and links."""
        directory, _, name = member.path.rpartition("/")
        if name.startswith(_WHITEOUT):
            return "removes files of the layers below"
        if member.kind == "hard link":
            return "is a hard link, and only packages of Debian have hard links"
        parents = accumulate(directory.split("/"), "{}/{}".format)
        if link := next((each for each in parents if each in solid or self._is_below(each)), ""):
            return f"is below {link}, which is a file or a link"
        if member.kind == "directory" and member.path in solid:
            return "is also a file or a link"
        if member.kind != "directory" and member.mode not in _MODES[member.kind]:
            return f"has the mode {member.mode:o}"
        if self._is_below(member.path) and member.path not in self._trusted.replaced:
            return "replaces a file of the base or of a Debian package"
        if member.kind != "directory" and member.path in self._base.members and not self._base.is_file(member.path):
            return "replaces a directory of the base"
        return ""

    def _is_below(self, path: str) -> bool:
        """Return whether the base, or the layer with Debian packages, has a file or link."""
        expected = self._trusted.packages.get(path)
        return self._base.is_file(path) or (expected is not None and expected.kind != "directory")

    def _directory(self, member: LayerMember, folders: Mapping[str, Expected]) -> None:
        below, expected = self._base.members.get(member.path), folders.get(member.path)
        own = self._trusted.packages.get(member.path)
        if below:
            own = Expected("base", "the base", "directory", below.mode & 0o7777, (below.uid, below.gid))
        if expected is None and own is None:
            if not self._unproven(f"{member.path}/") or member.mode != 0o755:
                self._find(member, "isn't a directory of a package, the sources, or the base")
            return
        problems = [each.difference(member) for each in (expected, own) if each]
        if all(problems):
            self._find(member, problems[0])

    def _judge(self, member: LayerMember, expected: Expected) -> None:
        if problem := expected.difference(member):
            self._find(member, problem)
        elif member.kind == "file" and not expected.digest:
            self._proof.unproven.append(Unproven(member.layer, member.path, member.size, expected.origin))
        else:
            self._prove(member, expected.source)

    def _compile(self, compiled: Mapping[str, LayerMember], needed: Iterable[str]) -> None:
        """Compare bytecode with what the base's Python compiles. Each of the modules `needed` has bytecode."""
        own = Expected("", "the base", "file", 0o644, (0, 0))
        known = {module: self._expected.get(module, own) for module in needed}
        for module, member in compiled.items():
            is_replaced = module in self._expected or module in self._trusted.packages
            if module in self._sources:
                known[module] = self._expected[module]
            elif module in self._base.members and self._base.members[module].kind == "file" and not is_replaced:
                known[module] = own
            else:
                self._find(member, "is bytecode without a verified source")
        jobs = bytecode_proof.Jobs(self._base, self._sources, self._projects, sorted(known))
        for module, digest in jobs.run(self._workspace):
            if module not in compiled:
                if digest:
                    path = bytecode_proof.place_of(module, self._environment.minor)
                    self._miss(path, f"is missing, but the base's Python compiles it from {known[module].origin}")
                continue
            member = compiled[module]
            if digest is None:
                reason = f"the interpreter of {self._base.image.name} doesn't run here"
                self._proof.unproven.append(Unproven(member.layer, member.path, member.size, reason))
                continue
            expected = known[module]._replace(source="bytecode", mode=0o644, digest=digest, link="")
            if not digest:
                self._find(member, "is bytecode of a source that the base's Python doesn't compile")
            elif problem := expected.difference(member):
                problem = problem.replace("other contents than in", "other code than the base's Python compiles from")
                self._find(member, problem)
            else:
                self._prove(member, "bytecode")

    def _unproven(self, path: str) -> str:
        prefixes = {} if path.startswith(f"{own_files.ENVIRONMENT}/") else self._trusted.unproven
        return next((reason for prefix, reason in prefixes.items() if path.startswith(prefix)), "")

    def _prove(self, member: LayerMember, source: str) -> None:
        self._proof.proven[member.layer, source] += 1
        self._proof.sizes[member.layer, source] += member.size

    def _miss(self, path: str, problem: str) -> None:
        self._proof.findings.append(Finding(None, path, problem))

    def _find(self, member: LayerMember, problem: str) -> None:
        self._proof.findings.append(Finding(member.layer, member.path, problem))
