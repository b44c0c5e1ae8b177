"""Debian packages of an image against advisories, what VEX accepts of them and until when, and the report for code hosts."""

import json
from pathlib import Path
from typing import Any

import pytest
from rules_bento.actions.check_policy import check_policy
from rules_bento.actions.check_policy import inventory as list_packages
from rules_bento.arguments import decode
from rules_bento.audit import advisories, inventory, licenses, policy, sarif, vex
from rules_bento.audit.inventory import Package
from rules_bento.audit.versions import parse_debian
from rules_bento.errors import BentoError

ALL = {"introduced": "0"}
PILLOW = Package("pillow", "1.0", hashed=True)
# Installed packages of trixie: the same source, another version than its source, and a source with another name.
INSTALLED = [
    ("base-files", "13.8+deb13u7", ""),
    ("libssl3t64", "3.5.4-1~deb13u2", "openssl"),
    ("openssl-provider-legacy", "3.5.4-1~deb13u2", "openssl"),
    ("libgomp1", "14.2.0-19+b1", "gcc-14 (14.2.0-19)"),
    ("zlib1g", "1:1.3.dfsg+really1.3.1-1+b1", "zlib (1:1.3.dfsg+really1.3.1-1)"),
]
STATUS = "".join(
    f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n"
    + (f"Source: {source}\n" if source else "")
    + "\n"
    for name, version, source in INSTALLED
)


def record(*events: dict[str, str], name: str = "openssl", release: str = ":13", **fields: Any) -> dict[str, Any]:
    affected = {"package": {"ecosystem": f"Debian{release}", "name": name}}
    affected["ranges"] = [{"type": "ECOSYSTEM", "events": list(events)}]
    affected["ecosystem_specific"] = {"urgency": fields.pop("urgency", "not yet assigned")}
    return {
        "id": "DEBIAN-CVE-1",
        "upstream": ["CVE-1"],
        "modified": "2026-05-01T01:02:03Z",
        "affected": [affected],
    } | fields


def statement(**fields: Any) -> dict[str, Any]:
    return {
        "vulnerability": {"name": "CVE-1"},
        "products": [{"@id": "pkg:deb/debian/openssl@3.5.4-1~deb13u2?arch=source"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "status_notes": "Reviewed by ops. expires: 2026-06-30",
    } | fields


def document(*statements: dict[str, Any]) -> bytes:
    fields = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex/1", "author": "ops"}
    return json.dumps(
        fields | {"timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": list(statements)}
    ).encode()


def judged(*records: dict[str, Any], vex_documents: tuple[bytes, ...] = (), **fields: Any) -> policy.Report:
    packages = [PILLOW, *inventory.from_system("debian", INSTALLED)]
    read = [advisories.read_record(each, "record.json") for each in records]
    found = {affected.ecosystem for each in read if each for affected in each.affected} | {"PyPI"}
    database = advisories.Database(tuple(filter(None, read)), len(records), frozenset(found), "2026-05-01")
    values = {"max_severity": "none", "unknown_severity": policy.ABOVE, "allow": {}, "package_licenses": {}}
    statements = [each for data in vex_documents for each in vex.read_vex(data, "vex.json")]
    rules = policy.Policy(
        **(values | {"require_hashes": True, "vex": statements} | fields), licenses=licenses.read_policy((), ())
    )
    return policy.evaluate(packages, database, rules)


# As dpkg --compare-versions has them.
@pytest.mark.parametrize(
    "ascending",
    [
        ["1.0~~", "1.0~rc1-1", "1.0~rc1-2", "1.0", "1.0-1", "1.0-1+b1", "1.0-1+deb13u1", "1.0-1.1", "1.0-2", "1.0a"],
        ["0~", "0", "0.0~", "0.0", "0.1", "0.9", "0.10", "9", "10", "1:0"],
        ["1.0-1~deb12u1", "1.0-1", "1.0+dfsg-1", "1.0.1-0"],
        ["3.5.4-1~deb13u1", "3.5.4-1~deb13u2", "3.5.4-1"],
    ],
)
def test_versions_sort_as_in_dpkg(ascending):
    assert sorted(set(ascending), key=parse_debian) == ascending
    assert len(set(map(parse_debian, ascending))) == len(ascending)


@pytest.mark.parametrize("text", ["", ":1", "1:", "1-", "1_0", "1 0", "9" * 5000, "a:1"])
def test_an_invalid_version_is_rejected(text):
    with pytest.raises(ValueError, match=""):
        parse_debian(text)


@pytest.mark.parametrize(
    ("distribution", "version", "ecosystem"),
    [
        ("debian", "13.8+deb13u7", "Debian:13"),
        ("debian", "12.4", "Debian:12"),
        ("debian", "13ubuntu10.1", "debian"),
        ("ubuntu", "13ubuntu10.1", "ubuntu"),
        ("alpine", "3", "alpine"),
    ],
)
def test_the_release_is_that_of_base_files(distribution, version, ecosystem):
    [package] = inventory.from_system(distribution, [("base-files", version, "")])
    assert package.ecosystem == ecosystem


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (record(ALL, {"fixed": "3.5.4-1~deb13u3"}), True),
        (record(ALL), True),
        (record(ALL, release=""), True),
        (record(ALL, {"fixed": "3.5.4-1~deb13u2"}), False),
        (record(ALL, {"fixed": "3.5.4-1~deb13u1"}), False),
        (record(ALL, release=":12"), False),
        (record(ALL, name="libssl3t64"), False),  # records are about source packages
        (record(ALL, {"fixed": "14.2.0-19"}, name="gcc-14"), False),
        (record(ALL, {"fixed": "14.2.0-19+b1"}, name="gcc-14"), True),
        (record(ALL, {"fixed": "1:1.3"}, name="zlib"), False),
        (record(ALL, {"fixed": "2"}, name="zlib"), False),  # without the epoch
        (record(ALL, name="OpenSSL"), False),
        (record(ALL, withdrawn="2026-01-01T00:00:00Z"), False),
    ],
)
def test_planted_advisories_of_debian(document, found):
    report = judged(document, record(ALL, {"fixed": "1"}, name="other"))
    assert [bool(report.vulnerabilities), bool(report.violations)] == [found, found]


def test_the_message_names_the_installed_packages():
    assert judged(record(ALL, {"fixed": "3.5.5-1"}, summary="Bad keys.")).violations == (
        "vulnerable: openssl 3.5.4-1~deb13u2: DEBIAN-CVE-1 (CVE-1), unknown severity, fixed in 3.5.5-1 (installed: "
        "libssl3t64, openssl-provider-legacy): Bad keys.",
    )


@pytest.mark.parametrize(
    ("urgency", "rating", "rejected"),
    [("unimportant", "none", False), ("low", "critical", True), ("end-of-life", "critical", True)],
)
def test_what_debian_calls_unimportant_passes(urgency, rating, rejected):
    severity = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
    report = judged(record(ALL, urgency=urgency, severity=severity))
    assert (report.vulnerabilities[0].rating, bool(report.violations)) == (rating, rejected)


@pytest.mark.parametrize(
    ("allow", "rejected"),
    [({"CVE-1": "a"}, True), ({"CVE-1": "a", "CVE-2": "b"}, False), ({"DSA-1": "a"}, False)],
)
def test_an_advisory_about_several_vulnerabilities_is_allowed_with_all_of_them(allow, rejected):
    upstream = ["CVE-1", "DEBIAN-CVE-1", "CVE-2", "DEBIAN-CVE-2"]
    report = judged(record(ALL, id="DSA-1", upstream=upstream), allow=allow)
    assert bool(report.violations) == rejected
    assert report.vulnerabilities[0].allowed == ("" if rejected else "; ".join(allow.values()))


def test_an_advisory_and_the_record_of_its_vulnerability_are_one():
    dsa = record(ALL, {"fixed": "3.5.4-1~deb13u3"}, id="DSA-1", upstream=["CVE-1", "DEBIAN-CVE-1"])
    [found] = judged(record(ALL, database_specific={"severity": "LOW"}), dsa, max_severity="low").vulnerabilities
    assert (found.ids, found.rating) == (("DEBIAN-CVE-1", "DSA-1", "CVE-1"), "low")
    assert not judged(dsa, vex_documents=(document(statement()),)).violations


def test_packages_without_records_are_reported():
    # A database only for PyPI, as before; one for another release isn't what was meant.
    assert judged().violations == ()
    assert judged().notes[0].startswith("not checked: 4 packages of Debian:13. Add advisories")
    assert judged(record(ALL, release=":12")).violations[0].startswith("not checked: 4 packages of Debian:13")
    database = advisories.Database((), 1, frozenset({"PyPI", "Debian:13"}))
    rules = policy.Policy("none", "above", {}, licenses.read_policy((), ()), {}, require_hashes=False)
    [violation] = policy.evaluate([PILLOW], database, rules, system_known=False).violations
    assert violation.startswith("not checked: the system packages of the image are unknown")


ACCEPTED = "vulnerable_code_not_in_execute_path, until 2026-06-30"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"impact_statement": "vulnerable_code_not_in_execute_path"},
        {"vulnerability": {"name": "CVE-9", "aliases": ["DEBIAN-CVE-1"]}},
        {"products": [{"@id": "pkg:deb/debian/openssl"}]},
        {"products": [{"identifiers": {"purl": "pkg:deb/debian/openssl@3.5.4-1~deb13u2"}}]},
        {"products": [{"@id": "pkg:oci/iris", "subcomponents": [{"@id": "pkg:deb/debian/openssl"}]}]},
        {"products": [{"@id": f"pkg:deb/debian/{name}"} for name in ("libssl3t64", "openssl-provider-legacy")]},
    ],
)
def test_vex_accepts_with_a_reason_until_a_date(fields):
    report = judged(record(ALL), vex_documents=(document(statement(**fields)),))
    assert (report.violations, report.vulnerabilities[0].allowed) == ((), ACCEPTED)
    assert f"allowed ({ACCEPTED}): openssl" in "\n".join(policy.summary_lines(report))


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        (
            {"status_notes": "expires: 2026-04-30"},
            "vex.json: expired on 2026-04-30. Review the statement, and set a later date",
        ),
        ({"status_notes": "no date"}, "vex.json: no expiry date. Add 'expires: YYYY-MM-DD' to status_notes"),
        (
            {"status_notes": "expires: 2026-13-01"},
            "vex.json: no expiry date. Add 'expires: YYYY-MM-DD' to status_notes",
        ),
        ({"status": "affected"}, "vex.json: the status is affected"),
        ({"status": "under_investigation"}, "vex.json: the status is under_investigation"),
        ({"vulnerability": {"name": "CVE-2"}}, ""),
        ({"products": []}, ""),
        ({"products": [{"@id": "pkg:oci/iris"}]}, ""),
        ({"products": [{"@id": "pkg:deb/debian/openssl@3.5.4-1"}]}, ""),
        ({"products": [{"@id": "pkg:deb/ubuntu/openssl"}]}, ""),
        ({"products": [{"@id": "pkg:deb/debian/libssl3t64"}]}, ""),  # not the other installed package
        ({"products": [{"@id": "pkg:pypi/openssl"}]}, ""),
        ({"products": [{"@id": "pkg:deb/debian/openssl", "subcomponents": [{"@id": "pkg:deb/debian/zlib"}]}]}, ""),
    ],
)
def test_vex_accepts_nothing_else(fields, remark):
    report = judged(record(ALL), vex_documents=(document(statement(**fields)),))
    [violation] = report.violations
    assert report.vulnerabilities[0].remark == remark
    assert violation.endswith(f"[{remark}]" if remark else "openssl-provider-legacy)")


def test_the_last_statement_counts():
    later = statement(status="affected", timestamp="2025-12-31T23:30:00.5-01:00")
    same = statement(status="affected")
    for statements in ([statement(), later], [later, statement()], [statement(), same], [same, statement()]):
        assert judged(record(ALL), vex_documents=(document(*statements),)).violations
    withdrawn = statement(status="affected", timestamp="2025-02-01T00:00:00Z")
    assert not judged(record(ALL), vex_documents=(document(withdrawn), document(statement()))).violations


def test_the_date_is_an_input():
    """No clock: the day of the database, or the attribute."""
    vex_documents = (document(statement()),)
    assert not judged(record(ALL), vex_documents=vex_documents, date="2026-06-30").violations
    assert judged(record(ALL), vex_documents=vex_documents, date="2026-07-01").violations
    with pytest.raises(BentoError, match=r"date: expected YYYY-MM-DD, got '1\.7\.2026'"):
        judged(record(ALL), date="1.7.2026")
    database = advisories.Database((), 1, frozenset({"PyPI"}))
    rules = policy.Policy(
        "none", "above", {}, licenses.read_policy((), ()), {}, False, vex.read_vex(document(statement()), "")
    )
    with pytest.raises(
        BentoError, match="vex: the advisories have no modification date, so the evaluation date is unknown. Set"
    ):
        policy.evaluate([PILLOW], database, rules)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "vex.json: expected a JSON object"),
        (b"{}", "vex.json: @context is missing"),
        (document().replace(b"v0.2.0", b"v0.1.0"), "vex.json: @context: expected https://openvex.dev/ns/v0.2.0, got"),
        (document(statement(status="harmless")), "vex.json: CVE-1: invalid status 'harmless'. Valid values: affected"),
        (
            document(statement(justification=None)),
            "vex.json: CVE-1: the status not_affected requires a reason. Add justification",
        ),
        (document(statement(timestamp="today")), "vex.json: CVE-1: invalid timestamp 'today'. Provide an OpenVEX"),
        (document(statement(products=[5])), "vex.json: statements[0].products[0]: expected a mapping, got a number"),
    ],
)
def test_an_invalid_vex_is_rejected(data, message):
    with pytest.raises(BentoError) as rejected:
        vex.read_vex(data, "vex.json")
    assert str(rejected.value).startswith(message)


def test_the_report_for_code_hosts():
    high = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}]
    report = judged(
        record(ALL, severity=high, summary="Bad."),
        record(ALL, id="DSA-2", upstream=["CVE-2"], name="zlib"),
        vex_documents=(document(statement()),),
        allow={"CVE-3": "x"},
    )
    written = json.loads(sarif.dumps(report, "//:policy", "a/BUILD.bazel"))
    [run] = written["runs"]
    assert written["version"] == "2.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["DEBIAN-CVE-1", "DSA-2", "allow"]
    assert run["tool"]["driver"]["rules"][0]["properties"]["security-severity"] == "7.0"
    assert [(result["ruleId"], result["level"], "suppressions" in result) for result in run["results"]] == [
        ("DEBIAN-CVE-1", "note", True),
        ("DSA-2", "error", False),
        ("allow", "error", False),
    ]
    # The first ID: a later alias doesn't change the identity of a finding.
    fingerprints = [result["partialFingerprints"]["package/v1"].split()[-1] for result in run["results"][:2]]
    assert (fingerprints, len(report.vulnerabilities[0].ids)) == (["DEBIAN-CVE-1", "DSA-2"], 2)
    assert run["results"][0]["suppressions"][0]["justification"] == ACCEPTED
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a/BUILD.bazel"
    assert sarif.dumps(report, "//:policy", "a/BUILD.bazel") == json.dumps(written, indent=1) + "\n"


@pytest.fixture
def act(tmp_path: Path):
    """The two actions of an image's test, with the given records."""

    def run(*records: dict[str, Any], flags: tuple[str, ...] = (), system: dict[str, Any] | None = None) -> None:
        (tmp_path / "pillow.json").write_text(json.dumps({"name": "pillow", "version": "1.0", "files": {"x": "0"}}))
        (tmp_path / "debs.json").write_text(json.dumps({"packages": {}, "status": STATUS}))
        pypi = {"id": "A", "affected": [{"package": {"ecosystem": "PyPI", "name": "x"}}]}
        (tmp_path / "records").mkdir(exist_ok=True)
        for number, each in enumerate([pypi, *records]):
            (tmp_path / "records" / f"{number}.json").write_text(json.dumps(each))
        below = ["--index", str(tmp_path / "debs.json")]
        if system is not None:
            (tmp_path / "system.json").write_text(json.dumps(system))
            below = ["--base-system", str(tmp_path / "system.json")]
        output = str(tmp_path / "packages.json")
        argv = ["--locked", str(tmp_path / "pillow.json"), "--image", *below, "--output", output]
        list_packages(decode(list_packages, argv))
        values: dict[str, Any] = {
            "allow": {},
            "allow_licenses": [],
            "date": "",
            "deny_licenses": [],
            "package_licenses": {},
        }
        values |= {"max_severity": "none", "require_hashes": True, "unknown_severity": "above"}
        (tmp_path / "settings.json").write_text(json.dumps(values))
        argv = ["--inventory", output, "--settings", str(tmp_path / "settings.json"), *flags]
        argv += ["--advisories", str(tmp_path / "records"), "records"]
        check_policy(decode(check_policy, argv))

    return run


def test_the_test_of_an_image_finds_what_is_planted(act, tmp_path, capsys):
    act(record(ALL, {"fixed": "3"}))
    assert capsys.readouterr().out == "5 packages were checked against 2 advisories.\n"
    with pytest.raises(BentoError, match="vulnerable: openssl 3.5.4-1~deb13u2: DEBIAN-CVE-1"):
        act(record(ALL))
    (tmp_path / "vex.json").write_bytes(document(statement()))
    act(record(ALL), flags=("--vex", str(tmp_path / "vex.json"), "vex.json"))
    with pytest.raises(BentoError, match=r"vex\.json: expired on 2026-06-30"):
        act(record(ALL, modified="2026-07-01T00:00:00Z"), flags=("--vex", str(tmp_path / "vex.json"), "vex.json"))
    output = tmp_path / "policy.sarif"
    act(record(ALL), flags=("--sarif", str(output), "--target", "//:x", "--path", "BUILD.bazel"))
    assert [result["level"] for result in json.loads(output.read_text())["runs"][0]["results"]] == ["error"]


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (
            {
                "ids": ["debian"],
                "packages": [["base-files", "13.8", "amd64", [], ""], ["x", "1-1", "amd64", [], "openssl (1-1)"]],
            },
            "vulnerable: openssl 1-1: DEBIAN-CVE-1",
        ),
        ({"ids": ["alpine"], "packages": [["openssl", "1", "x86_64", [], ""]]}, "not checked: 1 packages of alpine"),
        ({"ids": [], "packages": None}, "not checked: the system packages of the image are unknown"),
    ],
)
def test_the_packages_of_an_existing_image(act, system, message):
    with pytest.raises(BentoError, match=message):
        act(record(ALL), system=system)
