"""SBOMs contain licenses of wheels and models, and origins of models. e2e/schemas.py validates SBOMs with the official schemas."""

import json

import pytest
from rules_bento.base.dataclasses_lite import replace
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.images import sbom
from rules_bento.images.artifacts import artifact
from rules_bento.images.system_packages import InstalledPackage, SystemFiles
from rules_bento.images.wheels.elf import Elf
from rules_bento.images.wheels.libraries import Libraries, Linked
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = f"sha256:{'1' * 64}"
SUBJECT = sbom.ImageSubject("iris", "v1", DIGEST, "1980-01-01T00:00:00Z")
OWN = sbom.sources("iris", "v1", f"blake3:{'1' * 64}")
MODEL = ModelDescription("clf:v1", "", "1980-01-01T00:00:00+00:00", "2" * 64, 1)
ORIGINS = [
    ({"hugging_face": f"Acme/Tiny@{COMMIT}"}, f"pkg:huggingface/Acme/Tiny@{COMMIT}", None),
    ({"hugging_face": f"tiny@{COMMIT}"}, f"pkg:huggingface/tiny@{COMMIT}", None),
    ({"origin": f"oci://registry.example.com:5000/models/Clf@{DIGEST}"}, f"pkg:oci/clf@sha256%3A{'1' * 64}?repository_url=registry.example.com:5000/models/Clf", None),
    ({"origin": "https://example.com/clf"}, None, "https://example.com/clf"),
    ({}, None, None),
]  # fmt: skip
LICENSES = [
    ({"license": "apache-2.0"}, "Apache-2.0"),
    ({"license": "mit or apache-2.0"}, "MIT OR Apache-2.0"),
    ({"license": "llama3"}, None),
    ({"license": "mit, apache-2.0"}, None),
    ({"license": "LicenseRef-mine"}, None),
    ({"license": "llama3", "labels": {"license": "MIT"}}, "MIT"),
]


def component(form, **fields):
    document = json.loads(sbom.make_sbom(SUBJECT, [sbom.model(replace(MODEL, **fields))], form))
    return document["components"][0] if form == "cyclonedx" else document["packages"][1]


@pytest.mark.parametrize(("fields", "purl", "url"), ORIGINS)
def test_the_origin_of_a_model_is_a_package_url_or_a_url(fields, purl, url):
    entry = component("cyclonedx", **fields)
    assert (entry["bom-ref"], entry.get("purl")) == ("model:clf:v1", purl)
    assert entry.get("externalReferences") == ([{"type": "distribution", "url": url}] if url else None)
    package = component("spdx", **fields)
    assert [it["referenceLocator"] for it in package.get("externalRefs", ())] == ([purl] if purl else [])
    assert package["downloadLocation"] == (url or "NOASSERTION")


@pytest.mark.parametrize(("fields", "expression"), LICENSES)
def test_only_a_license_on_the_list_is_an_expression(fields, expression):
    name = {"license": {"name": fields["license"]}}
    assert component("cyclonedx", **fields)["licenses"] == [{"expression": expression} if expression else name]
    package = component("spdx", **fields)
    digest = f"blake3:{'2' * 64}"
    declared = digest if expression else f"{digest}\nDeclared license: {fields['license']}"
    assert (package["licenseDeclared"], package["comment"]) == (expression or "NOASSERTION", declared)


def test_a_model_without_a_license_declares_none():
    assert "licenses" not in component("cyclonedx")
    assert "licenseDeclared" not in component("spdx")


def test_an_artifact_in_a_registry_depends_on_neither():
    assert artifact.model_config(replace(MODEL, license="mit", origin="https://x.org/a")) == artifact.model_config(
        MODEL
    )


OSI = "Classifier: License :: OSI Approved"
WHEELS = [
    ("License-Expression: mit or apache-2.0\nLicense: GPL", "MIT OR Apache-2.0", True),
    ("License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License", "BSD-3-Clause", True),
    (f"License: BSD\n{OSI} :: BSD License", "BSD License", False),
    (f"{OSI}\n{OSI} :: MIT License", "MIT", True),
    (f"License: Copyright 2020 us\n        All rights reserved.\n{OSI} :: ISC License (ISCL)", "ISC", True),
    (f"{OSI} :: MIT License\n{OSI} :: BSD License", "MIT License, BSD License", False),
    (f"License: Copyright {'x' * 200}", f"Copyright {'x' * 90}", False),
    (f"License-Expression: {'(' * 300}MIT{')' * 300}", f"{'(' * 300}MIT{')' * 300}", False),
    ("License: UNKNOWN", "", False),
    ("Classifier: Programming Language :: Python", "", False),
]


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
@pytest.mark.parametrize(("fields", "name", "is_listed"), WHEELS)
def test_a_wheel_has_the_license_of_its_metadata(tmp_path, form, fields, name, is_listed):
    maker = Maker("acme")
    maker.files[f"{maker.dist_info}/METADATA"] += f"{fields}\n".encode()
    packages = [Libraries.loads(Libraries.read(Wheel.read(maker.write(tmp_path))).dumps())]
    wheels = [("acme", "1.0", "1" * 64), ("other", "1.0", "")]
    components = sbom.image_components(OWN, wheels, {}, packages, [])
    document = json.loads(sbom.make_sbom(SUBJECT, components, form))
    [acme, other] = [
        each for each in document.get("components", document.get("packages")) if each["name"] in ("acme", "other")
    ]
    if form == "cyclonedx":
        named = {"expression": name} if is_listed else {"license": {"name": name}}
        assert acme.get("licenses") == ([named] if name else None)
        assert "licenses" not in other
    else:
        assert acme.get("licenseDeclared") == (name if is_listed else "NOASSERTION" if name else None)
        assert acme.get("comment") == (f"Declared license: {name}" if name and not is_listed else None)


def test_architectures_of_gpu_code_are_remarks():
    elf = Elf("amd64", "", (), (), gpu_code=("sm_80", "sm_90a", "compute_90"))
    packages = [Libraries("acme-1.0-py3-none-any.whl", "acme", (Linked("acme/libgpu.so", elf),))]
    wheels = [("acme", "1.0", "1" * 64), ("other", "1.0", "")]
    remarks = {"acme": "The image excludes files of the wheel: x.", "other": "y"}
    [_, acme, other] = sbom.image_components(OWN, wheels, remarks, packages, [])
    code = "The wheel has code for GPUs with the compute capabilities 8.0, 9.0a, PTX 9.0."
    assert (acme.remark, other.remark) == (f"The image excludes files of the wheel: x. {code}", "y")


BASE = {"architecture": "amd64", "digest": DIGEST, "origin": "docker.io/library/python"}
BASES = [
    (BASE, SystemFiles(("debian",), (InstalledPackage("libc6", "1:2+b", "amd64"), InstalledPackage("tzdata", "1", "all"))),
     ["pkg:deb/debian/libc6@1%3A2%2Bb?arch=amd64", "pkg:deb/debian/tzdata@1?arch=all"], False),
    (BASE, SystemFiles(("wolfi",), (InstalledPackage("musl", "1", "x86_64"),)), ["pkg:apk/wolfi/musl@1?arch=x86_64"], False),
    (BASE, SystemFiles((), None), [], True),
    (BASE, None, [], True),
    ({"architecture": "amd64", "env": {}}, None, [], False),  # of bento_base
]  # fmt: skip


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
@pytest.mark.parametrize(("config", "system", "packages", "is_unlisted"), BASES)
def test_a_base_and_its_packages_are_components(form, config, system, packages, is_unlisted):
    document = json.loads(sbom.make_sbom(SUBJECT, sbom.base_image(config, system), form))
    base = f"pkg:oci/python@sha256%3A{'1' * 64}?repository_url=docker.io/library/python"
    expected = [*packages, *([base] if "digest" in config else [])]
    if form == "cyclonedx":
        assert [each["purl"] for each in document["components"]] == expected
        assert [each["type"] for each in document["components"]][len(packages) :] == ["container"] * (
            "digest" in config
        )
    else:
        found = [each["externalRefs"][0]["referenceLocator"] for each in document["packages"][1:]]
        assert found == expected
    assert (sbom.UNLISTED in json.dumps(document)) == is_unlisted


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_an_interpreter_and_what_it_includes_are_components(form):
    program = {"name": "python", "version": "3.12.8", "license": "PSF-2.0", "digest": DIGEST}
    linked = {"name": "libffi", "version": "", "license": "MIT"}
    found = json.loads(sbom.make_sbom(SUBJECT, sbom.interpreter_components([program, linked]), form))
    if form == "cyclonedx":
        library, python = found["components"]
        assert (python["purl"], python["hashes"][0]["content"]) == ("pkg:generic/python@3.12.8", "1" * 64)
        assert (library["purl"], library["licenses"]) == ("pkg:generic/libffi", [{"expression": "MIT"}])
        assert library["properties"] == [{"name": "rules_bento:remark", "value": sbom.INCLUDED}]
    else:
        assert not [each for each in found["packages"] if each["filesAnalyzed"]], "no list of files is in it (SPDX 7.8)"
        _, library, python = found["packages"]
        assert (python["versionInfo"], python["checksums"][0]["checksumValue"]) == ("3.12.8", "1" * 64)
        assert (library["licenseDeclared"], library["comment"]) == ("MIT", sbom.INCLUDED)
