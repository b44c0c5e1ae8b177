"""Locks the packages of a project through uv, and reads the locks that a project has.

The lock is a file next to the bentofile: a uv.lock for the dependencies in pyproject.toml, a pylock.toml, or a
requirements.lock.txt, which `bento build` writes if the project has no lock.
"""

from __future__ import annotations

import os
import re
from contextlib import nullcontext, suppress
from functools import cached_property

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.landlock import outside
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.packages.locks import COMMANDS
from rules_bento.bentos.packages.requirement_syntax import (
    Line,
    LockedRequirements,
    normalize_name,
    parse_lines,
    parse_requirement,
    reject_option,
    requirement_name,
)

from bento_cli.projects.bento_project import REQUIREMENTS_LOCK
from bento_cli.projects.project_reach import tree
from bento_cli.projects.uv_project import LOCK as UV_LOCK
from bento_cli.projects.uv_project import (
    PYLOCK,
    PYPROJECT,
    UvProject,
    find_root,
    lowest_python,
    python_problem,
    read_inside,
    read_lock_tables,
    settings_in,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.packages.locks.neutral_lock import NeutralLock
    from rules_bento.bentos.packages.uv import Access
    from rules_bento.bentos.packages.uv_inputs import LockInputs

    from bento_cli.projects.bento_project import BentoProject


_HEADER = "# Locked by `bento lock` for Python {}. To choose newer versions, run `bento lock --upgrade`.\n"
_ROOT = "# Requires: "
# The first line of a lock that a build wrote, with digests of the requirements and of the other lines.
_OWN_HEADER = "# Locked by `bento build` for Python {}{}, lock {}. Builds update the lock unless you edit it.\n"
_OWN = re.compile(r"# Locked by `bento build` for Python ([0-9.]+)(?:, requirements (\w+))?, lock (\w+)\..*\n")
_PYTHON = re.compile(r"# Locked by `bento (?:lock|build)` for Python (\d+\.\d+)")
_COMPILE = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--no-strip-extras", "--quiet")
_CHANGED = "the requirements changed"
_IN_CI = "CI is set"
_READ_ONLY = "the directory is read-only"
_NO_LOCK = "To build without a lock, add --no-lock."


@dataclass(frozen=True)
class LockOptions:
    """Determines whether a build can lock packages, and how."""

    command: str = "bento lock"  # that locks the project explicitly, for messages
    disabled: str = ""  # the option because of which no lock is read or written
    offline: str = ""  # the option because of which no lock is written
    is_explicit: bool = False  # the lock is always written; uv can call all back ends, and can use all credentials
    upgrade: tuple[str, ...] = ()  # with `is_explicit`: names of packages; `*` for all
    output: str = ""  # with `is_explicit`: the name of the lock

    @property
    def obstacle(self) -> str:
        """The reason why a build can't write a lock on its own, or an empty string."""
        if os.environ.get("CI", "").lower() not in ("", "0", "false") and not self.is_explicit:
            return _IN_CI
        return ""

    @property
    def uv(self) -> str | None:
        """The path of uv, or None."""
        from rules_bento.bentos.packages.uv import find_uv

        return find_uv()


class ProjectLock:
    """The lock of a project."""

    def __init__(self, project: BentoProject, options: LockOptions) -> None:
        self.options = options
        self.notes: list[str] = []
        self.written = ""  # the path of a new or changed lock
        self._project, self._directory = project, project.lock_directory
        root = find_root(self._directory.absolute()) if project.declares_requirements else self._directory
        self._root = self._directory if root == self._directory.absolute() else root  # of the workspace
        self._lines: Sequence[Line] = ()  # the requirements, and the Python version of the Bento
        self._python = ""
        self._current: list[Line] = []  # of a uv.lock that was checked

    def lock(self, roots: Sequence[Line], python_version: str, is_wanted: bool) -> LockedRequirements | None:
        """Return the locked packages for the requirements `roots`, or None if the packages aren't locked.

        Writes a missing lock. Raises BentoError for a lock that doesn't satisfy `roots`, and if uv fails.
        """
        lines = self._lines = [line for line in roots if line.text]
        self._python = python_version
        reason = "" if is_wanted else "because lock_packages is false"
        reason = f"because of {self.options.disabled}" if self.options.disabled else reason
        local = next((line.text for line in lines if not line.flag and line.text.startswith((".", "/"))), "")
        if local and not reason:
            reason = f"because {local} is a local file"
        own = self._project.lock_name
        if self._project.options.python.requirements_txt == own and not reason:
            reason = f"because the bentofile uses {own} as requirements_txt, without hashes"
        if any("--hash=" in line.text for line in lines):
            return None
        if reason:
            self._unlocked(reason)
            return None
        staleness = "" if self.written else self._staleness()
        is_read = not staleness and (self.written or not self.options.is_explicit)
        if is_read and (found := self._find()):
            return found
        if self.options.offline:
            self._unlocked(f"because of {self.options.offline}")
            return None
        self._require_writable()
        target = self.options.output or self._existing() or (UV_LOCK if self._uses_uv_lock() else own)
        if target in COMMANDS:
            remedy = f"Run `{COMMANDS[target]}`. To write another lock, add `-o {PYLOCK}`."
            raise BentoError("`bento lock` doesn't write this lock", place=str(self._path(target)), remedy=remedy)
        if target == UV_LOCK:
            if self._root != self._directory and not self.options.is_explicit:
                problem = f"the workspace has no {UV_LOCK}, of which {self._directory.absolute()} is a member"
                raise BentoError(problem, place=str(self._root), remedy="Run `uv lock` in the workspace.")
            self._write_uv_lock()
        else:
            self._write_requirements(target)
        found = self._find()
        count = len(found.pins) if found else 0
        verb, reason = ("Updated the", f", because {staleness}") if staleness else ("Locked", "")
        self.notes.append(f"{verb} {count} packages in {self.written}{reason}. Commit this file.")
        return found

    def _staleness(self) -> str:
        """Return what changed since a build wrote the lock, or "" for a lock with edits or that can't be written."""
        name, options = self._existing(), self.options
        text = decode_text(self._read(name), name) if name else ""
        found = _OWN.match(text)
        if not found or options.is_explicit or options.offline or options.obstacle:
            return ""
        if found[3] != _digest(text[found.end() :]) or not os.access(self._directory, os.W_OK) or not options.uv:
            return ""
        if name == UV_LOCK:
            with suppress(BentoError):  # uv says what changed
                self._current = self._read_uv_lock()
                return ""
            return _CHANGED
        if found[2] == self._requirements_digest(self._python):
            return ""
        is_python = found[2] == self._requirements_digest(found[1])
        change = f"the Python version changed from {found[1]} to {self._python}"
        return change if is_python else _CHANGED

    def _requirements_digest(self, python_version: str) -> str:
        """Return the digest of all that determines requirements.lock.txt, except for the index."""
        limits = decode_text(self._read(UV_LOCK), UV_LOCK) if self._path(UV_LOCK).is_file() else ""
        return _digest(
            "\n".join([python_version, *(line.text for line in self._lines), *self._settings(self._inputs()), limits])
        )

    @cached_property
    def _document(self) -> Any:
        """The tables in pyproject.toml."""
        return read_toml(self._read(PYPROJECT), PYPROJECT)

    @cached_property
    def _uv_tables(self) -> dict[str, Any]:
        """The tables in uv.lock."""
        return read_lock_tables(self._root)

    def bentoml_version(self) -> str:
        """Return the version of bentoml in the lock or in uv.lock, which limits versions, or an empty string."""
        if self.options.disabled:
            return ""
        is_upgrade = bool({"*", "bentoml"} & {*self.options.upgrade})
        names = [UV_LOCK, *([] if is_upgrade else [self._existing()])]
        pins = [pin for name in names if name and self._path(name).is_file() for pin in self._versions(name)]
        return next((version for name, version in pins if name == "bentoml"), "")

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages in the lock that the project has, by name, which might be stale."""
        name = "" if self.options.disabled or self._project.options.python.lock_packages is False else self._existing()
        return dict(self._versions(name)) if name else {}

    def bentoml_users(self) -> set[str]:
        """Return the packages in uv.lock that require bentoml."""
        from rules_bento.bentos.packages.bentoml_users import users_in_lock

        if self.options.disabled or not self._path(UV_LOCK).is_file():
            return set()
        data = self._read(UV_LOCK)
        # Most locks name bentoml only as a package and a requirement of the project. Parsing a large lock takes time.
        others = [block for block in data.split(b"[[package]]") if not re.search(rb'source *= *\{[^}]*"\." *\}', block)]
        if not any(re.search(rb"\{ *name *= *[\"']bentoml[\"']", block) for block in others):
            return set()
        return users_in_lock(self._uv_tables["package"])

    def _versions(self, name: str) -> list[tuple[str, str]]:
        """Return the names and versions of the packages in a lock."""
        listed = self._uv_tables["package"] if name == UV_LOCK else self._neutral(name).packages.values()
        return [(normalize_name(each["name"]), each.get("version", "")) for each in listed]

    def _unlocked(self, reason: str) -> None:
        if self.options.is_explicit:
            raise BentoError(f"the packages can't be locked, {reason}. Remove the reason, or build without a lock.")
        self.notes.append(f"The packages aren't locked, {reason}: each installation can get other versions.")

    def _find(self) -> LockedRequirements | None:
        """Return the packages of the first lock in the project, or None if the project has no lock."""
        name = self._existing()
        if not name:
            return None
        path, text = self._path(name), ""
        if name == UV_LOCK:
            found = self._current or self._read_uv_lock()
        else:
            found, text = self._pins(name), decode_text(self._read(name), name)
        self._check(found, text, path)
        if unhashed := next((pin.name for pin in found if not pin.hashes), ""):
            self.notes.append(f"{path}: {unhashed} has no hash, so installations of the Bento verify no hashes.")
        return LockedRequirements("", tuple((pin.text, pin.hashes) for pin in found))

    def _neutral(self, name: str) -> NeutralLock:
        from rules_bento.bentos.packages.locks.any_lock import read_lock

        command = "" if name in COMMANDS else self.options.command
        return read_lock(self._path(name), command=command, is_verified=False, read=read_inside)

    def _pins(self, name: str) -> list[Line]:
        from rules_bento.bentos.packages.locks.any_lock import pins

        return pins(self._neutral(name))

    def _existing(self) -> str:
        """Return the name of the project's lock, or an empty string."""
        own = self._project.lock_name
        every = [UV_LOCK, PYLOCK, *COMMANDS, own]  # as `find_locks`
        names = every if own == REQUIREMENTS_LOCK else [own]  # of another bentofile in this directory
        names = [self.options.output] if self.options.output else names
        if not self._uses_uv_lock():
            names = [name for name in names if name not in (UV_LOCK, *COMMANDS)]
        return next((name for name in names if self._path(name).is_file()), "")

    def _path(self, name: str) -> Path:
        """Return the path of a lock. A uv.lock is in the root of the project's workspace."""
        return (self._root if name == UV_LOCK else self._directory) / name

    def _described_python(self) -> str:
        """Return the Python version of the Bento, and what sets it, for a message."""
        version = self._python
        if (self._project.options.docker.python_version or "").startswith(version):
            return f"Python {version} ({self._project.options.at('docker.python_version')})"
        is_option = "--python-version" in self.options.command
        return f"Python {version} ({'--python-version' if is_option else 'the default'})"

    def _check_python(self, requires_python: str, path: str) -> None:
        """Raise BentoError if the project doesn't allow the Python version of the Bento."""
        if problem := python_problem(requires_python, self._python, path):
            problem += f", but the Bento is for {self._described_python()}"
            option = f"--python-version {lowest_python(requires_python, path)}"
            raise BentoError(problem, place=path, remedy=f"Set {option}, or docker.python_version in the bentofile.")

    def _check(self, pins: Sequence[Line], text: str, path: Path) -> None:
        """Raise BentoError if a lock doesn't satisfy a requirement, or if it is for another Python version."""
        remedy = f"To update the lock, run `{COMMANDS.get(path.name, self.options.command)}`."
        version = _PYTHON.match(text)
        if version and version[1] != self._python:
            problem = f"the lock is for Python {version[1]}, but the Bento is for {self._described_python()}"
            raise BentoError(problem, place=str(path), remedy=remedy)
        known = {line.removeprefix(_ROOT) for line in text.split("\n") if line.startswith(_ROOT)}
        by_name: dict[str, list[Line]] = {}
        for pin in pins:
            by_name.setdefault(pin.name, []).append(pin)
        for line in self._lines:
            if line.flag or line.text in known or _is_satisfied(line, by_name, has_extras=version is not None):
                continue
            raise BentoError(f"the lock doesn't satisfy {line.text!r}", place=str(path), remedy=remedy)

    def _require_writable(self) -> None:
        obstacle = self.options.obstacle
        if not obstacle and not os.access(self._directory, os.W_OK):
            obstacle = _READ_ONLY
        if obstacle:
            problem = f"the project has no lock of its packages, and {obstacle}"
            remedy = f"Run `{self.options.command}` in a writable checkout, and commit the lock. {_NO_LOCK}"
            raise BentoError(problem, place=str(self._directory.absolute()), remedy=remedy)
        if not self.options.uv:
            remedy = f"Install uv, for example with `pip install uv`. {_NO_LOCK}"
            raise BentoError("the project has no lock of its packages, and uv isn't installed", remedy=remedy)

    def _uses_uv_lock(self) -> bool:
        """Return whether uv.lock is the lock: the project declares all requirements, and bentoml is one of them."""
        options = self._project.options
        is_uv = self._project.declares_requirements and not options.local_packages
        if not is_uv or self.options.output not in ("", UV_LOCK):
            return False
        declared = {requirement_name(text) for text in options.python.packages or ()}
        required = [line for line in self._lines if not line.flag]
        is_complete = "bentoml" in declared and declared >= {requirement_name(line.text) for line in required}
        return is_complete and self._has_version()

    def _has_version(self) -> bool:
        """Return whether the [project] table has a version, without which uv writes no uv.lock."""
        project = self._document.get("project")
        return isinstance(project, dict) and ("version" in project or "version" in (project.get("dynamic") or ()))

    def _write_uv_lock(self) -> None:
        from rules_bento.bentos.packages import uv
        from rules_bento.bentos.packages.indexes import reject_variables
        from rules_bento.bentos.packages.uv_inputs import texts

        from bento_cli.projects import uv_lock_check

        document = self._document
        if isinstance(python := document["project"].get("requires-python"), str):
            self._check_python(python, str(self._directory.absolute() / PYPROJECT))
        if self.options.is_explicit:  # as `uv lock`
            project, settings = document["project"], document.get("tool", {}).get("uv")
            tables = [project.get("dependencies"), project.get("optional-dependencies"), settings]
            declared = texts([*tables, document.get("dependency-groups")])
            reject_variables(declared, str(self._directory.absolute()))
            indexes = uv_lock_check.declared_indexes(dict.fromkeys((self._root, self._directory)))
            access = uv.Access([*indexes], is_trusted=True)
            self._run(["lock"], self._directory, access, "project", [self._root])
            self.written = str(self._path(UV_LOCK))
            return
        inputs, places = self._inputs(), {path.parent for path in uv_lock_check.settings_files([self._root.absolute()])}
        inputs.check(document, PYPROJECT)
        self._settings(inputs)
        for name, address in uv_lock_check.declared_indexes(places - {self._root.absolute()}):
            inputs.location(address, name)
        if problem := uv_lock_check.setting_of_machine(places):
            raise BentoError("only the user chooses this setting", place=problem, remedy=inputs.remedy)
        if self._path(UV_LOCK).is_symlink():
            raise BentoError("the lock is a link", place=str(self._path(UV_LOCK)), remedy="Replace it with a file.")
        self._run(["lock", "--quiet"], self._directory, uv.Access(inputs.indexes), "project", [self._root])
        text = decode_text(self._read(UV_LOCK), UV_LOCK)
        text = text[found.end() :] if (found := _OWN.match(text)) else text
        self._write(UV_LOCK, (_OWN_HEADER.format(self._python, "", _digest(text)) + text).encode())

    def _write_requirements(self, name: str) -> None:
        # writes: own, `requirements.lock.txt` or `pylock.toml`
        from rules_bento.bentos.packages import uv
        from rules_bento.bentos.packages.indexes import Indexes, reject_variables

        options = parse_lines(self._lines)[1]
        for option in options:
            if option.flag not in ("--pre", "--no-binary"):
                reject_option(option)
        indexes = Indexes().with_options(options, "requirements")
        roots = [line.text for line in self._lines if not line.flag]
        inputs = self._inputs()
        settings = self._settings(inputs)
        if any(option.flag == "--pre" for option in options):
            settings = [line for line in settings if not line.startswith('"prerelease" ')] + ['prerelease = "allow"']
        access = uv.Access(inputs.indexes)
        if self.options.is_explicit:
            reject_variables([*roots, *settings], str(self._directory.absolute()))
            access = uv.Access.to(indexes)
            access = access._replace(indexes=[*access.indexes, *inputs.indexes])
        else:
            addresses = (indexes.default, *indexes.extra, *indexes.find_links)
            for address in filter(None, addresses):
                inputs.address(address, "requirements")
            inputs.trust_hosts(indexes.trusted_hosts)
        required = [inputs.requirements([line.text], line.place) for line in self._lines if not line.flag]
        with own_directory("bento-lock-") as temporary:
            directory = temporary / "project"
            directory.mkdir()
            if self.options.is_explicit and self._path(name).is_file():
                (directory / name).write_bytes(self._read(name))
            elif self._path(name).is_file():
                known = inputs.requirements([pin.text for pin in self._pins(name) if pin.pin], name)
                (directory / name).write_text("".join(f"{each}\n" for each in known), "utf-8")
            (temporary / "requirements.in").write_text("".join(f"{each}\n" for [each] in required), "utf-8")
            (directory / "uv.toml").write_text("".join(f"{line}\n" for line in settings), "utf-8")
            (directory / "pyproject.toml").write_text(uv.LAST_PARENT, "utf-8")
            inputs.link(directory)
            flags = ["pip", "compile", str(temporary / "requirements.in"), "-o", name, *_COMPILE]
            flags += ["--python-version", self._python]
            if self._path(UV_LOCK).is_file():
                limits = inputs.requirements([pin.text for pin in self._read_uv_lock(is_checked=False)], UV_LOCK)
                (temporary / "limits.txt").write_text("".join(f"{limit}\n" for limit in limits), "utf-8")
                flags += ["-c", str(temporary / "limits.txt")]
                self.notes.append(f"{UV_LOCK} only limits the versions, because it doesn't lock all requirements.")
            self._run([*flags, *indexes.pip_flags()], directory, access, writes=[temporary])
            text = decode_text(read_inside(directory / name), name)
        reject_variables([text], f"{self._directory.absolute()}: the metadata of a package")
        if not name.endswith(".toml"):
            text = "".join(f"{_ROOT}{root}\n" for root in roots) + text
            digest = self._requirements_digest(self._python)
            own = _OWN_HEADER.format(self._python, f", requirements {digest}", _digest(text))
            text = (_HEADER.format(self._python) if self.options.is_explicit else own) + text
        self._write(name, text.encode())

    def _inputs(self) -> LockInputs:
        from rules_bento.bentos.packages.uv_inputs import LockInputs

        remedy = f"To lock with all settings of the project, which can run its code, run `{self.options.command}`."
        return LockInputs(self._directory, remedy, self.options.is_explicit)

    def _settings(self, inputs: LockInputs) -> list[str]:
        """Return the settings of the project that change versions, as lines of uv.toml."""
        name = "uv.toml" if self._path("uv.toml").is_file() else PYPROJECT
        return inputs.settings(settings_in(self._path(name)), name)

    def _read(self, name: str) -> bytes:
        return read_inside(self._path(name))

    def _read_uv_lock(self, *, is_checked: bool = True) -> list[Line]:
        """Return the requirements in uv.lock, with hashes. If `is_checked` is false, allows a stale lock.

        Raises BentoError if pyproject.toml requires a change of the lock, or another Python version.
        """
        from rules_bento.bentos.packages import lock_format
        from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection

        from bento_cli.projects import uv_lock_check

        project = UvProject.read(self._directory.absolute(), tables=self._uv_tables)
        if is_checked:
            self._check_python(project.requires_python, project.path)
            remedy = f"To update the lock, run `{self.options.command}`."
            self.notes += uv_lock_check.check(project, remedy)
        choice = PackageSelection().choice(project.lock, project.name, project.default_groups)
        return lock_format.export(project.lock, choice, str(self._root / UV_LOCK))

    def _run(
        self, flags: list[str], directory: Path, access: Access, config: str = "directory", writes: Sequence[Path] = ()
    ) -> None:
        """Run uv, which can use the network. If uv fails, raises BentoError with the requirements that uv names."""
        from rules_bento.bentos.packages import uv

        from bento_cli.projects import uv_lock_check
        from bento_cli.projects.isolated_hooks import isolated_hooks

        options, place = self.options, str(self._directory.absolute())
        self.__dict__.pop("_uv_tables", None)  # uv can change the lock
        flags += ["--upgrade"] if "*" in options.upgrade else []
        flags += [word for name in options.upgrade if name != "*" for word in ("--upgrade-package", name)]
        words, reads, python = [options.uv or "uv", *flags], [self._root, directory], f"{self._python}.99"
        if config == "project":
            python = uv_lock_check.allowed_python(reads, f"=={self._python}.*")
            reads = [tree(self._root), *uv_lock_check.settings_above(self._root.absolute())]
        words += [] if options.is_explicit else ["--no-build"]
        reach, hooks = uv.reach(reads, access, writes), isolated_hooks([self._root], python)
        with hooks if options.is_explicit or config == "project" else nullcontext() as call:
            run = uv.Run(words, access, directory, config, python=python, is_shown=True, reach=reach, call=call)
            done = uv.start(run)
        if not done.returncode:
            return
        named = [f"{line.text!r} ({line.place})" for line in self._lines if _is_named(line, done.stderr)]
        listed = without_credentials(", ".join(named[:3])) or "the packages"
        problem = f"uv can't lock {listed} (see above)"
        if not options.is_explicit and "building from source is disabled" in done.stderr:
            remedy = f"To get metadata of packages from their code, in isolation, run `{options.command}`."
        else:
            remedy = f"Change the requirements, or check the network and the package index. {_NO_LOCK}"
            if uv.REFUSED.search(done.stderr) and not options.is_explicit:
                remedy = uv.login_remedy(access.indexes)
        raise BentoError(problem, place=place, remedy=remedy)

    def _write(self, name: str, content: bytes) -> None:
        from rules_bento.base.archives.atomic import replace_file

        path = self._directory / name
        try:
            outside(replace_file, path, content)  # writes: output, the lock of the project
        except OSError as error:
            raise BentoError(f"cannot write the lock: {error.strerror}", place=str(path), remedy=_NO_LOCK) from None
        self.written = str(path)


def as_explicit(text: str) -> str:
    """Return a lock with the header of `bento lock`, which replaces the header of a build."""
    found = _OWN.match(text)
    return _HEADER.format(found[1]) + text[found.end() :] if found else text


def _is_named(line: Line, output: str) -> bool:
    """Return whether an output of uv contains the name, the file name, or the value of a requirement or an option."""
    names = [line.value] if line.flag else [line.name, line.text, line.text.rpartition("/")[2]]
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w:-])", output) for name in names if name)


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_satisfied(line: Line, pins: dict[str, list[Line]], *, has_extras: bool) -> bool:
    """Return whether the locked packages `pins` satisfy a requirement."""
    requirement = line.parse()
    if requirement is None:
        return False
    found = pins.get(normalize_name(requirement.name), [])
    if not found:
        return requirement.marker is not None
    extras = {normalize_name(extra) for extra in requirement.extras}
    for pin in found:
        locked = parse_requirement(pin.text)
        if has_extras and not extras <= {normalize_name(extra) for extra in locked.extras}:
            return False
        if pin.pin and not requirement.specifier.contains(pin.pin[1], prereleases=True):
            return False
    return True
