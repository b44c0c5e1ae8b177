"""Packages are held against advisories and licences: what OSV's schema says, and nothing passes because it is not known."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bento_cli.cli import main
from packaging.version import Version
from rules_bento.actions.check_policy import check_policy
from rules_bento.actions.check_policy import inventory as list_packages
from rules_bento.archives.archive import write_part
from rules_bento.archives.tarstream import Member
from rules_bento.arguments import decode
from rules_bento.audit import advisories, inventory, licenses, policy
from rules_bento.audit.inventory import Package
from rules_bento.audit.licenses import DeclaredLicense
from rules_bento.errors import BentoError

from tests.helpers.made_wheels import Maker

ALL = {"introduced": "0"}
CVSS_4 = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}
HIGH = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"


def record(*events: dict[str, str], name: str = "Pillow", identifier: str = "GHSA-1", **fields: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges}
    affected["versions"] = fields.pop("versions", [])
    return {"id": identifier, "modified": "2024-01-01T00:00:00Z", "affected": [affected], **fields}


def match(document: dict[str, Any], version: str, name: str = "pillow") -> advisories.Match | None:
    found = advisories.read_record(document, "record.json")
    return found and found.match(name, Version(version))


def asked(**fields: Any) -> policy.Policy:
    taken = licenses.read_policy(fields.pop("allowed", ()), fields.pop("denied", ()))
    values = {"max_severity": "none", "unknown_severity": policy.ABOVE, "allow": {}, "package_licenses": {}}
    return policy.Policy(licenses=taken, **(values | {"require_hashes": False} | fields))


def judged(package: str, *records: dict[str, Any], **fields: Any) -> policy.Report:
    name, _, version = package.partition("==")
    read = [advisories.read_record(document, "record.json") for document in records]
    found = advisories.Database(tuple(filter(None, read)), len(records))
    return policy.evaluate([Package(name, version, hashed=True)], found, asked(**fields))


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([ALL, {"fixed": "9.2"}], ["0.1", "9.1", "9.2rc1", "9.2.dev1"], ["9.2", "9.2.0", "9.2.post1", "10.0"]),
        ([{"introduced": "1.0"}, {"fixed": "2.0"}], ["1.0", "1.0.0", "1.9"], ["0.9", "1.0rc1", "2.0"]),
        ([ALL, {"last_affected": "2.0"}], ["2.0", "2.0.0", "1.0"], ["2.0.1", "2.0.post1"]),
        ([{"introduced": "2"}], ["2.0", "99"], ["1.9"]),
        # Events may come in any order, and several at one version.
        ([{"fixed": "2.0"}, {"introduced": "3.0"}, ALL, {"fixed": "4.0"}], ["1.0", "3.1"], ["2.0", "2.5", "4.0"]),
        ([ALL, {"fixed": "2"}, {"introduced": "2"}, {"fixed": "3"}], ["1", "2.0", "2.5"], ["3"]),
        ([ALL, {"limit": "2.0"}], ["1.0"], ["2.0", "3.0"]),
        ([ALL, {"limit": "*"}], ["1.0", "2.0"], []),
        # 10 is more than 9, and an epoch more than all.
        ([ALL, {"fixed": "10.0"}], ["9.0"], ["10.0", "1!1.0"]),
    ],
)
def test_events_say_which_versions_are_affected(events, inside, outside):
    document = record(*events)
    assert [version for version in inside + outside if match(document, version)] == inside


def test_listed_versions_are_affected_in_each_spelling():
    document = record(versions=["1.0", "1.1.0RC1", "2004d"])
    affected = [one for one in ("1.0", "1.0.0", "1.1rc1", "1.1", "2004") if match(document, one)]
    assert affected == ["1.0", "1.0.0", "1.1rc1"]
    assert match(record(ALL, {"fixed": "1.0"}, versions=["3.0"]), "3.0"), "beside ranges"


def test_another_ecosystem_or_package_is_not_meant():
    document = record(ALL)
    document["affected"][0]["package"]["ecosystem"] = "npm"
    assert not match(document, "1.0")
    assert not match(record(ALL, name="pillow-simd"), "1.0")


def test_a_withdrawn_record_affects_nothing():
    assert match(record(ALL, withdrawn=None), "1.0")
    assert not match(record(ALL, withdrawn="2024-01-01T00:00:00Z"), "1.0")


@pytest.mark.parametrize(
    "affected",
    [
        {"ranges": [{"type": "GIT", "events": [ALL]}]},
        {"ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "2.0"}]}]},  # and introduced where?
        {"ranges": [{"type": "ECOSYSTEM", "events": [ALL, {"fixed": "next"}]}]},
        *({"ranges": [{"type": "ECOSYSTEM", "events": [ALL, {key: "9" * 5000}]}]} for key in ("fixed", "limit")),
        {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1." + "9" * 5000}]}]},
        {"ranges": [{"type": "ECOSYSTEM", "events": [{"last_affected": "1.0+" + "9" * 5000}, {"fixed": "9" * 5000}]}]},
        {},
    ],
)
def test_what_cannot_be_judged_counts_as_affected_and_says_so(affected):
    document = record()
    document["affected"] = [{"package": {"ecosystem": "PyPI", "name": "pillow"}} | affected]
    found = match(document, "1.0")
    assert found
    assert not found.certain
    [refusal] = judged("pillow==1.0", document).violations
    assert "affected versions unknown" in refusal


@pytest.mark.parametrize(
    ("vector", "score", "rating"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, "critical"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0, "critical"),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1, "medium"),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4, "medium"),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8, "high"),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6, "low"),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1, "low"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0, "none"),
        (f"{HIGH}/E:P/RL:O", 7.5, "high"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H", None, ""),
        ("CVSS:3.1/AV:N/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", None, ""),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None, ""),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", None, ""),
        ("9.8", None, ""),
    ],
)
def test_vectors_have_the_score_of_the_specification(vector, score, rating):
    assert advisories.base_score(vector) == score
    assert advisories.rating_from_vector(vector) == rating


@pytest.mark.parametrize(
    ("fields", "rating"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": HIGH}]}, "high"),
        ({"database_specific": {"severity": "MODERATE"}}, "medium"),
        ({"database_specific": {"severity": "CRITICAL"}, "severity": [{"type": "CVSS_V3", "score": HIGH}]}, "critical"),
        ({"severity": [CVSS_4], "database_specific": {"severity": "LOW"}}, "low"),
        ({"severity": [CVSS_4]}, ""),
        ({"database_specific": {"severity": 9.8}}, ""),
        ({"identifier": "MAL-2024-1"}, "critical"),
        ({}, ""),
    ],
)
def test_the_highest_declared_severity_counts(fields, rating):
    [found] = judged("pillow==1.0", record(ALL, **fields)).vulnerabilities
    assert found.rating == rating


@pytest.mark.parametrize(
    ("most", "unknown", "rating", "refused"),
    [
        ("medium", "above", "MODERATE", False),
        ("medium", "above", "HIGH", True),
        ("none", "above", "LOW", True),
        ("critical", "above", "CRITICAL", False),
        ("critical", "above", "", True),
        ("medium", "low", "", False),
        ("low", "medium", "", True),
    ],
)
def test_what_is_above_the_maximum_is_rejected(most, unknown, rating, refused):
    document = record(ALL, database_specific={"severity": rating})
    report = judged("pillow==1.0", document, max_severity=most, unknown_severity=unknown)
    assert bool(report.violations) == refused
    assert len(report.vulnerabilities) == 1


def test_records_of_one_vulnerability_are_one_and_complete_each_other():
    pysec = record(ALL, {"fixed": "2.0"}, identifier="PYSEC-1", aliases=["CVE-1"])
    low = {"severity": "LOW"}
    ghsa = record(ALL, {"fixed": "2.1"}, aliases=["CVE-1"], database_specific=low, summary="Bad.")
    report = judged("pillow==1.0", ghsa, pysec, max_severity="low")
    [found] = report.vulnerabilities
    assert found.ids == ("GHSA-1", "PYSEC-1", "CVE-1")
    assert (found.rating, found.fixed, found.rejected) == ("low", "2.1", False)
    # One that is not about the version says how severe it is all the same.
    other = ghsa | {"id": "B", "affected": record({"introduced": "5"})["affected"]}
    [found] = judged("pillow==1.0", record(ALL, aliases=["B"], identifier="A"), other).vulnerabilities
    assert (found.ids, found.rating) == (("A", "B", "CVE-1"), "low")


def test_a_refusal_names_all_that_users_need():
    lock = [
        {"name": "app", "version": "1.0", "files": {"app.whl": "0" * 64}, "dependencies": [{"name": "pillow"}]},
        {"name": "pillow", "version": "1.0", "files": {}},
    ]
    found = advisories.read_record(record(ALL, {"fixed": "2.0"}, aliases=["CVE-1"], summary="Bad GIFs."), "")
    report = policy.evaluate(inventory.from_lock(lock), advisories.Database((found,), 1), asked(require_hashes=True))
    assert report.violations == (
        "vulnerable: pillow 1.0: GHSA-1 (CVE-1), unknown severity, fixed in 2.0 (required by app): Bad GIFs.",
        "no hash: pillow 1.0 (required by app)",
    )


@pytest.mark.parametrize(
    ("package", "fields"),
    [
        ("pillow==2.0", {"allow": {"GHSA-1": "why"}}),
        ("pillow==1.0", {"allow": {"GHSA-1": "why", "GHSA-2": "why"}}),
        ("pillow==1.0", {"allow": {"GHSA-1": "why"}, "max_severity": "low", "unknown_severity": "low"}),
    ],
)
def test_an_entry_that_allows_nothing_is_rejected(package, fields):
    [refusal] = judged(package, record(ALL, {"fixed": "2.0"}), **fields).violations
    assert refusal.startswith("allow: GHSA-")
    assert refusal.endswith("Remove the entry.")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"allow": {"GHSA-1": " "}}, "allow: no reason for GHSA-1"),
        ({"max_severity": "moderate"}, "max_severity: invalid value 'moderate'. Valid values: none, low"),
        ({"unknown_severity": "ignored"}, "unknown_severity: invalid value 'ignored'"),
        ({"package_licenses": {"pillow": "free"}}, "package_licenses: pillow: invalid SPDX expression 'free'"),
        ({"denied": ["GPLv3"]}, "deny_licenses: 'GPLv3' isn't an SPDX identifier"),
        ({"denied": ["GLP-*"]}, "deny_licenses: 'GLP-*' isn't an SPDX identifier"),
        ({"allowed": ["MIT OR ISC"]}, "allow_licenses: expected one license, got 'MIT OR ISC'"),
        ({"allowed": ["text:"]}, "allow_licenses: 'text:' isn't an SPDX identifier"),
    ],
)
def test_a_policy_that_means_nothing_is_rejected(fields, message):
    with pytest.raises(BentoError) as refused:
        judged("pillow==1.0", record(ALL), **fields)
    assert str(refused.value).startswith(message)


def test_a_package_without_a_version_is_rejected():
    [package] = inventory.from_requirements("pillow>=9\n", "requirements.txt")
    [refusal] = policy.evaluate([package], None, asked(denied=["MIT"])).violations
    assert "no version: pillow. Lock the package" in refusal


@pytest.mark.parametrize("version", ["9" * 5000, "1!" + "9" * 5000, "1.0+" + "9" * 5000, "1.0rc" + "9" * 5000])
def test_a_version_with_thousands_of_digits_is_invalid(version):
    with pytest.raises(BentoError, match="PEP 440") as refused:
        judged(f"pillow=={version}", record(ALL))
    assert len(str(refused.value)) < 300
    assert match(record(versions=["9" * 5000, "1.0"]), "1.0")


def test_no_packages_at_all_are_rejected():
    with pytest.raises(BentoError, match="the Bento lists no packages"):
        policy.evaluate([], None, asked())


OSI, EXCEPTION = "License :: OSI Approved", "WITH Classpath-exception-2.0"
TERMS = [
    (DeclaredLicense(expression="mit or apache-2.0"), "MIT OR Apache-2.0"),
    (DeclaredLicense(expression="MIT", text="GPL-3.0-only"), "MIT"),
    (DeclaredLicense(expression=f"GPL-2.0+ {EXCEPTION}"), f"GPL-2.0-or-later {EXCEPTION}"),
    (DeclaredLicense(expression="(MIT OR ISC) AND GPL-3.0"), "(MIT OR ISC) AND GPL-3.0-only"),
    (DeclaredLicense(expression="MIT AND nonsense"), "text:MIT AND nonsense"),
    (DeclaredLicense(text="Apache License, Version 2.0"), "Apache-2.0"),
    (DeclaredLicense(text="BSD-3-Clause", classifiers=(f"{OSI} :: BSD License",)), "BSD-3-Clause"),
    (DeclaredLicense(text="MIT", classifiers=(f"{OSI} :: MIT No Attribution License (MIT-0)",)), "MIT AND MIT-0"),
    (DeclaredLicense(text="BSD", classifiers=(f"{OSI} :: BSD License",)), f"{OSI} :: BSD License"),
    (DeclaredLicense(classifiers=(OSI, f"{OSI} :: MIT License")), "MIT"),
    (DeclaredLicense(text="Copyright  (c)\n 2020 us"), "text:Copyright (c) 2020 us"),
    (DeclaredLicense(text="UNKNOWN"), "unknown"),
    (DeclaredLicense(), "unknown"),
]


@pytest.mark.parametrize(("declared", "shown"), TERMS)
def test_metadata_says_which_license(declared, shown):
    assert licenses.format_terms(licenses.terms_from_metadata(declared)) == shown


@pytest.mark.parametrize(
    ("expression", "allowed", "denied", "taken"),
    [
        ("MIT OR GPL-3.0-only", ["MIT"], [], True),
        ("MIT OR GPL-3.0-only", [], ["GPL-*"], True),
        ("MIT AND GPL-3.0-only", ["MIT"], [], False),
        ("MIT AND GPL-3.0-only", [], ["GPL-*"], False),
        ("MIT OR ISC AND GPL-3.0-only", ["ISC"], [], False),
        ("(MIT OR ISC) AND Zlib", ["ISC", "Zlib"], [], True),
        ("GPL-3.0+", [], ["GPL-3.0-or-later"], False),
        ("GPL-3.0", [], ["GPL-3.0-only"], False),
        ("GPL-3.0-only", [], ["GPL-3.0"], False),
        ("LGPL-3.0-only", [], ["GPL-*"], True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", [], ["GPL-*"], False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", [], ["GPL-2.0-only"], False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only WITH Classpath-exception-2.0"], ["GPL-*"], True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only"], [], True),
        ("GPL-2.0-only", ["GPL-2.0-only WITH Classpath-exception-2.0"], [], False),
        ("Apache-2.0+", ["Apache-2.0"], [], True),
        ("LicenseRef-Ours", ["LicenseRef-Ours"], [], True),
        ("LicenseRef-Ours", ["MIT"], [], False),
    ],
)
def test_expressions_are_judged_by_their_operators(expression, allowed, denied, taken):
    assert licenses.read_policy(allowed, denied).allows(licenses.parse_expression(expression)) is taken


@pytest.mark.parametrize(
    ("allowed", "denied", "taken"),
    [
        (["License :: OSI Approved :: BSD License"], [], True),
        (["BSD-3-Clause"], [], False),  # it may be another one
        (["BSD-*", "0BSD"], [], True),
        ([], ["BSD-4-Clause"], False),
        ([], ["GPL-*"], True),
    ],
)
def test_a_classifier_of_several_licenses_is_taken_where_all_would_be(allowed, denied, taken):
    assert licenses.read_policy(allowed, denied).allows("License :: OSI Approved :: BSD License") is taken


def test_an_unknown_license_is_said_and_rejected_where_others_are_allowed():
    packages = [Package("ours", "1.0", hashed=True, license=DeclaredLicense())]
    report = policy.evaluate(packages, None, asked(denied=["GPL-*"]))
    assert (report.violations, report.notes) == ((), ("unknown licenses: ours 1.0",))
    assert policy.evaluate(packages, None, asked(allowed=["MIT"])).violations == ("license: ours 1.0: unknown",)
    assert not policy.evaluate(packages, None, asked(allowed=["MIT"], package_licenses={"Ours": "MIT"})).violations
    [refusal] = policy.evaluate(packages, None, asked(denied=["GPL-*"], package_licenses={"other": "MIT"})).violations
    assert refusal.startswith("package_licenses: other: the Bento doesn't contain the package")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    directory = tmp_path / "records"
    (directory / "pillow").mkdir(parents=True)
    for hidden in (directory / ".github", directory / "pillow" / ".github"):
        hidden.mkdir()
        (hidden / "workflow.yaml").write_text("on: push\n")
    (directory / "README.md").write_text("Records.\n")
    (directory / "pillow" / "a.json").write_text(json.dumps(record(ALL, identifier="A")))
    other = "id: B\nmodified: 2024-01-01T00:00:00Z\naffected:\n- package: {ecosystem: PyPI, name: x}\n"
    (directory / "b.yaml").write_text(other)
    return directory


def test_directories_and_zips_are_read(records, tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(records.rglob("*")):
            archive.write(file, file.relative_to(records))
    for place in (records, path):
        found = advisories.read_database([(place, "database")], {"PyPI": {"pillow"}})
        assert ([advisory.id for advisory in found.advisories], found.records) == (["A"], 2)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"{", "db/a.json:1: invalid JSON"),
        ("a.json", b"[]", "db/a.json: expected a mapping, got a list"),
        ("a.json", b"{}", "db/a.json: id is missing"),
        ("a.json", b'{"id": "A", "affected": [{"versions": [1.0]}]}', "db/a.json: affected[0].versions[0]"),
        ("a.yaml", b"a: &a [*a]", "db/a.yaml:1:"),
        ("a.zip", b"PK", "db/a.zip: the file isn't a complete zip file"),
        ("a.json", b'{"id": "A", "affected": []}', "advisories: no records for PyPI packages in db/a.json"),
        ("a.csv", b"", "advisories: unsupported file db/a.csv"),
    ],
)
def test_an_invalid_database_is_rejected(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BentoError) as refused:
        advisories.read_database([(tmp_path / name, f"db/{name}")], {"PyPI": {"pillow"}})
    assert str(refused.value).startswith(message)


def test_a_large_record_of_a_zip_is_rejected_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (17 << 20))
    with pytest.raises(BentoError, match="exceeds the size limit of a record"):
        advisories.read_database([(tmp_path / "all.zip", "all.zip")], {"PyPI": {"pillow"}})


def test_the_test_of_a_bento_names_what_it_rejects(tmp_path, records, capsys):
    locked = tmp_path / "pillow.json"
    locked.write_text(json.dumps({"name": "pillow", "version": "1.0", "files": {"x.whl": "0" * 64}}))
    maker = Maker("pillow")
    maker.files[f"{maker.dist_info}/METADATA"] += b"License-Expression: GPL-3.0-or-later\n"
    output, settings = tmp_path / "packages.json", tmp_path / "settings.json"
    argv = ["--locked", str(locked), "--wheel", str(maker.write(tmp_path)), "--output", str(output)]
    list_packages(decode(list_packages, argv))
    values = {"allow_licenses": [], "deny_licenses": ["GPL-*"], "date": ""}
    values |= {"allow": {}, "package_licenses": {}, "require_hashes": True}
    values |= {"max_severity": "none", "unknown_severity": "above"}
    settings.write_text(json.dumps(values))
    argv = ["--inventory", str(output), "--settings", str(settings), "--advisories", str(records), "records"]
    check = decode(check_policy, argv)
    with pytest.raises(BentoError) as refused:
        check_policy(check)
    assert "vulnerable: pillow 1.0: A, unknown severity" in str(refused.value)
    assert "license: pillow 1.0: GPL-3.0-or-later" in str(refused.value)
    settings.write_text(json.dumps(values | {"allow": {"A": "no images"}, "deny_licenses": []}))
    check_policy(check)
    assert "1 packages were checked against 2 advisories" in capsys.readouterr().out


def test_without_a_hub_the_requirements_of_the_bento_count(tmp_path):
    text = f"pillow==1.0 \\\n    --hash=sha256:{'0' * 64}\nnumpy\n"
    part, output = tmp_path / "part", tmp_path / "packages.json"
    write_part(part, [Member("env/python/requirements.txt", 0o644, len(text), data=text.encode())])
    list_packages(decode(list_packages, ["--part", str(part), "--output", str(output)]))
    packages = (Package("numpy", "", False), Package("pillow", "1.0", True))
    assert inventory.loads(output.read_text()) == (packages, True)


LOCK = {"lock": 1, "requires_python": ">=3.10", "roots": [], "packages": []}
PURL = {"referenceType": "purl", "referenceLocator": "pkg:pypi/pillow@1.0"}
LOCKS = {
    "requirements.txt": "Pillow==1.0\n",
    "lock.json": json.dumps(LOCK | {"packages": [{"name": "pillow", "version": "1.0", "files": {}}]}),
    "pylock.toml": 'lock-version = "1.0"\n[[packages]]\nname = "Pillow"\nversion = "1.0"\n',
    "uv.lock": 'version = 1\nrequires-python = ">=3.10"\n[[package]]\nname = "app"\nversion = "0"\nsource = { virtual = "." }\n'
    'dependencies = [{ name = "pillow" }]\n[[package]]\nname = "pillow"\nversion = "1.0"\nsource = { registry = "r" }\n',
    "cdx.json": json.dumps({"bomFormat": "CycloneDX", "components": [{"name": "p", "purl": "pkg:pypi/Pillow@1.0"}]}),
    "spdx.json": json.dumps({"spdxVersion": "SPDX-2.3", "packages": [{"name": "p", "externalRefs": [PURL]}]}),
}


@pytest.mark.parametrize("name", LOCKS)
def test_the_audit_command_reads_locks_and_sboms(tmp_path, records, capsys, name):
    (tmp_path / name).write_text(LOCKS[name])
    command = ["--home", str(tmp_path), "audit", str(tmp_path / name), "--advisories", str(records)]
    assert main([*command, "--require-hashes"]) == 3
    shown = capsys.readouterr().out
    assert "pillow 1.0: A, unknown severity" in shown
    assert "no hash: pillow 1.0" in shown
    assert main([*command, "--allow", "A=no images", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["vulnerabilities"][0]["allowed"] == "no images"


def test_the_audit_command_reads_archives_and_wheels(tmp_path, records, capsys):
    bento = tmp_path / "bento"
    (bento / "env" / "python").mkdir(parents=True)
    (bento / "env" / "python" / "requirements.txt").write_text("pillow==1.0\n")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    Maker("pillow").write(wheels)
    command = ["--home", str(tmp_path), "audit", str(bento), "--wheels", str(wheels), "--allow-license", "MIT"]
    assert main(command) == 3
    assert "license: pillow 1.0: unknown" in capsys.readouterr().out
    assert main([*command, "--license", "pillow=MIT"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "No checks are selected."),
        (["--deny-license", "MIT", "--allow", "A"], "--allow: expected ID=REASON, but value number 1 has no `=`."),
        (["--advisories", "missing.json"], "missing.json"),
    ],
)
def test_the_command_says_what_it_lacks(tmp_path, capsys, words, message):
    (tmp_path / "requirements.txt").write_text("pillow==1.0\n")
    assert main(["--home", str(tmp_path), "audit", str(tmp_path / "requirements.txt"), *words]) == 1
    assert message in capsys.readouterr().err
