"""Packages are compared with a policy of licenses and hashes: an unknown license isn't an allowed one."""

import json
from typing import Any

import pytest
from bento_cli.cli import main
from rules_bento.actions.reports import check_policy
from rules_bento.actions.reports import inventory as list_packages
from rules_bento.archives.archive import write_part
from rules_bento.archives.tarstream import Member
from rules_bento.arguments import decode
from rules_bento.audit import inventory, licenses
from rules_bento.audit.inventory import Package
from rules_bento.audit.licenses import DeclaredLicense
from rules_bento.errors import BentoError

from tests.helpers.made_wheels import Maker

PILLOW = Package("pillow", "1.0", hashed=True)


def asked(**fields: Any) -> inventory.Policy:
    taken = licenses.read_policy(fields.pop("allowed", ()), fields.pop("denied", ()))
    return inventory.Policy(taken, **({"package_licenses": {}, "require_hashes": False} | fields))


def test_a_package_without_a_hash_is_rejected_with_the_package_that_requires_it():
    lock = [
        {"name": "app", "version": "1.0", "files": {"app.whl": "0" * 64}, "dependencies": [{"name": "pillow"}]},
        {"name": "pillow", "version": "1.0", "files": {}},
    ]
    packages = inventory.from_lock(lock)
    assert inventory.evaluate(packages, asked(require_hashes=True)).violations == (
        "no hash: pillow 1.0 (required by app)",
    )
    assert inventory.evaluate(packages, asked()).violations == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"package_licenses": {"pillow": "free"}}, "package_licenses: pillow: invalid SPDX expression 'free'"),
        ({"denied": ["GPLv3"]}, "deny_licenses: 'GPLv3' isn't an SPDX identifier"),
        ({"denied": ["GLP-*"]}, "deny_licenses: 'GLP-*' isn't an SPDX identifier"),
        ({"allowed": ["MIT OR ISC"]}, "allow_licenses: expected one license, got 'MIT OR ISC'"),
        ({"allowed": ["text:"]}, "allow_licenses: 'text:' isn't an SPDX identifier"),
    ],
)
def test_a_policy_that_means_nothing_is_rejected(fields, message):
    with pytest.raises(BentoError) as refused:
        inventory.evaluate([PILLOW], asked(**fields))
    assert str(refused.value).startswith(message)


def test_a_package_without_a_version_is_rejected():
    [package] = inventory.from_requirements("pillow>=9\n", "requirements.txt")
    [refusal] = inventory.evaluate([package], asked(denied=["MIT"])).violations
    assert "no version: pillow. Lock the package" in refusal


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"./wheels/acme_x-1.0+b.1-py3-none-any.whl --hash=sha256:{'0' * 64}", ("acme-x", "1.0+b.1", True)),
        ("https://host/a.b-2.0.tar.gz", ("a-b", "2.0", False)),
        (f"git+https://host/other.git@{'0' * 40}", ("other", "", False)),
        ("a[x] @ https://host/a-1!2.0-py3-none-any.whl ; python_version > '3'", ("a", "1!2.0", False)),
        (f"a @ git+https://host/other.git@{'0' * 40}", ("a", "", True)),
        ("a @ https://host/archive/main.zip", ("a", "", False)),
    ],
)
def test_a_path_or_address_is_listed_by_the_name_of_its_package(line, expected):
    assert inventory.from_requirements(line, "requirements.txt", "3.12") == [Package(*expected)]


@pytest.mark.parametrize(("version", "names"), [("", ["a", "b"]), ("3.11", ["a"]), ("3.12", ["b"])])
def test_only_packages_for_the_python_of_the_bento_are_listed(tmp_path, version, names):
    text = "a==1 ; python_version < '3.12'\nb==1 ; python_version >= '3.12'\n"
    write_part(tmp_path / "part", [Member.inline("env/python/requirements.txt", text.encode())])
    words = ["--part", str(tmp_path / "part"), "--python-version", version, "--output", str(tmp_path / "out")]
    list_packages(decode(list_packages, ["--target", "//:t", *words]))
    assert [package.name for package in inventory.loads((tmp_path / "out").read_bytes())] == names


def test_no_packages_at_all_are_rejected():
    with pytest.raises(BentoError, match="the Bento lists no packages"):
        inventory.evaluate([], asked())


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
    report = inventory.evaluate(packages, asked(denied=["GPL-*"]))
    assert (report.violations, report.notes) == ((), ("unknown licenses: ours 1.0",))
    assert inventory.evaluate(packages, asked(allowed=["MIT"])).violations == ("license: ours 1.0: unknown",)
    assert not inventory.evaluate(packages, asked(allowed=["MIT"], package_licenses={"Ours": "MIT"})).violations
    [refusal] = inventory.evaluate(packages, asked(denied=["GPL-*"], package_licenses={"other": "MIT"})).violations
    assert refusal.startswith("package_licenses: other: the Bento doesn't contain the package")


def test_the_test_of_a_bento_names_what_it_rejects(tmp_path, capsys):
    locked = tmp_path / "pillow.json"
    locked.write_text(json.dumps({"name": "pillow", "version": "1.0", "files": {"x.whl": "0" * 64}}))
    maker = Maker("pillow")
    maker.files[f"{maker.dist_info}/METADATA"] += b"License-Expression: GPL-3.0-or-later\n"
    output, settings = tmp_path / "packages.json", tmp_path / "settings.json"
    argv = ["--locked", str(locked), "--wheel", str(maker.write(tmp_path)), "--output", str(output)]
    list_packages(decode(list_packages, argv))
    values = {"allow_licenses": [], "deny_licenses": ["GPL-*"], "package_licenses": {}, "require_hashes": True}
    settings.write_text(json.dumps(values))
    argv = ["--inventory", str(output), "--settings", str(settings)]
    check = decode(check_policy, argv)
    with pytest.raises(BentoError) as refused:
        check_policy(check)
    assert "license: pillow 1.0: GPL-3.0-or-later" in str(refused.value)
    settings.write_text(json.dumps(values | {"package_licenses": {"Pillow": "MIT"}}))
    check_policy(check)
    assert capsys.readouterr().out == "1 package checked.\n" * 2


def test_without_a_hub_the_requirements_of_the_bento_count(tmp_path):
    text = f"pillow==1.0 \\\n    --hash=sha256:{'0' * 64}\nnumpy\n"
    part, output = tmp_path / "part", tmp_path / "packages.json"
    write_part(part, [Member("env/python/requirements.txt", 0o644, len(text), data=text.encode())])
    list_packages(decode(list_packages, ["--part", str(part), "--output", str(output)]))
    packages = (Package("numpy", "", False), Package("pillow", "1.0", True))
    assert inventory.loads(output.read_text()) == packages


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
def test_the_audit_command_reads_locks_and_sboms(tmp_path, capsys, name):
    (tmp_path / name).write_text(LOCKS[name])
    command = ["--home", str(tmp_path), "audit", str(tmp_path / name)]
    assert main([*command, "--require-hashes"]) == 3
    assert "no hash: pillow 1.0" in capsys.readouterr().out
    assert main([*command, "--deny-license", "GPL-*", "--license", "pillow=MIT", "-o", "json"]) == 0
    licensed = {"package": "pillow", "version": "1.0", "license": "MIT", "rejected": False}
    assert json.loads(capsys.readouterr().out)["licenses"] == [licensed]


def test_the_audit_command_reads_archives_and_wheels(tmp_path, capsys):
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
        ([], "no checks are selected."),
        (["--deny-license", "MIT", "--license", "A"], "--license: expected NAME=SPDX, but value number 1 has no `=`."),
    ],
)
def test_the_command_says_what_it_lacks(tmp_path, capsys, words, message):
    (tmp_path / "requirements.txt").write_text("pillow==1.0\n")
    assert main(["--home", str(tmp_path), "audit", str(tmp_path / "requirements.txt"), *words]) == 1
    assert message in capsys.readouterr().err
