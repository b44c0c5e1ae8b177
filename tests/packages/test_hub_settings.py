"""The settings of bento.pypi, as the helper applies them to locks."""

import json
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import hub_settings
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages.indexes import Indexes

PLATFORMS = ["linux_amd64", "darwin_arm64"]
SETTINGS = {
    "allow_record_mismatch": {},
    "exclude": {},
    "exclude_presets": [],
    "extras": ["*"],
    "glibc": "2.28",
    "groups": ["*"],
    "indexes": "",
    "macos": "13.0",
    "members": ["*"],
    "more_python_versions": [],
    "platforms": PLATFORMS,
    "python_version": "3.12",
}
LOCK = [
    {"name": "acme-tools", "files": {"acme_tools-1-cp311-cp311-linux_x86_64.whl": "aa", "acme_tools-1.tar.gz": "cc"}},
    {"name": "acme-tools", "files": {"acme_tools-2-cp312-cp312-linux_x86_64.whl": "bb"}},
    {"name": "triton", "files": {}},
]
URL = "indexes: the URL of corp has credentials, a query, or invalid characters. Remove them from the URL. For credentials"


def problem(packages=LOCK, **settings):
    with pytest.raises(BentoError) as caught:
        hub_settings.check(SETTINGS | settings)
        hub_settings.wheel_settings(SETTINGS | settings, packages)
    assert caught.value.code == 2
    return str(caught.value)


def test_settings_apply_to_the_wheels_of_packages():
    hub_settings.check(SETTINGS)
    assert hub_settings.wheel_settings(SETTINGS, LOCK) == {}
    settings = SETTINGS | {
        "allow_record_mismatch": {"Acme.Tools": ["sha256:aa", "sha256:bb"]},
        "exclude": {"Acme.Tools": ["*.a"], "acme_tools@linux_amd64": ["tests/"]},
        "exclude_presets": ["serving_torch"],
    }
    assert hub_settings.wheel_settings(settings, LOCK) == {
        "acme-tools": {
            "allow_record_mismatch": ["aa", "bb"],
            "exclude": {"linux_amd64": ["*.a", "tests/"], "darwin_arm64": ["*.a"]},
        },
        "triton": {"exclude_preset": ["*.a"]},
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"platforms": ["windows"]}, 'platforms contains the unknown value "windows". Valid values: darwin_amd64, '),
        ({"platforms": ["linux_amd64"] * 2}, 'platforms contains "linux_amd64" twice. Remove the duplicate.'),
        ({"more_python_versions": ["3.9"]}, 'more_python_versions contains the unknown value "3.9". Valid values: 3.10,'),
        ({"python_version": "3"}, 'invalid python_version "3". Use X.Y, such as "3.12".'),
        ({"glibc": "2.28.1"}, 'invalid glibc "2.28.1". Use X.Y, such as "2.28".'),
        ({"macos": "14"}, 'invalid macos "14". Use X.Y, such as "14.0".'),
    ],
)  # fmt: skip
def test_invalid_platforms_and_versions_are_rejected(settings, said):
    assert problem(**settings).startswith(said)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ({"acme": ["sha256:aa"]}, "allow_record_mismatch has acme, which isn't in the lock"),
        ({"acme-tools": ["sha256:dd"]}, "no wheel of the package with this hash"),
        ({"acme-tools": ["sha256:cc"]}, "no wheel of the package with this hash"),
        ({"acme-tools": ["aa"]}, "no wheel of the package with this hash"),
        ({"acme-tools": []}, "without a hash"),
    ],
)
def test_record_mismatches_are_of_wheels_in_the_lock(allowed, said):
    assert said in problem(allow_record_mismatch=allowed)


@pytest.mark.parametrize(
    ("exclude", "said"),
    [
        ({"acme": ["*.a"]}, "exclude has acme, which isn't in the lock"),
        ({"acme-tools": []}, "without a pattern"),
        ({"acme-tools": ["*.a", " "]}, 'with " ", which isn\'t a pattern'),
        ({"acme-tools": ["# static"]}, 'with "# static", which isn\'t a pattern'),
        ({"acme-tools@linux_arm64": ["*.a"]}, "but the package hub isn't for this platform. Valid values: linux_amd64, darwin_arm64."),
        ({"acme-tools@": ["*.a"]}, "but the package hub isn't for this platform"),
    ],
)  # fmt: skip
def test_excludes_are_of_packages_in_the_lock(exclude, said):
    assert said in problem(exclude=exclude)


def test_presets_are_of_packages_in_the_lock():
    said = 'exclude_presets has "serving", which is unknown. Valid values: serving_torch.'
    assert problem(exclude_presets=["serving"]) == said
    said = "but the lock contains no package of the preset (torch, triton). Remove the preset."
    assert said in problem(LOCK[:2], exclude_presets=["serving_torch"])


def test_packages_of_explicit_indexes_have_pages():
    indexes = Indexes(
        explicit={"Acme.Tools": "corp", "built": "corp", "local": "links"},
        extra=("corp=https://corp.example/simple/", "links=/srv/links", "https://other.example/simple"),
    )
    packages = [{"name": "acme-tools"}, {"name": "numpy"}, {"name": "local"}]
    packages += [{"name": "built", "source": {"url": "https://a/b.whl"}}]
    found = locks.with_pages({"packages": packages, "roots": []}, indexes)
    page = "https://corp.example/simple/acme-tools/"
    assert found == {"packages": [{"name": "acme-tools", "page": page}, *packages[1:]], "roots": []}


@pytest.mark.parametrize(
    "url", ["https://alice:secret@corp.example/simple", "https://corp.example/simple?token=secret"]
)
def test_pages_have_no_secrets(url):
    indexes = Indexes(explicit={"acme": "corp"}, extra=(f"corp={url}",))
    with pytest.raises(BentoError) as caught:
        locks.with_pages({"packages": [{"name": "acme"}]}, indexes)
    assert str(caught.value).startswith(URL)
    assert "secret" not in str(caught.value)


def normalized(directory, lock, **settings):
    """Run the helper as the module extension does."""
    path = directory / "x.lock.json"
    path.write_text(lock if isinstance(lock, str) else json.dumps(lock), "utf-8")
    (directory / "settings.json").write_text(json.dumps(SETTINGS | settings), "utf-8")
    command = ["normalize_lock", "--lock", str(path), "--settings", str(directory / "settings.json")]
    status = run([*command, "--output", str(directory / "out.json")])
    return status, json.loads((directory / "out.json").read_text("utf-8")) if not status else None


def test_a_lock_of_rules_bento_is_read_with_settings(tmp_path):
    lock = json.loads(Path("tests/requirements.lock.json").read_text("utf-8"))
    status, found = normalized(tmp_path, lock, exclude={"BentoML": ["*.a"]})
    assert status == 0
    assert found["wheels"] == {"bentoml": {"exclude": {key: ["*.a"] for key in PLATFORMS}}}
    assert {key: found[key] for key in lock} == lock


@pytest.mark.parametrize(
    ("lock", "settings", "status", "said"),
    [
        ("{}", {}, 1, "x.lock.json isn't a rules_bento lock in format 1. Generate the lock with a bento_requirements target."),
        ("packages:", {}, 1, "Generate the lock with a bento_requirements target."),
        ({"lock": 1, "packages": []}, {}, 1, "Restore the committed file, or empty the file and run the bento_requirements"),
        ({"lock": 1, "packages": [], "requires_python": "", "roots": []}, {"glibc": "2"}, 2, 'invalid glibc "2". Use X.Y'),
        ({"lock": 1, "packages": [], "requires_python": "", "roots": []}, {"indexes": json.dumps({"explicit": {"acme": "corp"}})}, 1, "explicit: unknown index 'corp' for acme"),
    ],
)  # fmt: skip
def test_errors_say_whether_the_lock_or_a_setting_is_invalid(tmp_path, capsys, lock, settings, status, said):
    assert normalized(tmp_path, lock, **settings) == (status, None)
    assert said in capsys.readouterr().err
