"""Requirements of a Bento are what pip and uv read, and can be installed."""

import json
import random
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from bento_cli.projects.from_directory import ExtraOptions, build, build_bentofile
from packaging.requirements import Requirement
from packaging.version import Version
from pip_requirements_parser import preprocess
from rules_bento.actions.bento_sources import snapshot
from rules_bento.actions.package import make_bento, package
from rules_bento.actions.service import _check_versions
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.assembly.declared_packages import declared_packages
from rules_bento.bentos.assembly.env.common import BentoSettings, parse_dotenv
from rules_bento.bentos.assembly.env.python import assemble_requirements
from rules_bento.bentos.assembly.image_steps import ImageDefinition
from rules_bento.bentos.build_options.options import BuildOptions, Python
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.packages.requirement_syntax import (
    LockedRequirements,
    check_requirement,
    join,
    logical_lines,
    package_lines,
)

SETTINGS = BentoSettings("", "3.11")
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass S:\n    @bentoml.api\n    def f(self, x: str) -> str:\n        return x\n"
NOT_LINE_ENDS = ["\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
URL = "https://i.example/simple"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "service.py").write_text(SERVICE)
    return tmp_path


def without_lock(built) -> list[str]:
    """Return the notes without the one on the missing lock."""
    return [note for note in built.notes if not note.startswith("The packages aren't locked")]


def written(project: Path, python: dict[str, object] | None = None, **files: str) -> str:
    """Return the requirements of a built Bento. `files` are requirements files by the first part of their names."""
    for name, text in files.items():
        (project / f"{name}.txt").write_text(text, newline="")
    options = ({"requirements_txt": "requirements.txt"} if files else {}) | (python or {})
    return build("service:S", python=options, build_ctx=project).bento.files["env/python/requirements.txt"].decode()


# bentoml itself


@pytest.mark.parametrize(
    "text", ["bentoml>=1.4", "bentoml", "BentoML >= 1.0, < 2", "bentoml!=1.4.38", "bentoml==1.4.*"]
)
def test_a_range_gets_no_pin(project, text):
    """Installers and locks choose the version, as with BentoML."""
    assert written(project, {"packages": [text]}).splitlines() == [text]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("bentoml", "1.4.39"),
        ("bentoml>=1.4", "1.4.39"),
        ("bentoml>=1.4.40", "1.4.40"),
        ("bentoml!=1.4.39", "1.4.39"),
        ("bentoml==1.3.*", "1.4.39"),
        ("BentoML[io] (>=1.5)", "1.5"),
    ],
)
def test_a_range_decides_the_version_even_without_the_default(project, text, version):
    made = assemble_requirements(package_lines([text], "p"), SETTINGS, "p")
    assert (made.text, made.bentoml_version) == (f"{text}\n", version)
    assert written(project, requirements=f"six\n{text}\n").splitlines() == ["six", text]
    extra = ExtraOptions(bentoml_version=version)
    if Version(version) in Requirement(text).specifier:
        made = build("service:S", python={"packages": [text]}, build_ctx=project, extra=extra).bento
        assert made.files["env/python/requirements.txt"].decode().splitlines() == [text, f"bentoml=={version}"]
    else:
        with pytest.raises(BentoError, match=f"excludes BentoML {version}, which the Bento requires"):
            build("service:S", python={"packages": [text]}, build_ctx=project, extra=extra)
    made = assemble_requirements(package_lines([text], "p"), replace(SETTINGS, features=("grpc",)), "p")
    assert Requirement(made.text.strip()).extras >= {"grpc"}
    assert Requirement(made.text.strip()).specifier == Requirement(text).specifier


@pytest.mark.parametrize(
    ("lines", "version"),
    [
        (["bentoml==1.4.38"], "1.4.38"),
        (["bentoml===1.4.38"], "1.4.38"),
        (["bentoml[io] == 1.4.38 , <2"], "1.4.38"),
        (["bentoml>=1.4", "bentoml==1.4.38 ; 'linux' in sys_platform"], "1.4.38"),
        (["bentoml @ https://h.example/bentoml-1.4.30-py3-none-any.whl"], "1.4.39"),
        (["https://h.example/bentoml-1.4.30-py3-none-any.whl"], "1.4.39"),
        (["./wheels/bentoml-1.4.30.tar.gz"], "1.4.39"),
        (["git+https://h.example/x#egg=bentoml"], "1.4.39"),
        (["git+https://h.example/BentoML.git@v1.4.30"], "1.4.39"),
    ],
)
def test_no_second_requirement_for_bentoml_is_added(lines, version):
    made = assemble_requirements(package_lines(lines, "p"), SETTINGS, "p")
    assert (made.text.splitlines(), made.bentoml_version) == (lines, version)


def test_two_requirements_for_bentoml_that_exclude_each_other():
    with pytest.raises(BentoError, match=r"^p: 'bentoml>=1\.4\.39' excludes BentoML 1\.4\.38"):
        assemble_requirements(package_lines(["bentoml==1.4.38", "bentoml>=1.4.39"], "p"), SETTINGS, "p")


def test_features_keep_the_rest_of_the_line():
    lines = package_lines(["BentoML [io]==1.4.38 ; python_version>'3'  # why"], "p")
    made = assemble_requirements(lines, replace(SETTINGS, features=("grpc",)), "p")
    assert made.text == "bentoml[grpc,io]==1.4.38 ; python_version>'3'  # why\n"


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("1.4.8", True), ("1.4.8.post1", True), ("1.4.8rc1", False), ("1.4.10", True), ("1.4.7", False)],
)
def test_versions_are_compared_as_pep_440_says(version, accepted):
    message = f"requires BentoML 1.4.8 or later, but the lock contains BentoML {version}"
    with nullcontext() if accepted else pytest.raises(BentoError, match=message):
        _check_versions({"bentoml": version}, "1.4.8")


@pytest.mark.parametrize("setuptools", ["82", "82.0.0rc1", "100.1"])
def test_setuptools_without_pkg_resources(setuptools):
    with pytest.raises(BentoError, match="pkg_resources"):
        _check_versions({"bentoml": "1.4.8", "fs": "2", "setuptools": setuptools}, "1.4.8")


# Lines


@pytest.mark.parametrize("character", NOT_LINE_ENDS)
def test_a_comment_stays_a_comment(project, character):
    comments = f"# a{character}--index-url http://x.example/simple\nsix  # b{character}numpy\n"
    lines = written(project, requirements=comments).splitlines()
    assert lines == ["# a --index-url http://x.example/simple", "six  # b numpy", "bentoml==1.4.39"]
    for text in (f"six{character}numpy\n", f"--index-url http://x.example/{character}a\n"):
        with pytest.raises(BentoError, match=r"^requirements\.txt:1: "):
            written(project, requirements=text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems(project, end):
    text = end.join(["six", "# why", "attrs \\", "  >=20", "???"])
    with pytest.raises(BentoError, match=r"^requirements\.txt:5: invalid requirement '\?\?\?'"):
        written(project, requirements=text)
    assert written(project, requirements=text[:-3]) == "six\n# why\nattrs >=20\nbentoml==1.4.39\n"


@pytest.mark.parametrize("text", ["six \\", "six \\\n", "six\n\\", "six \\\n# why"])
def test_a_backslash_at_the_end_joins_nothing(project, text):
    made = [line.text for line in logical_lines(written(project, requirements=text)) if line.text]
    assert made == ["six", "bentoml==1.4.39"]
    made = [
        line.text
        for line in logical_lines(
            written(project, requirements="-r more.txt\n-r other.txt\n", more=text, other="attrs")
        )
    ]
    assert [text for text in made if text] == ["six", "attrs", "bentoml==1.4.39"]


def test_lines_are_those_of_pip():
    draw = random.Random(4)
    pieces = [
        *("six", " ", "#", " # c", "\\ \n", "\n", "\r\n", "\t", "-r x", "a==1", ";x", "\\\n", "\n\n"),
        "--hash=sha256:0",
    ]
    for _ in range(20000):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 12)))
        text += "\nend\n"
        if "\\\\" in text or any(re.search(r"\S.*#.*\\$", line) for line in text.splitlines()):
            continue  # two backslashes, and a comment with a backslash at its end, which pip and uv read differently
        ours = [(line.number, "".join(line.text.split())) for line in logical_lines(text) if line.text]
        pips = [
            (line.line_number, "".join(line.line.split()))
            for line in preprocess(text)
            if type(line).__name__ == "TextLine"
        ]
        assert [words for _, words in ours] == [words for _, words in pips if words], text
        assert "".join(f"{line.written}\n" for line in logical_lines(text)).count("\n") == text.replace(
            "\r\n", "\n"
        ).count("\n")
        assert [line.text.split() for line in logical_lines(join(logical_lines(text))) if line.text] == [
            line.text.split() for line in logical_lines(text) if line.text
        ]


def test_requirements_are_those_of_packaging():
    draw = random.Random(508)
    pieces = ["numpy", "a.b", "[x]", "[x,y]", ">=1", "==1.*", "~=1.0", " ", ",", "(", ")", ";", "python_version", "'3'", '"a"', "<", " in ", " and ",
              " or ", "os_name", "==", "@", "https://h/x.zip", "!=2", "1", "extra", "not in"]  # fmt: skip
    accepted = 0
    for _ in range(20000):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 8))).strip()
        try:
            if Requirement(text).url:
                continue  # uv rejects more URLs
        except ValueError:
            if "/" not in text:
                with pytest.raises(BentoError):
                    check_requirement(text, "here")
            continue
        check_requirement(text, "here")
        accepted += 1
    assert accepted > 500


@pytest.mark.parametrize(
    "marker",
    ["'linux' in sys_platform", "(python_version<'3')", "('3'>python_version)", "python_version<'3'", '"a"==os_name'],
)
@pytest.mark.parametrize("before", ["bar", "bar>=1", "bar[x]", "bar>=1 "])
def test_a_requirement_with_a_marker_is_conditional(before, marker):
    settings = replace(SETTINGS, lock=LockedRequirements("bentoml\n", (("bentoml==1.4.39", ("0",)),)))
    for blank in ("", " ", "  "):
        made = assemble_requirements(package_lines([f"{before};{blank}{marker}"], "p"), settings, "p")
        assert made.text == "bentoml==1.4.39\n"
    with pytest.raises(BentoError, match="doesn't contain these packages: bar"):
        assemble_requirements(package_lines([f"{before}  # ; {marker}"], "p"), settings, "p")


def test_other_files_end_lines_where_their_formats_do():
    for character in ("\f", "\x85", "\u2028"):
        assert parse_dotenv(f'A="x{character}y"\nB=2\n', "e") == {"A": f"x{character}y", "B": "2"}


# Indexes


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"index_url": URL}, f"--index-url {URL}\n--extra-index-url https://t.example\nsix\n", [f"--index-url {URL}", "--extra-index-url https://t.example", "six"]),
        ({"index_url": URL}, f"-i {URL}/  # why\nsix\n", [f"--index-url {URL}", "six"]),
        ({}, f"--index-url={URL}\nsix\n-i {URL}\n", [f"--index-url={URL}", "six"]),
        ({"pip_args": f"--index-url {URL}"}, f"-i {URL} --no-index\nsix\n", [f"--index-url {URL}", "--no-index", "six"]),
        ({}, f"-r more.txt\n--index-url {URL}\n", ["six", f"--index-url {URL}"]),
    ],
)  # fmt: skip
def test_an_index_is_written_once(project, options, text, expected):
    assert written(
        project, options, requirements=text, more=f"-i {URL}\nsix\n" if "more" not in text else "six\n"
    ).splitlines() == [*expected, "bentoml==1.4.39"]


@pytest.mark.parametrize(
    ("options", "text", "place"),
    [
        ({"index_url": URL}, "six\n--index-url https://u:s3cret@o.example/simple\n", r"requirements\.txt:2: the index https://o\.example/simple differs from https://i\.example/simple \(python\.index_url\)"),
        ({}, f"-i {URL}\n-r more.txt\n", r"more\.txt:1: the index https://o\.example differs .*\(requirements\.txt:1\)"),
        ({"index_url": URL, "pip_args": "-i https://o.example"}, "six\n", r"python\.pip_args: the index"),
        ({"index_url": URL, "wheels": ["a-1-py3-none-any.whl"]}, "-i https://o.example\n", r"requirements\.txt:1: the index"),
    ],
)  # fmt: skip
def test_two_indexes_are_an_error(project, options, text, place):
    (project / "a-1-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(BentoError, match=f"^{place}"):
        written(project, options, requirements=text, more="-i https://o.example\n")


# Files outside of the Bento


@pytest.mark.parametrize(
    "text",
    ["certifi @ file:///croot/certifi_1690232220950/work/certifi", "../shared/dist/toy-1.0-py3-none-any.whl", "/home/me/x.whl", "~/x/y.whl",
     "file:///home/me/x.whl", "FILE:///x/y.whl", "file:x/y.whl", "./wheels/../../x.whl", "x @ ../y.whl", "x @ /y.whl", "x@file:///y.whl ; os_name=='a'",
     "git+file:///srv/x.git", "x @ git+file:///srv/x.git@v1", "C:/x/y.whl", "x[a] @ file:///y"],
)  # fmt: skip
def test_a_file_outside_of_the_bento_is_an_error(project, text):
    with pytest.raises(BentoError, match=r"^requirements\.txt:2: can't install .* isn't in the image when"):
        written(project, requirements=f"six\n{text}\n")
    with pytest.raises(BentoError, match=r"^python\.packages: can't install"):
        written(project, {"packages": [text]})


@pytest.mark.parametrize("option", ["-f ../wheels", "--find-links=./../x", "--find-links ~/wheels"])
def test_an_option_for_a_directory_outside_of_the_bento(project, option):
    with pytest.raises(BentoError, match=r"^requirements\.txt:1: can't install '.*', because .* isn't in the image"):
        written(project, requirements=f"{option}\nsix\n")
    assert "-f /opt/wheels\n" in written(project, requirements="-f /opt/wheels\nsix\n")  # of the base image


# Constraints and includes


@pytest.mark.parametrize("flag", ["-c ", "-c", "--constraint=", "--constraint "])
def test_a_constraint_is_not_a_requirement(project, flag):
    files = {"requirements": f"{flag}constraints.txt\nrequests\n", "constraints": "# why\ntorch==2.3.1\n"}
    with pytest.raises(
        BentoError,
        match=r"^constraints\.txt:2: a Bento can't contain the constraint 'torch==2\.3\.1'\. Run `uv pip compile`",
    ):
        written(project, **files)
    contents = ProjectFiles({f"{name}.txt": text.encode() for name, text in files.items()})
    options = BuildOptions(python=Python(requirements_txt="requirements.txt"))
    [declared] = declared_packages(options, ImageDefinition(), contents)  # a lock satisfies it
    assert (declared.requirements, declared.constraints) == (["requests"], ["torch==2.3.1"])


def test_text_without_files_includes_none(project):
    for line in ("-r more.txt", "-c more.txt", "-e ."):
        with pytest.raises(BentoError, match=r"^requirements:1: "):
            build_bentofile(build_ctx=project, service="service:S", extra=ExtraOptions(requirements=f"{line}\n"))


# A file that isn't used


def test_a_requirements_file_that_no_option_names_is_noted(project):
    """The line of the note has the effect that the note states."""
    (project / "requirements.txt").write_text("scikit-learn\nnumpy>=1\nbentoml\n-e .\n???\npandas ; os_name == 'a'\n")
    [note] = without_lock(build_bentofile(build_ctx=project))
    assert note == (
        "requirements.txt: no option refers to this file, so the Bento doesn't require numpy, pandas, scikit-learn. To "
        "require the packages, add `requirements_txt: requirements.txt` to `python` in bentofile.yaml."
    )
    (project / "requirements.txt").write_text("scikit-learn\nnumpy>=1\n")
    (project / "bentofile.yaml").write_text("python:\n  requirements_txt: requirements.txt\n")
    made = build_bentofile(build_ctx=project)
    assert without_lock(made) == []
    assert "scikit-learn\nnumpy>=1\n" in made.bento.files["env/python/requirements.txt"].decode()


@pytest.mark.parametrize(
    ("packages", "missing"),
    [(["Scikit_Learn", "numpy"], ""), (["numpy"], "scikit-learn"), (["numpy", "sklearn"], "scikit-learn")],
)
def test_packages_of_the_bentofile_need_no_requirements_file(project, packages, missing):
    (project / "requirements.txt").write_text("scikit-learn\nnumpy>=1\n")
    (project / "bentofile.yaml").write_text(f"python:\n  packages: {packages}\n")
    notes = without_lock(build_bentofile(build_ctx=project))
    assert [
        f"doesn't require {missing}. To require the packages, add them to python.packages." in note for note in notes
    ] == [True] * bool(missing)


# Packages of the project itself

WORKSPACE = """\
[project]
name = "define"
version = "0.1.0"
dependencies = ["six", "Shared_Lib>=0.1"]

[tool.uv.sources]
shared-lib = { workspace = true }
"""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{ workspace = true }", "the uv workspace"),
        ('{ path = "../shared", editable = true }', r"path '\.\./shared'"),
        ("[{ path = 'x.whl', marker = 'os_name == \"a\"' }, { index = 'i' }]", "path 'x.whl'"),
        ('{ git = "https://h.example/x" }', "git 'https://h.example/x'"),
        ('{ git = "https://joe:password@h.example/x" }', "git 'https://h.example/x'"),
    ],
)
def test_a_local_package_is_not_asked_of_an_index(project, source, text):
    (project / "pyproject.toml").write_text(WORKSPACE.replace("{ workspace = true }", source))
    with pytest.raises(BentoError, match=rf"^.*pyproject\.toml: project\.dependencies: 'shared-lib' comes from {text}"):
        build_bentofile(build_ctx=project)
    (project / "service.py").write_text(
        SERVICE.replace("@bentoml.service", "@bentoml.service(image=bentoml.images.Image().pyproject_toml())")
    )
    with pytest.raises(BentoError, match="'shared-lib' comes from"):
        build("service:S", build_ctx=project)


def test_a_wheel_of_a_local_package_is_enough(project):
    (project / "pyproject.toml").write_text(WORKSPACE)
    (project / "shared_lib-0.1-py3-none-any.whl").write_bytes(b"")
    more = {"python": {"wheels": ["shared_lib-0.1-py3-none-any.whl"]}}
    made = build_bentofile(build_ctx=project, **more).bento.files["env/python/requirements.txt"]
    assert made == b"six\nbentoml==1.4.39\n"


@pytest.mark.parametrize(
    ("path", "is_provided"),
    [
        ("shared_lib/__init__.py", True),
        ("shared/lib/__init__.py", True),
        ("shared_lib.py", True),
        ("shared_lib/other.py", False),
        ("x/shared_lib.py", False),
    ],
)
def test_a_library_of_the_target_provides_a_local_package(tmp_path, path, is_provided):
    (tmp_path / "service.py").write_text(SERVICE)
    (tmp_path / "pyproject.toml").write_text(WORKSPACE)
    (tmp_path / "lib.py").write_text("x = 1\n")
    out = {name: str(tmp_path / f"out.{name}") for name in ("manifest", "part", "unused", "service-info")}
    bentofile = ["--bentofile", str(tmp_path / "pyproject.toml"), "svc/pyproject.toml"]
    words = ["--target", "//svc:b", "--build-ctx", "svc", *bentofile, "--service", "service:S", "--output-packages"]
    words += [word for key, value in out.items() for word in (f"--{key}", value)]
    words += ["--source", str(tmp_path / "service.py"), "svc/service.py", "//svc:service.py"]
    words += ["--dependency", str(tmp_path / "lib.py"), f"libs/shared/src/{path}", "//libs/shared"]
    snapshot(decode(snapshot, [*words, "--import-root", "_main/libs/shared/src"]))
    info = json.loads(Path(out["service-info"]).read_text())
    assert info.get("own_packages", []) == ["shared-lib"] * is_provided
    assert info["packages"][0]["requirements"] == (["six"] if is_provided else ["six", "Shared_Lib>=0.1"])

    words = ["--target", "//svc:b", "--creation-time", "1980-01-01T00:00:00+00:00", "--bentoml-version", "1.4.39"]
    words += [
        *("--python-version", "3.11", "--sources", out["manifest"], "--service-info", out["service-info"], *bentofile),
        *(
            word
            for output in ("bento-yaml", "digest", "imports", "manifest", "part", "tag")
            for word in (f"--{output}", "")
        ),
    ]
    locked = LockedRequirements("six\n", (("bentoml==1.4.39", ("0",)), ("six==1.0", ("0",))))
    (tmp_path / "locked").write_text(locked.dumps())
    for more, message in (
        ([], "'shared-lib' comes from"),
        (["--locked", str(tmp_path / "locked")], "doesn't contain these packages: shared-lib. .* to deps"),
    ):
        with nullcontext() if is_provided else pytest.raises(BentoError, match=message):
            files = make_bento(decode(package, [*words, *more]), info).files
            assert "hared" not in files["env/python/requirements.txt"].decode()
