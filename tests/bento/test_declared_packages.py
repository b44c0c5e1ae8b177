"""What a lock is held against: the packages that options and an image ask for."""

import json

import pytest
from rules_bento.base.dataclasses_lite import asdict
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.declared_packages import DeclaredPackages, declared_packages
from rules_bento.bentos.assembly.image_steps import ImageDefinition
from rules_bento.bentos.assembly.named_files import inline_requirements
from rules_bento.bentos.build_options.options import BuildOptions, Python
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.packages.requirement_syntax import join
from rules_bento.bentos.service import ImageCall

FILES = ProjectFiles({"r.txt": b"--index-url https://i.example\n-r more.txt\nidna>=3 # x\n", "more.txt": b"attrs\n"})
IMAGE = ImageDefinition(
    steps=(
        ImageCall("run", ("echo",)),
        ImageCall("python_packages", ("numpy<2",)),
        ImageCall("requirements_file", ("r.txt",)),
    )
)


def test_each_origin_has_its_place():
    options = BuildOptions(python=Python(packages=("six",)), places={"python.packages": "b.yaml:3: python.packages"})
    declared = declared_packages(options, IMAGE, FILES)
    assert declared == [
        DeclaredPackages("image", ["numpy<2", "attrs", "idna>=3"]),
        DeclaredPackages("b.yaml:3: python.packages", ["six"]),
    ]
    assert [DeclaredPackages(**json.loads(json.dumps(asdict(packages)))) for packages in declared] == declared


def test_constraints_stay_constraints():
    files = ProjectFiles({"r.txt": b"-c limits.txt\nidna\n", "limits.txt": b"-r more.txt\n", "more.txt": b"six<2\n"})
    options = BuildOptions(python=Python(requirements_txt="r.txt"))
    image = ImageDefinition(
        steps=(ImageCall("requirements_file", ("r.txt",)), ImageCall("python_packages", ("attrs",)))
    )
    of_image, of_options = declared_packages(options, image, files)
    assert of_image == DeclaredPackages("image", ["idna", "attrs"], ["six<2"])
    assert (of_options.requirements, of_options.constraints) == (["idna"], ["six<2"])
    assert of_options.check_lock({"idna": set()}) == []


def test_nothing_is_requested():
    assert declared_packages(BuildOptions(), ImageDefinition(steps=(ImageCall("run", ("echo",)),)), FILES) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Some.Name[a,b]>=1", ["Some.Name[a,b]>=1"]),
        ("numpy; python_version < '3.12'", ["numpy; python_version < '3.12'"]),
        ("pkg @ https://h.example/pkg-1.tar.gz", ["pkg"]),
        ("pkg @ git+https://h.example/pkg@0123456789012345678901234567890123456789", ["pkg"]),
        ("./wheels/pkg-1-py3-none-any.whl", []),
    ],
)
def test_forms_of_requirements(line, expected):
    [declared] = declared_packages(BuildOptions(python=Python(packages=(line,))), ImageDefinition(), FILES)
    assert declared.requirements == expected


def test_what_the_lock_does_not_have_is_named():
    declared = DeclaredPackages(
        "b.yaml:3: python.packages", ["Some.Name>=1", "flask", "pywin32; sys_platform == 'win32'"]
    )
    assert declared.check_lock({"some-name": set(), "flask": set()}) == []
    with pytest.raises(
        BentoError,
        match=r"^b.yaml:3: python.packages: the target's requirements attribute doesn't contain these packages: flask",
    ):
        declared.check_lock({"some-name": set()})


def test_extras_that_the_lock_does_not_know_are_reported():
    declared = DeclaredPackages("b.yaml:3: python.packages", ["bentoml[io, Grpc_Web]>=1", "idna"])
    notes = declared.check_lock({"bentoml": {"io"}, "idna": set()})
    assert notes == [
        "b.yaml:3: python.packages: bentoml[io, Grpc_Web]>=1: the lock doesn't contain the extra 'grpc-web'. Add the "
        "packages of this extra to the target's requirements."
    ]


def test_a_hash_that_the_lock_does_not_have_is_named():
    ours, other = "0" * 64, "1" * 64
    lines = f"idna==3.10 --hash=sha256:{ours} \\\n  --hash=sha256:{other}\nattrs\n"
    options = BuildOptions(python=Python(requirements_txt="r.txt"), places={"python.requirements_txt": "b.yaml:3: r"})
    [declared] = declared_packages(options, ImageDefinition(), ProjectFiles({"r.txt": lines.encode()}))
    assert declared.requirements == ["idna==3.10", "attrs"]
    declared.check_hashes({"idna": {"idna-3.10-py3-none-any.whl": ours}, "attrs": {"attrs-1.tar.gz": "2" * 64}})
    with pytest.raises(
        BentoError, match=r"idna==3\.10: the locked hash of idna-3\.10\.tar\.gz, sha256:2{64}, isn't one"
    ):
        declared.check_hashes({"idna": {"idna-3.10-py3-none-any.whl": ours, "idna-3.10.tar.gz": "2" * 64}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"six\n???\n", r"^r\.txt:2: invalid requirement '\?\?\?' \(PEP 508\)"),
        (b"\xef\xbb\xbfsix\r\n# why\r\nnumpy>>1\r\n", r"^r\.txt:3: invalid requirement 'numpy>>1'"),
        (b"six \\\n  >=1 \\\n  >>2\nattrs\n", r"^r\.txt:1: invalid requirement 'six +>=1 +>>2'"),
        (b"six\n-e .\n", r"^r\.txt:2: can't install '-e \.', .* List the project's dependencies instead\."),
        (b"-r more.txt\n", r"^more\.txt:1: invalid requirement 'a b'"),
        (b"-c more.txt\n", r"^more\.txt:1: invalid requirement 'a b'"),
    ],
)
def test_a_line_that_no_installer_takes_is_named(content, message):
    files = ProjectFiles({"r.txt": content, "more.txt": b"a b\n"})
    with pytest.raises(BentoError, match=message):
        inline_requirements("r.txt", files, "here")


def test_lines_that_installers_take_are_kept():
    content = (
        "--index-url https://i.example\n--pre\nsix ; python_version < '3.9'  # why\n./wheels/a-1-py3-none-any.whl\n"
    )
    content += (
        f"git+https://h.example/r@v1\nidna==3.10 --hash=sha256:{'0' * 64}\nattrs @ https://h.example/attrs-1.zip\n"
    )
    assert join(inline_requirements("r.txt", ProjectFiles({"r.txt": content.encode()}), "here")) == content
