"""The subset of a lock: uv and pip-tools agree, sources count, and conflicts are explained."""

import json
import os
import sys
from pathlib import Path
from random import Random

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_subset
from rules_bento.bentos.packages.lock_subset import Query, Resolution, Resolver, Target, matching_pins, resolve_one
from rules_bento.bentos.packages.platforms import system_and_machine
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements

LOCKED = json.loads(Path("tests/requirements.lock.json").read_text("utf-8"))
MINOR = ".".join(str(part) for part in sys.version_info[:2])
HERE = Target("linux_amd64" if sys.platform == "linux" else "darwin_arm64", MINOR, "2.28")
UV = Resolver(sys.executable, Path(os.environ["RULES_BENTO_UV"]))
PIP_TOOLS = Resolver(sys.executable, UV.uv, os.environ["RULES_BENTO_ROOTS"].split(os.pathsep))
# The requirements of golden Bentos (Pillow, scikit-learn), and six sets of public packages.
SETS = (
    ("bentoml", "pillow"),
    ("bentoml", "scikit-learn"),
    ("bentoml", "fastapi", "pandas"),
    ("moto", "botocore", "google-auth"),
    ("paramiko", "asyncssh", "fsspec", "requests"),
    ("sigstore", "huggingface-hub"),
    ("bentoml", "grpcio", "protobuf", "jinja2"),
    ("pytest", "hypothesis", "coverage", "mypy", "hatchling"),
)


def write(directory, packages):
    """What is read of a file for each package, as a hub has it."""
    paths = []
    for package in packages:
        paths.append(directory / f"{package['name']}-{package['version']}.json")
        paths[-1].write_text(json.dumps(package), "utf-8")
    return lock_subset.read(map(str, paths))


def asked(*requirements, **constraints):
    """What an attribute asks for."""
    return Query(dict.fromkeys(requirements, "packages"), {f"{k}{v}": "b.yaml:3" for k, v in constraints.items()})


def resolve(query, entries, target=HERE, resolver=UV, **more):
    query = asked(query) if isinstance(query, str) else query
    return lock_subset.resolve_subset(query, entries, target, resolver, **more)


def plain(name, version, *dependencies, files=None, **more):
    files = files or {f"{name.replace('-', '_')}-{version}-py3-none-any.whl": "a" * 64}
    edges = [{"name": edge} for edge in dependencies]
    return {"name": name, "version": version, "dependencies": edges, "files": files, **more}


def closure(roots, environment=None):
    """What the lock has of the closure of packages, without extras, in this Python or another environment."""
    from packaging.markers import Marker

    def holds(edge):
        return "marker" not in edge or Marker(edge["marker"]).evaluate(environment)

    found = {}
    queue = [{**edge, "extras": []} for edge in LOCKED["roots"] if edge["name"] in roots and holds(edge)]
    while queue:
        edge = queue.pop()
        for package in LOCKED["packages"]:
            if package["name"] == edge["name"] and package["version"] == edge.get("version", package["version"]):
                wanted = [package.get("dependencies", [])]
                wanted += [package.get("extras", {}).get(extra, []) for extra in edge.get("extras", [])]
                if (package["name"], tuple(edge.get("extras", []))) not in found:
                    found[package["name"], tuple(edge.get("extras", []))] = package
                    queue += [inner for edges in wanted for inner in edges if holds(inner)]
    return list({package["name"]: package for package in found.values()}.values())


@pytest.mark.skipif(sys.platform != "linux", reason="the lock's wheels are chosen for the host")
@pytest.mark.parametrize("roots", SETS, ids="-".join)
def test_pip_tools_and_uv_agree(tmp_path, roots):
    paths = write(tmp_path, closure({*roots}))
    assert len(paths) > len(roots)
    query = asked(*roots)
    assert resolve(query, paths) == resolve(query, paths, HERE, PIP_TOOLS)


def test_pip_tools_names_what_it_does_not_support(tmp_path):
    other = Target("linux_arm64" if sys.platform == "darwin" else "darwin_arm64", MINOR, "2.28")
    with pytest.raises(BentoError, match="can't resolve for another platform or Python version"):
        resolve("a", write(tmp_path, [plain("a", "1")]), other, PIP_TOOLS)


@pytest.mark.parametrize("resolver", [UV, PIP_TOOLS], ids=["uv", "pip-tools"])
def test_each_resolver_explains_conflicts(tmp_path, resolver):
    paths = write(tmp_path, [plain("a", "1.0"), plain("b", "2.0", "a")])
    with pytest.raises(BentoError, match=r"\n  b\.yaml:3: a>=3: the lock has a 1\.0\n") as caught:
        resolve(asked("b", "a", a=">=3"), paths, HERE, resolver)
    shown = str(caught.value)
    assert shown.startswith(f"the requirements conflict with the lock for {HERE.platform} and Python {MINOR}")
    assert str(tmp_path) not in shown
    assert "Traceback" not in shown
    made = resolve(asked("b", a="<2", absent="<1"), paths, HERE, resolver)
    assert made.pinned == "a==1.0\nb==2.0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the lock's wheels are chosen for the host")
def test_answers_for_each_package_make_the_slice_of_all_of_them(tmp_path):
    roots = ("bentoml", "scikit-learn")
    resolutions = [resolve_one(root, closure({root}), HERE, UV) for root in roots]
    assert [len(answer.pins) > 4 for answer in resolutions] == [True, True]
    packages = closure({*roots})
    resolutions = [Resolution.loads(answer.dumps()) for answer in resolutions]
    entries, absent = lock_subset.read([], resolutions), Resolver("absent", Path("absent"))
    # numpy is asked for by a library, too.
    joined = resolve(asked(*roots, "numpy"), entries, HERE, absent, resolutions=resolutions)
    assert joined.pins == resolve(asked(*roots), packages).pins


def test_one_file_contains_all_answers_for_a_bento():
    files = {"a-1.0-py3-none-any.whl": "a" * 64, "a-1.0.tar.gz": "b" * 64, "a-1.0-cp311-cp311-win32.whl": "c" * 64}
    entries = [
        {"name": "a", "version": "1.0", "files": files, "modules": ["a_sdk"]},
        {"name": "b", "version": "2.0", "files": {}, "modules": None, "source": {"wheel": "b-2.0-py3-none-any.whl"}},
        {"name": "c", "version": "3.0", "files": files, "source": {"url": "https://c.example/c d\x85e.zip"}},
    ]
    resolutions = [Resolution("a", {"a": "a==1.0", "b": "b==2.0", "c": "c==3.0"})]
    made = resolve("a", entries, resolutions=resolutions)
    assert made.pinned_with_hashes.count("--hash=") == 2 * 2
    assert LockedRequirements.loads(made.dumps()) == made
    assert made.modules == {"a": ["a_sdk"]}
    nothing = LockedRequirements("", ())
    assert LockedRequirements.loads(nothing.dumps()) == nothing


A_AND_B = (Resolution("a", {"a": "a==1.0"}), Resolution("b", {"b": "b==2.0"}))


@pytest.mark.parametrize(
    ("wanted", "resolutions"),
    [
        (asked("a", "b"), A_AND_B[:1]),
        (asked("a", "b"), (A_AND_B[0], Resolution("b", {}))),
        (asked("a", "b", "a<2rc1"), A_AND_B),
        (asked("a", "b", "a<2; python_version > '3'"), A_AND_B),
        (asked("a", "b", "a[x]"), A_AND_B),
        (asked("a", "b", a="<2rc1"), A_AND_B),
        (asked("a", "b", a="<2; python_version > '3'"), A_AND_B),
        (asked("a", "b"), (*A_AND_B, Resolution("c", {"c": "c==1"}))),
    ],
    ids=["none", "no-solution", "pre-release", "marker", "extra", "limit", "limit-with-marker", "of-another"],
)
def test_the_resolver_is_asked_where_answers_do_not_say_all(tmp_path, monkeypatch, wanted, resolutions):
    paths = write(tmp_path, [plain("a", "1.0"), plain("b", "2.0")])
    questions = []
    compiled = lock_subset._compile
    monkeypatch.setattr(lock_subset, "_compile", lambda *question: questions.append(question) or compiled(*question))
    assert resolve(wanted, paths, resolutions=resolutions).pinned == "a==1.0\nb==2.0\n"
    assert questions


VERSIONS = ("1", "1.0", "1.2.3", "1.2.3", "2.0", "2.0", "2.1rc1", "3.0.post1", "2.0+cpu")
CLAUSES = (
    ">=1", ">0.9", "<=3", "<9", "!=1.1", "!=2.*", "~=1.0", "~=2.0", "==2.*", "==1", "<2rc1", ">=1.0rc1", "===1.0",
    ">2",
)  # fmt: skip
MARKERS = (" ; sys_platform == 'linux'", " ; python_version < '3'")


def drawn_packages(random):
    """Packages of a lock, of which each may need later ones, and extras of each any."""
    names = ["a", "b-c", "d", "e"][: random.randrange(2, 5)]
    asked_for = [{}, {"extras": ["y"]}, {"specifier": "<2"}]

    def edges():
        count = random.randrange(3)
        return [{"name": random.choice([*names * 3, "gone"]), **random.choice(asked_for)} for _ in range(count)]

    return [
        plain(
            name,
            random.choice(VERSIONS),
            *(other for other in names[at + 1 :] if random.random() < 0.7),
            extras={key: edges() for key in random.sample(["x", "y"], random.randrange(3))},
        )
        for at, name in enumerate(names)
    ]


def drawn_requirement(random, packages, extras):
    """A requirement as a person might write it, which the packages may satisfy."""
    name = random.choice(packages)["name"].replace("-", random.choice("-_."))
    clauses = random.sample(CLAUSES, random.randrange(3))
    return name + random.choice(extras) + ",".join(clauses) + random.choice([""] * 8 + [*MARKERS])


def test_what_closures_satisfy_is_what_uv_finds(tmp_path):
    """Draw locks and requirements: where uv is not asked for all of them together, it would have said the same."""
    random = Random(20)
    count = 0
    for number in range(600):
        directory = tmp_path / str(number)
        directory.mkdir()
        packages = drawn_packages(random)
        pins = {package["name"]: f"{package['name']}=={package['version']}" for package in packages}
        wanted = Query(
            dict.fromkeys([*pins, drawn_requirement(random, packages, ["", "", "[x]", "[X,y]"])], "packages"),
            dict.fromkeys([drawn_requirement(random, packages, [""])][random.randrange(2) :], "b.yaml:3"),
        )
        single = [Resolution(name, {name: pin}) for name, pin in pins.items()]
        if joined := lock_subset._combine(wanted, lock_subset._index_by_name(packages), single):
            count += 1
            whole = resolve(wanted, write(directory, packages))
            assert whole.pinned == "".join(f"{pin}\n" for pin, _ in joined), (wanted, packages)
    assert count > 30


class Drawn:
    """A lock drawn at random, for a target: what services may require of it, and what its closures are."""

    VERSIONS = ("1.0", "2.0rc1", "3!1.0", "1.0.post1", "0.dev2", "2024.10.1")
    CONDITIONS = (
        "", "", "", "sys_platform == 'linux'", "sys_platform == 'darwin'", "python_version < '3.12'",
        "python_full_version >= '3.12.4'", "platform_machine == 'aarch64' or python_version >= '3.13'",
    )  # fmt: skip

    def __init__(self, chance: Random) -> None:
        platform = chance.choice(["linux_amd64", "linux_arm64", "darwin_arm64"])
        self.target = Target(platform, chance.choice(["3.10", "3.12", "3.13", "3.12.3"]), "2.28")
        names = [f"p{number}" for number in range(chance.randint(2, 9))]
        self.extras = {name: [f"e{number}" for number in range(chance.choice([0, 0, 1, 2]))] for name in names}
        self.packages = {name: self._package(name, chance) for name in names}
        texts = [f"{name}[{extra}]" for name in names for extra in self.extras[name]]
        self.roots = chance.sample(names + texts, min(len(names + texts), chance.randint(1, 4)))

    def _package(self, name, chance):
        version = chance.choice(self.VERSIONS)
        wheel = f"{name}-{version}-py3-none-any.whl"
        source = {}
        if chance.random() < 0.15:
            commit = {"git": "https://a.test/a", "commit": "0" * 40}
            source = {"source": chance.choice([{"url": f"https://a.test/{name}.zip"}, commit])}
            wheel = f"{name}.zip"
        extras = {extra: self._edges(chance) for extra in self.extras[name]}
        package = plain(name, version, files={wheel: "a" * 64}, **source, **({"extras": extras} if extras else {}))
        return package | {"dependencies": self._edges(chance)}

    def _edges(self, chance):
        edges = []
        for other in chance.sample(list(self.extras), chance.choice([0, 1, 1, 2]) % (len(self.extras) + 1)):
            edge = {"name": other}
            if self.extras[other] and chance.random() < 0.5:
                edge["extras"] = chance.sample(self.extras[other], chance.randint(1, len(self.extras[other])))
            if marker := chance.choice(self.CONDITIONS):
                edge["marker"] = marker
            edges.append(edge)
        return edges

    def closure(self, root):
        """The names of the packages that a root needs, as the graph of targets has them."""
        from packaging.markers import Marker

        environment = environment_of(self.target)
        environment["python_version"] = self.target.python_minor
        full = self.target.python_version
        environment["python_full_version"] = full if full.count(".") == 2 else f"{full}.0"
        name, _, extra = root.rstrip("]").partition("[")
        left, seen = [(name, ""), *([(name, extra)] if extra else [])], set()
        while left:
            name, extra = left.pop()
            if (name, extra) not in seen:
                seen.add((name, extra))
                package = self.packages[name]
                for edge in package["extras"][extra] if extra else package["dependencies"]:
                    if "marker" not in edge or Marker(edge["marker"]).evaluate(environment):
                        left += [(edge["name"], each) for each in ("", *edge.get("extras", []))]
        return {name for name, _ in seen}


def outcome(make):
    """What it makes, or why it does not."""
    try:
        return make()
    except BentoError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(int(os.environ.get("RULES_BENTO_EXAMPLES", "12"))))
def test_answers_are_joined_to_what_uv_says_of_all_at_once(tmp_path, monkeypatch, seed):
    """Or they are not joined: where something else is asked for, is limited, is missing or is too much."""
    chance = Random(seed)
    drawn = Drawn(chance)
    entries = {entry["name"]: entry for entry in write(tmp_path, drawn.packages.values())}
    closures = {root: drawn.closure(root) for root in drawn.roots}
    given_to = {root: [entries[name] for name in sorted(names)] for root, names in closures.items()}
    resolutions = [resolve_one(root, found, drawn.target, UV) for root, found in given_to.items()]
    assert [answer.pins.keys() for answer in resolutions] == list(closures.values())
    given = {name: entries[name] for name in sorted(set().union(*closures.values()))}
    wanted, limits, change = dict.fromkeys(drawn.roots, "requirements"), {}, seed % 8
    some = chance.choice(sorted(drawn.packages))
    more = []
    match change:
        case 1:  # a library or a bentofile names a package, too
            wanted[some] = "deps"
        case 2:
            text = chance.choice([f"{some}>=1", f"{some}<1", f"{some}[no]", f"{some} ; python_version < '3.12'"])
            wanted[text] = "b.yaml:1"
        case 3:
            limits[chance.choice([f"{some}>=1", f"{some}<1", "other<1"])] = "b.yaml:1"
        case 4:
            given[some] = entries[some]
        case 5:
            given.pop(some, None)
        case 6:
            resolutions.pop(chance.randrange(len(resolutions)))
        case 7:
            more.append(drawn.packages[some] | chance.choice([{"version": "7"}, {"dependencies": [{"name": some}]}]))
    request, found = Query(wanted, limits), [*given.values(), *more]
    joined, whole = (
        outcome(lambda: resolve(request, found, drawn.target, resolutions=each)) for each in (resolutions, [])
    )
    assert joined == whole
    if change == 0:
        monkeypatch.setattr(lock_subset, "_compile", None)
        read = lock_subset.read([], resolutions)
        assert resolve(request, read, drawn.target, resolutions=resolutions) == whole


def own_wheel(name, version, **more):
    """What describe_wheel says of a bento_wheel."""
    source = {"wheel": f"{name}-{version}-py3-none-any.whl", "label": f"//svc:{name}_wheel"}
    return plain(name, version, **{"files": {source["wheel"]: "b" * 64}, "source": source} | more)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (plain("a", "3.0"), r"1\.0 from a lock and 3\.0 from a lock\. .* single package hub"),
        (plain("a", "1.0", files={"a-1.0.tar.gz": "c" * 64}), r"1\.0 from a lock and 1\.0 from a lock\. .* single package hub"),
        (own_wheel("a", "3.0"), r"1\.0 from a lock and 3\.0 from //svc:a_wheel\. Remove //svc:a_wheel, or exclude a "),
        (own_wheel("a", "1.0"), r"and 1\.0 from //svc:a_wheel\. .*`a ; sys_platform == 'never'` to .*overrides"),
    ],
    ids=["another-version", "another-file", "own-wheel", "own-wheel-of-the-version"],
)  # fmt: skip
@pytest.mark.parametrize("order", [1, -1])
def test_two_packages_of_a_name_are_rejected(tmp_path, second, message, order):
    others = tmp_path / "others"
    others.mkdir()
    paths = write(tmp_path, [plain("a", "1.0"), plain("b", "2.0", "a")]) + write(others, [second])
    if order < 0:
        message = ""
    with pytest.raises(BentoError, match=rf"requirements contain a twice \(required by b\): .*{message}"):
        resolve(asked("a", "b"), paths[::order])
    assert not resolve_one("b", paths[::order], HERE, UV).pins, "who locks it all says so"


def test_two_wheels_of_a_name_are_rejected(tmp_path):
    other = own_wheel("a", "3.0", source={"wheel": "a-3.0-py3-none-any.whl", "label": "//other:a"})
    paths = write(tmp_path, [own_wheel("a", "1.0"), other])
    with pytest.raises(
        BentoError, match=r"1\.0 from //svc:a_wheel and 3\.0 from //other:a\. Remove one of the wheels\."
    ):
        resolve("a", paths)


def test_one_file_that_two_targets_have_is_one_package(tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    again = own_wheel("a", "1.0", source={"wheel": "a-1.0-py3-none-any.whl", "label": "//other:a"})
    paths = write(tmp_path, [own_wheel("a", "1.0")]) + write(others, [again])
    made = resolve("a", paths)
    assert made.pinned == "./wheels/a-1.0-py3-none-any.whl\n"


def test_a_package_without_a_solution_has_no_answer(tmp_path):
    unlocked = {"name": "only-here", "version": "1", "files": {}, "unlocked": True}
    for packages in ([plain("a", "1.0", "only-here"), unlocked], [plain("a", "1", "b")]):
        assert resolve_one("a", packages, HERE, UV) == Resolution("a", {}, packages)


def environment_of(target):
    """The markers of a target, as uv has them."""
    system, machine = system_and_machine(target.platform)
    names = {"linux": ("linux", "Linux"), "darwin": ("darwin", "Darwin")}[system]
    versions = {"python_version": target.python_version, "python_full_version": f"{target.python_version}.0"}
    return {"sys_platform": names[0], "platform_system": names[1], "platform_machine": machine, **versions}


def by_each(monkeypatch, made):
    """What `made` returns where uv has only a fake interpreter, and where it has only a real one."""
    for commands in (slice(0, 1), slice(1, 2)):
        with monkeypatch.context() as patched:
            before = lock_subset._commands
            patched.setattr(lock_subset, "_commands", lambda *arguments: before(*arguments)[commands])
            yield made()


@pytest.mark.parametrize("platform", ["linux_amd64", "linux_arm64", "darwin_arm64", "darwin_amd64"])
@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_uv_says_the_same_without_an_interpreter(tmp_path, monkeypatch, platform, version):
    target = Target(platform, version, "2.28")
    paths = write(tmp_path, closure({"bentoml", "scikit-learn"}, environment_of(target)))
    assert len(paths) > 60
    query = asked("bentoml", "scikit-learn")
    fake, real = by_each(monkeypatch, lambda: resolve(query, paths, target))
    assert fake == real


@pytest.mark.parametrize(("python", "abi"), [("3.11", "cp311d"), ("3.13", "cp313d"), ("3.13", "cp313t")])
def test_a_wheel_for_another_build_of_python_fits_no_target(tmp_path, python, abi):
    """Neither a debug build nor a free-threaded one is what a target has."""
    files = {f"a-1.0-{abi[:5]}-{abi}-manylinux_2_17_x86_64.whl": "1" * 64}
    with pytest.raises(BentoError, match="conflict with the lock for linux_amd64"):
        resolve("a", write(tmp_path, [plain("a", "1.0", files=files)]), Target("linux_amd64", python, "2.28"))


MARKERS = (
    "implementation_name == 'cpython'", "os_name == 'posix'", "platform_machine == 'aarch64'",
    "platform_machine == 'x86_64'", "platform_python_implementation == 'CPython'",
    "platform_python_implementation == 'PyPy'", "platform_release == ''", "platform_system == 'Darwin'",
    "platform_system == 'Linux'", "platform_version == ''", "python_full_version < '3.12.4'",
    "python_full_version == '3.12.*'", "python_version < '3.12'", "python_version >= '3.12'",
    "sys_platform == 'darwin'", "sys_platform == 'linux'",
)  # fmt: skip


@pytest.mark.parametrize("version", ["3.12", "3.12.4"])
@pytest.mark.parametrize("platform", ["linux_arm64", "darwin_arm64"])
def test_markers_hold_the_same_without_an_interpreter(tmp_path, monkeypatch, platform, version):
    """Each guards a package; an extra, and an extra's own edges, are followed as well."""
    names = {f"p{number}": marker for number, marker in enumerate(MARKERS)}
    edges = [{"name": name, "marker": marker} for name, marker in names.items()]
    root = plain("root", "1") | {"extras": {"more": edges, "none": [{"name": "never"}]}}
    paths = write(tmp_path, [root, *(plain(name, "1") for name in names)])
    target = Target(platform, version, "2.28")
    monkeypatch.setattr(lock_subset, "_check_solution", lambda *_: None)
    fake, real = by_each(monkeypatch, lambda: resolve("root[more]", paths, target).pinned)
    assert fake == real
    held = {names[line.partition("==")[0]] for line in fake.splitlines() if line != "root==1"}
    linux = platform.startswith("linux")
    assert ("sys_platform == 'linux'" in held, "sys_platform == 'darwin'" in held) == (linux, not linux)
    assert ("python_full_version < '3.12.4'" in held) == (version == "3.12")


@pytest.mark.parametrize("text", ["", "#!/nowhere/python\n", "#!/bin/sh\necho '{}'\n"])
def test_a_uv_that_wants_another_answer_asks_the_interpreter(tmp_path, monkeypatch, text):
    def write_other(path, *_):
        path.write_text(text, "utf-8")
        path.chmod(0o755)

    monkeypatch.setattr(lock_subset, "write_fake_interpreter", write_other)
    made = resolve("a", write(tmp_path, [plain("a", "1")]))
    assert made.pinned == "a==1\n"


@pytest.mark.parametrize(
    ("glibc", "number"), [("2.12", 17), ("2.28", 28), ("2.29", 31), ("2.40", 40), ("2.41", 40), ("3.0", 40)]
)
def test_a_platform_is_one_that_uv_knows(tmp_path, glibc, number):
    target = Target("linux_amd64", MINOR, glibc)
    assert target.uv_platform == f"x86_64-manylinux_2_{number}"
    made = resolve("a", write(tmp_path, [plain("a", "1")]), target)
    assert "a==1" in made.pinned


@pytest.mark.parametrize("glibc", ["2", "2.", "x.y", "2.28.1"])
def test_a_glibc_that_is_not_a_version(glibc):
    with pytest.raises(BentoError, match=r"glibc of bento\.pypi: invalid version"):
        _ = Target("linux_amd64", "3.13", glibc).uv_platform


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a==", r"^packages: invalid requirement 'a==' \(PEP 508\)"),
        ("a ; python = '3'", r"^packages: invalid requirement .*"),
        ("absent", r"\n  packages: absent: the target's lock subset doesn't contain absent\n"),
        ("a>=2.0rc1", r"\n  packages: a>=2\.0rc1: the lock has a 1\.0\n"),
        ("a>=1!0", r"\n  packages: a>=1!0: the lock has a 1\.0\n"),
    ],
)
def test_what_does_not_fit_is_reported_by_who_asks(tmp_path, text, message):
    with pytest.raises(BentoError, match=message):
        resolve(asked(text), write(tmp_path, [plain("a", "1.0")]))


def test_a_package_that_is_not_in_the_graph_is_named(tmp_path):
    paths = write(tmp_path, [plain("a", "1.0"), plain("needless", "1.0")])
    with pytest.raises(BentoError, match=r"Selected only by uv: none\. Only in the graph: \['needless'\]"):
        resolve("a", paths)


def test_a_package_that_the_lock_excludes_is_named(tmp_path):
    unlocked = {"name": "only-here", "version": "1", "files": {}, "unlocked": True}
    paths = write(tmp_path, [plain("a", "1.0", "only-here"), unlocked])
    with pytest.raises(BentoError, match=f"doesn't contain only-here for {HERE.platform} with Python"):
        resolve("a", paths)


def test_pins_of_another_hub_have_to_agree_with_the_lock(tmp_path):
    paths = write(tmp_path, [plain("a", "1.0"), plain("b", "2.0")])
    assert matching_pins(["b==2.0", "a"], paths) == matching_pins(["b==2", "a"], paths) == ["a", "b"]
    with pytest.raises(
        BentoError, match=r"deps: a==1\.1 isn't from the package hub in requirements, which has a==1\.0"
    ):
        matching_pins(["a==1.1"], paths)
    with pytest.raises(BentoError, match=r"deps: c==1 isn't from the package hub in requirements\. Add c"):
        matching_pins(["c==1"], paths)


def test_a_universal_macos_wheel_is_locked_for_each_architecture(tmp_path):
    files = {
        "a-1.0-cp311-cp311-macosx_10_9_intel.whl": "1" * 64,
        "a-1.0-cp311-cp311-macosx_10_9_universal2.whl": "2" * 64,
        "a-1.0-cp311-cp311-macosx_26_0_arm64.whl": "3" * 64,
        "a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl": "4" * 64,
    }
    for platform, numbers in (("darwin_amd64", "12"), ("darwin_arm64", "23")):
        target = Target(platform, "3.11", "2.28")
        made = resolve("a", write(tmp_path, [plain("a", "1.0", files=files)]), target)
        assert [line[-64] for line in made.pinned_with_hashes.replace(" \\", "").splitlines()[1:]] == [*numbers]
