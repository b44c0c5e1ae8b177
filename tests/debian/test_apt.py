"""The lock of Debian packages."""

import copy
import json
import os
import stat

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.images.debian import apt


def requested(suite=("trixie",), architecture=("arm64", "amd64"), package=("python3",), exclude=("tzdata",)):
    options = {"--suite": suite, "--architecture": architecture, "--package": package, "--exclude": exclude}
    return apt.DebsRequest([word for option, values in options.items() for one in values for word in (option, one)])


REQUEST = requested()
STANZAS = """\
Package: python3
Version: 3.13.5-1
Architecture: {arch}
Pre-Depends: python3-minimal (= 3.13.5-1)
Depends: tzdata | tzdata-legacy, mta | default-mta, libc6 (>= 2.4), libstdc++6:any
Filename: pool/main/p/python3_3.13.5-1_{arch}.deb
Size: 100
SHA256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa

Package: python3-minimal
Version: 3.13.5-1
Architecture: {arch}
Provides: mail-reader (= 1), default-mta
Filename: pool/main/p/python3-minimal_3.13.5-1_{arch}.deb
Size: 10
SHA256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb

Package: libc6
Version: 2.41-12
Architecture: {arch}
Filename: pool/updates/main/g/libc6_2.41-12_{arch}.deb
Size: 1000
SHA256: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc

Package: libstdc++6
Version: 14.2.0-19
Architecture: {arch}
Depends: libc6
Filename: pool/main/g/libstdc++6_14.2.0-19_{arch}.deb
Size: 1
SHA256: dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
"""

# Stands in for apt, on which tests cannot count: notes down what it is called with.
FAKE_APT = """\
#!/bin/sh
echo "$0 $*" >>"$APT_LOG"
arch=$(sed -n 's/^APT::Architecture "\\(.*\\)";/\\1/p' "$2" 2>/dev/null)
case "$*" in
indextargets*) printf '%s\\n' "bookworm contrib http://mirror.test/no" "nodistro main http://other.test" \\
    "bookworm main http://mirror.test/debian/" "bookworm-security main http://mirror.test/debian-security/" ;;
*update*) cp "$(dirname "$2")"/sources/debian.sources "$APT_LOG.sources" ;;
*unfindable*) echo "E: Unable to locate package unfindable" >&2; exit 100 ;;
*simulate*) for p in "python3 (3.13.5-1" "python3-minimal (3.13.5-1" "libc6 (2.41-12" "libstdc++6 (14.2.0-19"; do
    echo "Inst $p Debian:13 [$arch])"; done ;;
*show*) sed "s/{arch}/$arch/" "$APT_STANZAS" ;;
esac
"""


@pytest.fixture
def fake_apt(tmp_path, monkeypatch):
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("apt-get", "apt-cache"):
        (directory / name).write_text(FAKE_APT)
        (directory / name).chmod(stat.S_IRWXU)
    (tmp_path / "stanzas").write_text(STANZAS)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("APT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("APT_STANZAS", str(tmp_path / "stanzas"))
    return tmp_path


@pytest.fixture
def lock(fake_apt):
    return apt.resolve(REQUEST, apt.host_mirrors(), fake_apt / "state")


def test_the_lock_names_versions_hashes_and_edges_but_no_host(lock):
    assert list(lock["packages"]) == ["amd64", "arm64"]
    libc, stdcpp, python, minimal = lock["packages"]["arm64"]
    assert libc == {
        "name": "libc6",
        "version": "2.41-12",
        "architecture": "arm64",
        "archive": "debian-security",
        "filename": "pool/updates/main/g/libc6_2.41-12_arm64.deb",
        "sha256": "c" * 64,
        "size": 1000,
        "dependencies": [],
    }
    assert python["dependencies"] == ["libc6", "libstdc++6", "python3-minimal"]  # which is a default-mta, too
    assert (stdcpp["dependencies"], minimal["archive"]) == (["libc6"], "debian")
    assert "mirror.test" not in apt.dumps(lock)


def test_apt_asks_the_mirror_of_the_host_for_the_architecture(lock, fake_apt):
    sources = (fake_apt / "log.sources").read_text()
    assert "URIs: http://mirror.test/debian\nSuites: trixie\n" in sources and "Architectures: arm64\n" in sources
    assert "http://other.test" not in sources
    assert "Package: tzdata\nStatus: install ok installed\n" in (fake_apt / "state/1/status").read_text()


def test_what_apt_says_reaches_the_user(fake_apt):
    request = requested(package=["unfindable"])
    with pytest.raises(BentoError, match="apt-get install failed: E: Unable to locate package unfindable"):
        apt.resolve(request, apt.host_mirrors(), fake_apt / "state")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("Filename: pool/main/g/", "Filename: ../../outside/", "'../../outside/libstdc++6_14.2.0-19_amd64.deb' isn't"),
        ("Filename: pool/main/g/", "Filename: http://other.test/", "isn't a relative path of a .deb file"),
        ("SHA256: " + "d" * 64, "SHA256: ../d", "libstdc++6: sha256: '../d' isn't a SHA-256"),
        ("Version: 14.2.0-19", "Version: 14 ../x", "isn't the version of a Debian package"),
        ("Package: libstdc++6", "Package: ../x", "'../x' isn't the name of a Debian package"),
    ],
)
def test_what_a_mirror_names_has_a_shape(fake_apt, before, after, problem):
    (fake_apt / "stanzas").write_text(STANZAS.replace(before, after))
    with pytest.raises(BentoError) as caught:
        apt.resolve(REQUEST, apt.host_mirrors(), fake_apt / "state")
    assert "the mirror's index" in str(caught.value) and problem in str(caught.value)


def test_a_planned_package_is_no_option_of_apt(fake_apt):
    apt_get = fake_apt / "bin/apt-get"
    apt_get.write_text(FAKE_APT.replace('"libc6 (2.41-12"', '"libc6 (2.41-12" "-oAPT::x (1"'))
    apt.resolve(REQUEST, apt.host_mirrors(), fake_apt / "state")
    assert "libc6=2.41-12" in (fake_apt / "log").read_text()
    assert "-oAPT" not in (fake_apt / "log").read_text()


def test_a_lock_for_a_base_has_what_it_lacks_or_has_in_an_older_version(fake_apt):
    apt_get = fake_apt / "bin/apt-get"
    release = 'mkdir -p "$(dirname "$2")/lists"; echo "Date: Sat, 31 Jan 2026 20:15:30 UTC" >"$(dirname "$2")/lists/x_Release";'
    text = FAKE_APT.replace('"libc6 (2.41-12"', '"libc6 [2.40-1] (2.41-12"').replace(
        "*update*)", f"*update*) {release}"
    )
    apt_get.write_text(text)
    request = requested(architecture=["amd64"], package=["python3=3.13.5-1"], exclude=[])
    status = "Package: libc6\nStatus: install ok installed\n\n"
    lock = apt.resolve(request, apt.host_mirrors(), fake_apt / "state", {"amd64": status})
    assert [each.get("replaces") for each in lock["packages"]["amd64"]] == ["2.40-1", None, None, None]
    assert lock["snapshot"] == "20260131T201530Z"
    assert apt.loads(apt.dumps(lock), "lock") == lock
    assert (fake_apt / "state/0/status").read_text() == status


def test_a_package_of_the_base_is_never_removed(fake_apt):
    (fake_apt / "bin/apt-get").write_text(FAKE_APT.replace("*simulate*) ", '*simulate*) echo "Remv dash [0.5]"; '))
    with pytest.raises(BentoError, match="apt would remove dash of the base for python3"):
        apt.resolve(requested(architecture=["amd64"]), apt.host_mirrors(), fake_apt / "state", {"amd64": ""})


@pytest.mark.parametrize("name", ["--option", "Python", "python3=3.13", ""])
def test_what_is_no_name_does_not_reach_apt(fake_apt, name):
    with pytest.raises(BentoError, match="(packages|excludes): invalid name"):
        apt.resolve(requested(package=[name]), {"debian": "http://mirror.test"}, fake_apt / "state")
    assert not (fake_apt / "log").exists()


def test_given_mirrors():
    assert apt.expand_mirror("http://a.test/{archive}/2026/") == {
        "debian": "http://a.test/debian/2026",
        "debian-security": "http://a.test/debian-security/2026",
    }
    assert apt.expand_mirror("http://a.test/debian/") == {"debian": "http://a.test/debian"}


def test_without_apt_it_says_where_to_go(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BentoError, match="requires apt-get"):
        apt.host_mirrors()


def test_a_fresh_lock_has_no_problems(lock):
    assert apt.find_problems(lock, REQUEST) == []
    assert apt.find_problems(apt.loads(apt.dumps(lock), "x"), requested(architecture=["amd64", "arm64"])) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"package": ["python3", "curl"]}, "package curl is not locked"),
        ({"package": []}, "package python3 is locked, but not requested"),
        ({"exclude": []}, "excluded package tzdata is locked, but not requested"),
        ({"architecture": ["amd64"]}, "architecture arm64 is locked, but not requested"),
        ({"suite": ["forky"]}, "expected suites ['forky'], but locked for ['trixie']"),
    ],
)
def test_a_stale_lock_says_why(lock, changed, problem):
    assert apt.find_problems(lock, requested(**changed)) == [problem]


def test_a_lock_that_a_merge_broke(lock):
    broken = copy.deepcopy(lock)
    amd64 = broken["packages"]["amd64"]
    amd64[:] = [*amd64[1:], amd64[-1], {**amd64[0], "name": "left-over"}]
    assert apt.find_problems(broken, REQUEST) == [
        "amd64: a package is locked twice",
        "amd64: libstdc++6 requires libc6, which isn't locked",
        "amd64: python3 requires libc6, which isn't locked",
        "amd64: left-over is not required",
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"lock": 1}', '{"deb_lock": 2}'])
def test_an_invalid_lock_is_named(text):
    with pytest.raises(BentoError, match=r"debian\.lock\.json(:1: invalid JSON| isn't a Debian lock)"):
        apt.loads(text, "debian.lock.json")


ARGUMENTS = ["--target", "//:debian.update", "--suite", "trixie", "--package", "python3", "--exclude", "tzdata"]
ARGUMENTS += ["--architecture", "amd64", "--architecture", "arm64"]


def test_update_and_check_go_together(fake_apt, monkeypatch, capsys):
    (fake_apt / "debian.lock.json").touch()
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(fake_apt))
    assert run(["update_debs", *ARGUMENTS, "--lock", "debian.lock.json", "--", "--mirror=http://given.test"]) == 0
    assert capsys.readouterr().err == "debian.lock.json updated: 4 packages for amd64, 4 packages for arm64\n"
    assert "URIs: http://given.test\n" in (fake_apt / "log.sources").read_text()
    path = fake_apt / "debian.lock.json"
    check = ["check_debs", *ARGUMENTS, "--update", "//:debian.update", "--lock", str(path), "debian.lock.json"]
    assert run(check) == 0
    document = json.loads(path.read_text())
    document["packages"]["arm64"].pop(0)
    path.write_text(json.dumps(document))
    assert run(check) == 1
    error = capsys.readouterr().err
    assert "arm64: python3 requires libc6, which isn't locked" in error and "bazel run //:debian.update" in error


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (["--mirrors", "x"], "unknown argument '--mirrors'. Valid arguments: --mirror."),
        (["--mirror"], "--mirror: expected a value."),
        (["x"], "unknown argument 'x'. Valid arguments: --mirror."),
    ],
)
def test_unknown_arguments_of_an_update(monkeypatch, tmp_path, capsys, rest, error):
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    assert run(["update_debs", *ARGUMENTS, "--lock", "x.json", "--", *rest]) == 1
    assert error in capsys.readouterr().err
