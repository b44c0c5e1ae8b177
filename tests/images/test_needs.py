from rules_bento.images.validation.package_needs import NEEDS, is_provided, problem
from rules_bento.images.validation.remedies import Remedies
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel_metadata import normalized

HINT = Remedies("image", "debian", "//base:python")


def package(name, *requires, machines=()):
    return Libraries(f"{name}-1.0-py3-none-any.whl", name, (), machines=machines, requires=frozenset(requires))


def found(*packages, own=(), present=(), unchecked=(), hint=HINT):
    return problem(packages, [f"{name}-1.0-py3-none-any.whl" for name in own], present, unchecked, hint)


def test_a_missing_program_is_named_with_the_lines_to_add():
    text = found(package("pytesseract"), package("pillow"))
    assert text.startswith(
        "pytesseract: the package runs tesseract, but //base:python and the layers lack tesseract.\n"
    )
    assert '    packages = [\n        "@debian//tesseract-ocr",\n    ],\n' in text
    assert text.endswith('If the service doesn\'t use these files, set ignore_libraries = ["tesseract"].')
    assert found(package("pytesseract"), present=["tesseract"]) == ""
    assert found(package("pytesseract"), unchecked=["tesseract"]) == ""


def test_all_files_of_a_need_are_required_and_alternatives_are_accepted():
    text = found(package("triton"), present=["clang"], hint=Remedies("image", "", "@pulled"))
    assert "@pulled and the layers lack Python.h, stdio.h." in text
    assert "Use a base image with the packages gcc, libc6-dev and libpython3-dev" in text
    assert found(package("triton"), present=["cc", "Python.h", "stdio.h"]) == ""


def test_a_package_that_another_one_requires_may_be_optional():
    assert found(package("torch", "triton"), package("triton")) == ""
    assert found(package("mlflow", "gitpython"), package("gitpython")) == ""
    assert "vllm: the package compiles C code" in found(package("server", "vllm"), package("vllm"))


def test_what_the_sources_of_the_user_require_is_required_directly():
    app, lib = package("app", "lib", "pytesseract"), package("lib", "gitpython")
    packages = [app, lib, package("pytesseract"), package("gitpython")]
    assert found(*packages) == ""
    assert found(*packages, own=["app"]).startswith("pytesseract: the package runs tesseract")
    assert [line.partition(":")[0] for line in found(*packages, own=["app", "lib"]).split("\n")[:2]] == [
        "gitpython",
        "pytesseract",
    ]
    assert found(*packages, package("mlflow", "gitpython"), own=["lib"]) == ""


def test_a_package_can_replace_the_files():
    assert "Lock psycopg-binary or psycopg-c, or add" in found(package("psycopg"))
    assert found(package("psycopg"), package("psycopg-binary")) == ""
    assert found(package("pypandoc"), package("tool", machines=(("tool-1.data/scripts/pandoc", "amd64"),))) == ""


def test_ignored_names_stay_in_the_line_to_set():
    assert 'ignore_libraries = ["git", "libm.so"]' in found(package("gitpython"), unchecked=["libm.so"])


def test_the_provided_files_of_an_image():
    there = ("usr/bin/git", "bin/sh", "opt/tool/bin/tool", "usr/include/python3.13/Python.h", "usr/lib/libpq.so.5")
    assert all(map(is_provided, there))
    assert not any(map(is_provided, ("usr/share/git", "usr/include/math.h", "usr/bin/share/doc")))


def test_each_entry_is_complete():
    for need in NEEDS:
        assert need.source.count("/") == need.source.count("#") == 1, need
        assert need.debs and need.files
        assert all(name == normalized(name) for name in f"{need.packages} {need.instead}".split()), need
