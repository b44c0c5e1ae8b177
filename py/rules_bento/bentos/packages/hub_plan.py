"""Plans the repositories of a package hub: its packages on each platform, their targets, and their wheels.

Bazel generates the repositories from the plan. Each package and each wheel has its own file, so that Bazel writes a
repository again only if its part of the plan changes.
"""

from __future__ import annotations

import json

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.platforms import (
    PYTHON_VERSIONS,
    includes_python,
    marker_environment,
    system_and_machine,
)
from rules_bento.bentos.packages.wheel_choice import best_wheel, oldest_system

if TYPE_CHECKING:
    Package = dict[str, Any]  # an entry of a lock; `repository` is its repositories' name without the platform
    Required = tuple[Package, Sequence[str]]  # a package and its required extras

# Packages that the import of a service requires: BentoML, and FastAPI, because the service metadata contains FastAPI
# routes.
_IMPORTED = ("bentoml", "fastapi")
_RULES = "@rules_bento//private:hub_rules.bzl"
_SETTINGS = "@rules_bento//toolchains/platforms:is_"
_PUBLIC = ["//visibility:public"]
_RELOCK = "Update the lock, for example with the bento_requirements target or `uv lock`"


class HubPlan:
    """The plan of a package hub for a Python version (`X.Y[.Z]`).

    `settings` has the lock (`lock`), the name of the hub (`hub`), its platforms (`platforms`), and the newest versions
    that wheels can require (`glibc` and `macos`).
    """

    def __init__(self, settings: Mapping[str, Any], python_version: str) -> None:
        self.hub: str = settings["hub"]
        self.python = python_version
        self.newest = {"darwin": settings["macos"], "linux": settings["glibc"]}
        self.lock = settings["lock"]
        self.packages: dict[str, list[Package]] = {}
        for package in self.lock["packages"]:
            self.packages.setdefault(package["name"], []).append(package)
        self.closures = {name: Closures(self.hub, name, self.python, self.packages) for name in settings["platforms"]}
        self.wheels = {  # the choices by the name of the wheel's repository
            f"{package['repository']}__{platform}": self._choice(package, platform)
            for platform in self.closures
            for package in self.lock["packages"]
        }

    def documents(self) -> dict[str, Any]:
        """Return JSON documents by path: the wheels, the packages, and the names of all targets (`hub`).

        If the lock contradicts itself or the settings, the targets fail with the error. A failing repository rule would
        also break `bazel query`.
        """
        names = sorted(self.packages)
        entries: dict[str, dict[Any, Package]] = {name: {} for name in names}  # the active ones, by platform
        try:
            self._check_python()
            for platform, closures in self.closures.items():
                for name, entry in closures.of(closures.active(self.lock["roots"])).items():
                    entries[name][platform] = entry
            packages = {name: self._package(name, entries[name]) for name in names}
            active = [name for name in names if entries[name]]
        except BentoError as error:
            entries = {name: dict(enumerate(self.packages[name])) for name in names}
            packages = {name: _failing_package(name, entries[name], str(error)) for name in names}
            active = names
        targets = {name: _target_names(name, entries[name]) for name in names}
        documents: dict[str, Any] = {f"wheels/{name}": choice for name, choice in self.wheels.items()}
        documents |= {f"packages/{_target_name(name)}": package for name, package in packages.items()}
        return documents | {"hub": {"active": active, "packages": targets}}

    def _check_python(self) -> None:
        """Raise BentoError if the lock doesn't support the Python version."""
        supported, version = self.lock["requires_python"], self.python
        if includes_python(supported, version):
            return
        compatible = [known for known in PYTHON_VERSIONS if includes_python(supported, known)]
        remedy = "Update the lock."
        if compatible:
            remedy = f'Set python_version = "{compatible[0]}" in bento.pypi, or update the lock.'
        if "__python_" in self.hub:  # of more_python_versions
            remedy = (
                f"A requirements file is read for one Python: use a uv.lock whose requires-python includes {version}, "
                "or a second bento.pypi tag."
            )
        raise BentoError(f"@{self.hub} is for Python {version}, but the lock is for {supported}", remedy=remedy)

    def _choice(self, package: Package, platform: str) -> dict[str, str]:
        """Return the wheel of a release for a platform, or the error of targets that need one, and its source."""
        system = system_and_machine(platform)[0]
        release, newest = f"{package['name']}=={package['version']}", self.newest[system]
        choice = {"python_version": self.python}
        if sources := [file for file in package["files"] if file.endswith((".tar.gz", ".zip"))]:
            choice |= {"source": sources[0], "source_sha256": package["files"][sources[0]]}
        if wheel := best_wheel(package["files"], platform, self.python, newest):
            return choice | {"wheel": wheel, "sha256": package["files"][wheel]}
        if unlocked := best_wheel(package.get("rejected_files", ()), platform, self.python, newest):
            return choice | {"problem": f"{release}: the hash of {unlocked} isn't in the lock. {_RELOCK}."}
        if not package["files"]:
            problem = f"the lock has no file for {package['name']} on {platform} with CPython {self.python}"
            remedy = "Lock for all platforms, for example with `uv pip compile --universal`."
            return choice | {"problem": f"{problem}. {remedy}"}
        name, attribute, machines = "glibc", "glibc", "all base images"
        if system == "darwin":
            name, attribute, machines = "macOS", "macos", "all machines"
        needs, instead = "", ""
        if other := oldest_system(package["files"], platform, self.python):
            needs = f", but a wheel for {name} {other}"
            setting = f'{attribute} = "{other}" in bento.pypi if {machines} have at least this version'
            instead = f", or set {setting}"
            choice["newer"] = (
                f"{release} has a wheel for {platform}, but the wheel requires {name} {other}. Set {setting}."
            )
        listing = "\n  ".join(sorted(package["files"]))
        problem = f"{release} has no wheel for {platform} with CPython {self.python} and {name} {newest}{needs}"
        remedy = f"Select another version of the package and update the lock{instead}. Files in the lock:\n  {listing}"
        return choice | {"problem": f"{problem}. {remedy}"}

    def _modules_and_wheel(self, package: Package, platform: str) -> tuple[str, str, str]:
        """Return the labels of a package's modules, of its modules for tools of actions, and of its wheel."""
        repository = f"{package['repository']}__{platform}"
        choice = self.wheels[repository]
        if "git" in package.get("source", {}) or ("source" in choice and "wheel" not in choice):
            modules = f"@{repository}_source//:modules"
            return modules, modules, f"@{repository}_source//:wheel"
        return f"@{repository}_modules//:modules", f"@{repository}//:modules", f"@{repository}//:wheel"

    def _package(self, name: str, entries: Mapping[str, Package]) -> dict[str, Any]:
        """Return the BUILD file (`build`) of a package, and its active entries by release (`locked`)."""
        no_match = self._no_match(name, entries)
        if not entries:
            return _failing_package(name, entries, no_match)
        descriptions = {platform: f"locked-{_release(entry)}.json" for platform, entry in entries.items()}
        wheels = {f"{_SETTINGS}{key}": self._modules_and_wheel(entry, key)[2] for key, entry in entries.items()}
        build = _load("deferred", "locked_package", "requirement")
        build += _target("package", default_visibility=_PUBLIC)
        build += _target("locked_package", name="_locked", description=_select(descriptions, no_match))
        build += _target("deferred", name="whl", labels=wheels, no_match_error=no_match)
        for extra in ("", *_extras(entries)):
            build += self._requirement(name, entries, extra, no_match)
        locked = {
            _release(entry): {key: entry[key] for key in entry if key != "repository"} for entry in entries.values()
        }
        return {"build": build, "locked": locked}

    def _requirement(self, name: str, entries: Mapping[str, Package], extra: str, no_match: str) -> str:
        """Return the text of the target for a package, or for one of its extras."""
        modules: dict[str, list[str]] = {}
        wheels: dict[str, list[str]] = {}
        locked = {}
        for platform, entry in entries.items():
            closures = self.closures[platform]
            closure = closures.of([(entry, [extra] if extra else [])])
            labels = [self._modules_and_wheel(package, platform) for package in closure.values()]
            imported = closures.of([(closure[each], ()) for each in _IMPORTED if each in closure])
            locked[platform] = [f"@{self.hub}__{_target_name(each)}__package//:_locked" for each in closure]
            modules |= {
                platform: [label for label, _, _ in labels],
                f"{platform}_tool": [label for _, label, _ in labels],
                # Configurations that require only wheels have no modules, so that Bazel doesn't fetch modules.
                f"{platform}_files": [],
                f"{platform}_import": [self._modules_and_wheel(package, platform)[0] for package in imported.values()],
            }
            wheels |= {platform: [], f"{platform}_files": [label for *_, label in labels]}
        return _target(
            "requirement",
            name=_extra_name(extra, name) if extra else _target_name(name),
            distribution=name,
            extra=extra,
            glibc=self.newest["linux"],
            modules=_select(modules, no_match),
            packages=_select(locked, no_match),
            platform=_select({platform: platform for platform in entries}, no_match),
            python_version=self.python,
            wheels=_select(wheels, no_match),
        )

    def _no_match(self, name: str, platforms: Iterable[str]) -> str:
        """Return the error for builds on a platform that isn't in `platforms`, on which the lock has the package."""
        own, hub = ", ".join(self.closures), ", ".join(platforms)
        if own == hub:
            text = f"@{self.hub} is for {own}, but the build is for another platform. Add the platform to platforms of "
            return text + f'bento.pypi(name = "{self.hub}") in MODULE.bazel.'
        return (
            f"@{self.hub} has {name} for Python {self.python} {f'only on {hub}' if hub else 'on none'} of {own}, "
            f"because of markers in the lock. Exclude the package from the build, or lock {name} directly, without a "
            "marker."
        )


class Closures:
    """Determines what packages of a lock require on one platform."""

    def __init__(self, hub: str, platform: str, python: str, packages: Mapping[str, list[Package]]) -> None:
        self._hub, self._packages = hub, packages
        self._environment = marker_environment(*system_and_machine(platform), python)
        self._markers: dict[str, bool] = {"": True}
        self._required: dict[tuple[str, str, str], list[Required]] = {}

    def active(self, edges: Iterable[dict[str, Any]]) -> list[Required]:
        """Return what edges require. Raises BentoError if the lock lacks a package."""
        return [
            (self._package(edge), edge.get("extras", ())) for edge in edges if self._is_active(edge.get("marker", ""))
        ]

    def _is_active(self, marker: str) -> bool:
        if marker not in self._markers:
            from packaging.markers import Marker

            self._markers[marker] = Marker(marker).evaluate(self._environment)
        return self._markers[marker]

    def _package(self, edge: dict[str, Any]) -> Package:
        for package in self._packages.get(edge["name"], ()):
            if all(edge.get(key, package.get(key)) == package.get(key) for key in ("version", "index")):
                return package
        release = " ".join([edge["name"], *([edge["version"]] if "version" in edge else [])])
        problem = f"@{self._hub}: the lock requires {release}, but doesn't include the package"
        raise BentoError(problem, remedy=f"{_RELOCK}.")

    def of(self, start: Iterable[Required]) -> dict[str, Package]:
        """Return `start` and all transitive dependencies by name, sorted. Raises BentoError for two versions of one."""
        queue = list(start)
        closure: dict[str, Package] = {}
        seen = set()
        while queue:
            package, extras = queue.pop()
            name = package["name"]
            other = closure.setdefault(name, package)
            if other is not package and _release(other) != _release(package):
                problem = f"the lock contains {name} {other['version']} and {name} {package['version']}"
                remedy = f"{_RELOCK}, or select extras and groups that require only one of the versions."
                raise BentoError(f"@{self._hub}: {problem} for the same platform", remedy=remedy)
            for extra in ("", *extras):
                if (name, extra) not in seen:
                    seen.add((name, extra))
                    queue += self._next(package, extra)
        return dict(sorted(closure.items()))

    def _next(self, package: Package, extra: str) -> list[Required]:
        """Return what a package or one of its extras requires directly."""
        key = (package["name"], _release(package), extra)
        if key not in self._required:
            edges = package.get("extras", {}).get(extra, ()) if extra else package.get("dependencies", ())
            self._required[key] = self.active(edges)
        return self._required[key]


class _Expression(str):
    """An expression in a BUILD file."""

    __slots__ = ()


def _target(kind: str, **values: object) -> str:
    """Return the text of a target for a BUILD file. All strings are quoted, except for expressions."""
    texts = {name: value if isinstance(value, _Expression) else json.dumps(value) for name, value in values.items()}
    lines = "".join(f"    {name} = {text},\n" for name, text in texts.items())
    return f"\n{kind}(\n{lines})\n"


def _load(*names: str) -> str:
    return f"load({', '.join(map(json.dumps, (_RULES, *names)))})\n"


def _select(values: Mapping[str, object], no_match: str) -> _Expression:
    cases = json.dumps({f"{_SETTINGS}{key}": value for key, value in values.items()})
    return _Expression(f"select({cases}, no_match_error = {json.dumps(no_match)})")


def _target_name(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _extra_name(extra: str, name: str) -> str:
    """Return the name of the target for an extra, with a prefix if another target has the name of the extra."""
    return f"extra_{extra}" if extra in (_target_name(name), "whl", "locked", "_locked", "_modules") else extra


def _extras(entries: Mapping[Any, Package]) -> list[str]:
    return sorted({extra for entry in entries.values() for extra in entry.get("extras", ())})


def _target_names(name: str, entries: Mapping[Any, Package]) -> list[str]:
    return [_target_name(name), "whl", *(_extra_name(extra, name) for extra in _extras(entries))]


def _failing_package(name: str, entries: Mapping[Any, Package], problem: str) -> dict[str, Any]:
    """Return a package without entries, whose targets fail with an error in the analysis."""
    targets = [
        _target("failing_target", name=target, problem=problem, tags=["manual"], visibility=_PUBLIC)
        for target in _target_names(name, entries)
    ]
    return {"build": _load("failing_target") + "".join(targets), "locked": {}}


def _release(package: Package) -> str:
    """Return a string that distinguishes the entries of a package: the version and, if specified, the index."""
    return "_".join([package["version"], *([package["index"]] if "index" in package else [])])
