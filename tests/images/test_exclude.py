"""Files of wheels that images leave out: which, what is said of them, and what is refused."""

import json
import shutil
import subprocess

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.validation.base_compatibility import Base, check
from rules_bento.images.wheels.exclude import Exclude, without
from rules_bento.images.wheels.install import InstallLayout, shared_files
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

LAYOUT = InstallLayout.venv("/app/.venv", 12)
FILES = {
    "acme/__init__.py": "",
    "acme/core.py": "value = 1\n",
    "acme/lib/libacme.a": "!<arch>\n" * 100,
    "acme/lib/libacme.so.1": "no library",
    "acme/plugins/__init__.py": "",
    "acme/plugins/fast.py": "",
    "acme/tests/__init__.py": "",
    "acme/tests/test_core.py": "assert 1\n",
    "acme/tests/data/libstub.a": "!<arch>\n",
}
ENTRY_POINTS = "[console_scripts]\nacme = acme.core:main\n\n[acme.plugins]\nfast = acme.plugins.fast [extra]\n"


@pytest.fixture
def maker():
    made = Maker("Acme_Tools", "2.1").add(FILES)
    made.entry_points(ENTRY_POINTS)
    return made


@pytest.fixture
def wheel(maker, tmp_path):
    return Wheel.read(maker.write(tmp_path))


def excluded(wheel, *own, preset=()):
    """The names of what patterns leave out."""
    kept = {member.path for member in without(wheel, Exclude(own, preset)).members}
    return {member.path for member in wheel.members} - kept


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["*.a"], {"acme/lib/libacme.a", "acme/tests/data/libstub.a"}),
        (["/acme/lib/*.a"], {"acme/lib/libacme.a"}),
        (["acme/tests/"], {name for name in FILES if name.startswith("acme/tests/")}),
        (["acme/tests/**"], {name for name in FILES if name.startswith("acme/tests/")}),
        (["*.a", "!acme/tests/**"], {"acme/lib/libacme.a"}),
        # The first names files, although the second decides of all of them.
        (["/acme/tests/*.py", "tests/"], {name for name in FILES if name.startswith("acme/tests/")}),
    ],
)
def test_patterns_are_those_of_a_bentofile(wheel, own, expected):
    assert excluded(wheel, *own) == expected


def test_a_preset_may_name_nothing_and_own_patterns_win_over_it(wheel):
    assert excluded(wheel, preset=["*.a", "/torch/share/"]) == {"acme/lib/libacme.a", "acme/tests/data/libstub.a"}
    assert excluded(wheel, "!acme/lib/*.a", preset=["*.a"]) == {"acme/tests/data/libstub.a"}
    assert not excluded(wheel, preset=["/torch/share/"])


def test_the_same_bytes_as_of_a_wheel_that_never_had_them(wheel, tmp_path):
    (tmp_path / "never").mkdir()
    never = Maker("Acme_Tools", "2.1").add({name: data for name, data in FILES.items() if not name.endswith(".a")})
    never.entry_points(ENTRY_POINTS)
    one = write_wheel_layer(tmp_path / "one", without(wheel, Exclude(["*.a"])), LAYOUT, "gzip")
    assert one == write_wheel_layer(tmp_path / "two", Wheel.read(never.write(tmp_path / "never")), LAYOUT, "gzip")
    assert one.size < write_wheel_layer(tmp_path / "three", wheel, LAYOUT, "gzip").size


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a compiler of C")
def test_a_library_that_is_needed_and_excluded_is_missed(tmp_path):
    (tmp_path / "helper.c").write_text("int helper(void) { return 0; }\n")
    (tmp_path / "core.c").write_text("int helper(void);\nvoid *PyInit_core(void) { helper(); return 0; }\n")
    shared = ["cc", "-shared", "-fPIC", "-nostdlib"]
    subprocess.run([*shared, "-o", "libhelper.so", "helper.c"], cwd=tmp_path, check=True)
    link = ["-L.", "-lhelper", "-Wl,-rpath,$ORIGIN"]
    subprocess.run([*shared, "-o", "core.so", "core.c", *link], cwd=tmp_path, check=True)
    files = {f"acme/{name}": (tmp_path / name).read_bytes() for name in ("core.so", "libhelper.so")}
    wheel = Wheel.read(Maker("acme").add(files).write(tmp_path))
    whole, less = Libraries.read(wheel), Libraries.read(without(wheel, Exclude(["libhelper.so"])))
    base = Base("//base", whole.linked[0].elf.machine, None, frozenset())
    assert not list(check(base, [], [whole], ()).problems)
    assert "libhelper.so" in check(base, [], [less], ()).problems[0]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (["*.aa"], "pattern 1 of exclude[\"acme-tools\"] of bento.pypi ('*.aa') matches no file. Did you mean '*.a'?"),
        (["*.a", "acme/test/"], "pattern 2 of exclude[\"acme-tools\"] of bento.pypi ('acme/test/') matches no file"),
        (["Tests/"], "Did you mean 'tests'?"),
        (["./acme/tests/"], "Did you mean 'acme/tests'?"),
        (["acme/lib/libacme.so"], "Did you mean 'acme/lib/libacme.so.1'?"),
        (["quite/other/things/*.bin"], "matches no file. Correct"),
        # What is to stay is named wrongly, and would go.
        (["*.a", "!acme/test/**"], "('!acme/test/**') matches no file"),
        (["*.a", "# static"], "a pattern is empty, is a comment, or has an unclosed `[`"),
        (["*.a", "["], "a pattern is empty, is a comment, or has an unclosed `[`"),
        (["!*.a"], 'exclude["acme-tools"] of bento.pypi excludes no files. Correct or remove the patterns.'),
        (["!"], "invalid pattern"),
        (["RECORD"], "but the image requires the wheel's metadata"),
        (["*.txt"], "entry_points.txt, but the image requires the wheel's metadata"),
        (["*"], "but the image requires the wheel's metadata"),
        (["*", "!*.dist-info/"], "an entry point requires acme.core"),
        (["acme/__init__.py"], "excludes acme/__init__.py, but keeps other modules of the package. Exclude 'acme/'"),
        (["acme/tests/__init__.py"], "Exclude 'acme/tests/', or add '!/acme/tests/__init__.py'"),
        (["acme/core.py"], "excludes acme/core.py, but an entry point requires acme.core"),
        (["acme/plugins/"], "excludes acme/plugins/fast.py, but an entry point requires acme.plugins.fast"),
    ],
)
def test_patterns_without_a_valid_meaning_are_rejected(wheel, own, words):
    with pytest.raises(BentoError) as caught:
        without(wheel, Exclude(own))
    assert words in str(caught.value)


def test_ways_out_that_messages_name(maker, tmp_path):
    maker.add({"acme/data/notes.txt": "text"})
    wheel = Wheel.read(maker.write(tmp_path))
    assert excluded(wheel, "*.txt", "!*.dist-info/") == {"acme/data/notes.txt"}
    modules = {"acme/tests/test_core.py"}
    assert excluded(wheel, "acme/tests/*.py", "!/acme/tests/__init__.py") == modules
    assert excluded(wheel, "acme/plugins/", "*.a", "!/acme/plugins/fast.py", "!/acme/plugins/__init__.py")


@pytest.mark.parametrize("pattern", ["/bin/acme", "bin/acme", "/bin/*"])
def test_a_script_is_excluded(pattern, maker, tmp_path):
    """Of an entry point, and of a file in the wheel."""
    maker.add({"Acme_Tools-2.1.data/scripts/acme-data": "#!python\n", "acme/bin/acme": ""})
    wheel = Wheel.read(maker.write(tmp_path))
    less = without(wheel, Exclude([pattern]))
    assert [path for path in shared_files(wheel).keys() - shared_files(less) if "acme-data" not in path] == [
        "../../../bin/acme"
    ]
    assert {member.path for member in wheel.members if member not in less.members} == (
        {"Acme_Tools-2.1.data/scripts/acme-data"} if "*" in pattern else set()
    )


@pytest.mark.parametrize("files", [["/acme/__init__.py"], ["/acme/core.py"], ["/acme/"], ["/bin/acme"]])
def test_the_ways_out_for_files_of_two_packages_are_possible(files, maker, tmp_path):
    """The patterns that `check_shared_files` names."""
    other = Maker("other").add({"acme/__init__.py": "1", "acme/core.py": "2"})
    other.entry_points("[console_scripts]\nacme = other:main\n")
    wheels = [Wheel.read(each.write(tmp_path)) for each in (maker, other)]
    less = without(wheels[0], Exclude(files))
    assert less.members != wheels[0].members or less.entry_points != wheels[0].entry_points


def test_a_wheel_of_which_no_module_is_left_is_rejected(tmp_path):
    wheel = Wheel.read(Maker().add({"odd/__init__.py": "", "odd/odd.so": "", "odd/table.csv": ""}).write(tmp_path))
    with pytest.raises(
        BentoError, match="excludes all of the package's modules. Exclude fewer files, or remove the package"
    ):
        without(wheel, Exclude(["odd/"]))
    only_data = Wheel.read(Maker("data").add({"data/table.csv": "", "data/other.csv": ""}).write(tmp_path))
    assert excluded(only_data, "table.csv") == {"data/table.csv"}


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_bill_and_report_say_how_much_is_excluded(wheel, tmp_path, form, capsys):
    excluded = tmp_path / "excluded"
    run(["wheel_excluded", "--wheel", str(wheel.file), "--exclude", '"*.a"', "--output", str(excluded)])
    told = {"name": "acme-tools", "version": "2.1", "files": 2, "size": 808}
    assert json.loads(excluded.read_text()) == told
    nothing = tmp_path / "nothing"
    flags = ["--wheel", str(wheel.file), "--exclude-preset", '"*.o"', "--output", str(nothing)]
    run(["wheel_excluded", *flags])
    assert run(["wheel_excluded", "--allow-record-mismatch", *flags]) == 1
    assert "the RECORD is correct" in capsys.readouterr().err
    for name, text in {"config": '{"architecture": "amd64"}', "digest": f"sha256:{'0' * 64}", "tag": "svc:1"}.items():
        (tmp_path / name).write_text(text)
    words = ["--base-config", "config", "--bento-digest", "digest", "--digest", "digest", "--tag", "tag"]
    words = [word if word.startswith("--") else str(tmp_path / word) for word in words]
    words += ["--wheel", "acme-tools", "2.1", "a" * 64, "--wheel", "other", "2", "b" * 64]
    words += ["--created", "2020-01-01T00:00:00Z", "--format", form, "--output", str(tmp_path / "bill")]
    run(
        [
            "sbom", *words, "--allow-record-mismatch", "acme-tools", "--excluded", str(excluded), "--excluded",
            str(nothing),
        ]
    )  # fmt: skip
    bill = json.loads((tmp_path / "bill").read_text())
    [package] = [part for part in bill.get("components", bill.get("packages")) if "excludes files" in json.dumps(part)]
    assert package["name"] == "acme-tools"
    assert "2 files, 808 bytes" in json.dumps(package)
    told_of_records = [part for part in bill.get("components", bill.get("packages")) if "RECORD" in json.dumps(part)]
    assert told_of_records == [package]
    report, html = tmp_path / "report", tmp_path / "html"
    words = ["--target", "//:image", "--bento", "/home/bentoml/bento", "--output", str(report), "--page", str(html)]
    run(["layer_report", *words, "--excluded", str(nothing)])
    assert "excluded" not in report.read_text()
    assert "record_mismatches" not in report.read_text() + html.read_text()
    more = ["--excluded", str(excluded), "--excluded", str(nothing), "--allow-record-mismatch", "acme"]
    run(["layer_report", *words, *more])
    assert json.loads(report.read_text())["excluded"] == [told]
    assert json.loads(report.read_text())["record_mismatches"] == ["acme"]
    assert "Excluded from packages by bento.pypi: 808.00 B" in html.read_text()
    assert "Wheels with an invalid RECORD" in html.read_text()
