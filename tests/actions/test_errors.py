"""What cannot be built from is refused by name: target, attribute and remedy; no traceback, no output, status 1."""

import json
import struct

import pytest

from tests.actions.helper import LABEL, SERVICE, label_of, refused


def with_service(actions, **files):
    """The paths of a service and of more files, by content."""
    actions.write("svc/service.py", SERVICE)
    return ["svc/service.py", *(actions.write(path, content) for path, content in files.items())]


# Machine code

ARM_LIBRARY = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 3, 183)
X86_LIBRARY = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 3, 62)
X86_PROGRAM_OF_32 = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HH", 2, 3)
MAC_LIBRARY = struct.pack("<IIII", 0xFEEDFACF, 0, 0, 6) + bytes(16)
OBJECT = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 1, 183)
ARCHIVE = b"!<arch>\nx.o/            " + OBJECT


def packaged(actions, files, platform="linux_amd64", *unchecked):
    """What becomes of a Bento for a platform that has these files."""
    paths = with_service(actions, **{f"svc/{path}": content for path, content in files.items()})
    words = [word for name in unchecked for word in ("--ignore-library", name)]
    return actions.package("--platform", platform, *words, srcs=paths)


@pytest.mark.parametrize(
    ("path", "content", "machine"),
    [
        ("fast.cpython-313-x86_64-linux-gnu.so", ARM_LIBRARY, "arm64"),
        ("lib/libacme.so.1", MAC_LIBRARY, "macOS"),
        ("tool", ARM_LIBRARY + bytes(5 << 20), "arm64"),
    ],
)
def test_machine_code_for_another_platform(actions, path, content, machine):
    outcome = packaged(actions, {path: content})
    assert (outcome.code, outcome.outputs) == (1, {})
    name = path.rpartition("/")[2]
    assert f"machine code that linux_amd64 can't run:\n  src/{path}: is for {machine}\n" in outcome.errors
    assert outcome.errors.startswith(f"{LABEL}: ")
    assert outcome.errors.endswith(f'ignore_libraries = ["{name}"]\n')
    assert packaged(actions, {path: content}, "linux_amd64", name).code == 0


@pytest.mark.parametrize(
    ("files", "platform"),
    [
        ({"fast.so": X86_LIBRARY, "old": X86_PROGRAM_OF_32}, "linux_amd64"),
        ({"fast.so": ARM_LIBRARY}, "linux_arm64"),
        ({"fast.so": MAC_LIBRARY}, "darwin_arm64"),
        ({"aarch64/fast.so": ARM_LIBRARY, "x86_64/fast.so": X86_LIBRARY}, "linux_amd64"),
        ({"libfast.dylib": MAC_LIBRARY, "libfast.so": X86_LIBRARY}, "linux_amd64"),
        ({"fast.o": OBJECT, "fast.a": ARCHIVE, "fast.so": "a text of that name"}, "linux_amd64"),
        ({"fast.so": ARM_LIBRARY}, ""),
    ],
)
def test_machine_code_that_is_well(actions, files, platform):
    assert packaged(actions, files, platform).code == 0


def test_a_name_to_let_be_that_no_machine_code_has(actions):
    outcome = packaged(actions, {"fast.so": X86_LIBRARY}, "linux_amd64", "gone.so")
    refused(
        outcome,
        LABEL,
        "ignore_libraries contains gone.so, but the Bento contains no machine code with this name. Remove the name.",
    )


# The service


def test_a_module_that_is_missing(actions):
    outcome = actions.snapshot(service="servce:Service")
    refused(
        outcome,
        LABEL,
        "service: the sources don't contain servce.py, which `servce:Service` requires",
        "Near matches: `service.py`",
        "Add the file to the sources",
    )


@pytest.mark.parametrize(
    "service",
    [
        "", ":Service", "service:", "service:My Service", "my service:Service", "pkg/service:Service",
        "/service.py:Service", "../service.py:Service",
    ],
)  # fmt: skip
def test_a_service_with_a_syntax_error_is_reported_by_line(actions, service):
    words = (f"service: invalid value `{service}`", "Use `module:Class`, `file.py:Class`")
    refused(actions.snapshot(service=service), LABEL, *words)


def test_an_attribute_that_is_missing(actions):
    outcome = actions.snapshot(service="service:Servce")
    refused(outcome, LABEL, "no attribute `Servce`", "got `service:Servce`", "Did you mean `Service`?")
    outcome = actions.snapshot(service="service:Other")
    refused(outcome, LABEL, "no attribute `Other`", "Specify a class")


def test_a_service_that_a_pattern_drops(actions):
    """Even where nothing else is there that could be kept."""
    outcome = actions.snapshot(more=["--exclude", "*.pyc", "--exclude", "serv*"])
    refused(
        outcome,
        LABEL,
        "service 'service:Service' requires service.py",
        "pattern 2 of exclude ('serv*') excludes the file",
        "Change",
    )
    outcome = actions.snapshot(srcs=with_service(actions, **{"svc/a.txt": b""}), more=["--include", "*.txt"])
    refused(outcome, LABEL, "service 'service:Service' requires", "no pattern of include matches the file", "Change")
    srcs = with_service(actions, **{"svc/.bentoignore": "# mine\n*.py\n"})
    outcome = actions.snapshot(srcs=srcs)
    refused(
        outcome,
        LABEL,
        "service 'service:Service' requires",
        "line 2 of .bentoignore ('*.py') excludes the file",
        "Change",
    )


def test_patterns_that_keep_nothing(actions):
    outcome = actions.snapshot(srcs=[actions.write("svc/a.txt")], more=["--exclude", "*"])
    refused(outcome, LABEL, "include, exclude: the patterns select no file in srcs, data, or deps", "Change")


def test_errors_follow_the_patterns_that_match_nothing(actions):
    outcome = actions.snapshot(more=["--include", "./*.py", "--exclude", "./key.pem"])
    assert (outcome.code, outcome.outputs) == (1, {})
    assert outcome.errors.splitlines()[:2] == [
        f"{LABEL}: include[0]: './*.py' matches no file in srcs, data, or deps. Did you mean '*.py'?",
        f"{LABEL}: exclude: no file in srcs, data, or deps matches './key.pem'.",
    ]


# Files


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "../../secrets", "../svc/../../secrets"])
@pytest.mark.parametrize("directory", ["svc", "bazel-out/k8-fastbuild/bin/svc", "bazel-out/k8-fastbuild/bin/svc/tree"])
def test_a_link_that_escapes(actions, target, directory):
    """As a source, as an output of `declare_symlink`, or in a tree artifact."""
    path = f"{directory}/data.csv"
    depth = directory.count("/")
    target = target if target.startswith("/") else "../" * depth + target
    actions.write(path)
    actions.link(path, target)
    short_path = path.removeprefix("bazel-out/k8-fastbuild/bin/")
    outcome = actions.snapshot(srcs=[*with_service(actions), (path, short_path)])
    name = f"{short_path.removeprefix('svc/')} (from srcs {label_of(short_path)})"
    refused(outcome, LABEL, f"{name} is a link to {target!r}", "Replace the link with a copy")
    outcome = actions.model(srcs=[(path, short_path)])
    refused(outcome, "//svc:model", f"{name} is a link to {target!r}", "Replace the link with a copy")


@pytest.fixture
def forest(actions):
    """Workspace and execution root as Bazel has them: what lies at the top of one are links in the other."""
    workspace, execution_root = actions.root / "workspace", actions.root / "output_base/execroot/_main"
    (workspace / "svc").mkdir(parents=True)
    execution_root.mkdir(parents=True)
    for name in ("svc", "top.csv"):
        (execution_root / name).symlink_to(workspace / name)
    with_service(actions)
    for name in ("svc/near.csv", "top.csv"):
        actions.link(name, str(execution_root / name))
    return workspace


def test_links_in_a_row_that_escape_at_their_end(actions, forest):
    (forest / "svc/near.csv").symlink_to("far.csv")
    (forest / "svc/far.csv").symlink_to("../../elsewhere.csv")
    outcome = actions.snapshot(srcs=["svc/service.py", "svc/near.csv"])
    words = ("near.csv (from srcs //svc:near.csv) is a link to '../../elsewhere.csv'", "outside the workspace")
    refused(outcome, LABEL, *words)


def test_a_link_that_escapes_from_the_top(actions, forest):
    """Even to a file of the same name."""
    (forest / "top.csv").symlink_to("/elsewhere/top.csv")
    outcome = actions.snapshot(
        srcs=["svc/service.py", "top.csv"], service="svc.service:Service", more=["--build-ctx", ""]
    )
    refused(
        outcome,
        LABEL,
        "top.csv (from srcs //:top.csv) is a link to '/elsewhere/top.csv'",
        "Replace the link with a copy",
    )


def test_links_that_stay_inside_are_followed(actions, forest):
    (forest / "svc/near.csv").symlink_to("../top.csv")
    (forest / "top.csv").write_text("1,2\n")
    srcs = ["svc/service.py", "svc/near.csv", "top.csv"]
    outcome = actions.snapshot(srcs=srcs, service="svc.service:Service", more=["--build-ctx", ""])
    assert (outcome.code, outcome.errors) == (0, "")
    found = {entry["path"]: (entry["size"], entry.get("link")) for entry in json.loads(outcome.outputs["--manifest"])}
    assert found["svc/near.csv"] == found["top.csv"] == (4, None)


def test_links_of_other_repositories_are_theirs(actions):
    """Repository rules make them, and Bazel has digested what is behind them."""
    path = "external/data+/pkg/data.csv"
    actions.write(path)
    actions.write("elsewhere.csv", "1,2\n")
    actions.link(path, str(actions.root / "elsewhere.csv"))
    arguments = ["--dependency", path, "../data+/pkg/data.csv", "@@data+//pkg:data.csv"]
    outcome = actions.snapshot(more=arguments)
    assert (outcome.code, outcome.errors) == (0, "")
    assert b'"data+/pkg/data.csv"' in outcome.outputs["--manifest"]


def test_the_first_import_root_provides_a_module(actions):
    more = ["--import-root", "_main/lib/one", "--import-root", "_main/lib/two"]
    for name in ("one", "two"):
        for file in ("words.py", "README.md"):
            actions.write(f"lib/{name}/{file}", f"NAME = '{name if file == 'words.py' else ''}'\n")
            more += ["--dependency", f"lib/{name}/{file}", f"lib/{name}/{file}", f"//lib/{name}"]
    outcome = actions.snapshot(more=more)
    assert (outcome.code, outcome.errors) == (0, "")
    assert b'"path":"service/__init__.py"' in outcome.outputs["--manifest"]  # the loader
    # The description is the README of the build context, not of a library.
    assert b'"path":"README.md"' not in outcome.outputs["--manifest"]
    assert json.loads(outcome.outputs["--service-info"])["readme"] is None


def test_a_link_of_a_symlink_action_to_an_input_is_an_input(actions, tmp_path_factory):
    """Bazel names a source by its path in the workspace, and the execution root has a link to the workspace."""
    tmp_path = tmp_path_factory.mktemp("workspace")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/raw.py").write_text("X = 1\n")
    root = tmp_path / "execroot/_main"
    (root / "bazel-out/k8/bin/lib").mkdir(parents=True)
    (root / "lib").symlink_to(tmp_path / "lib")
    (root / "bazel-out/k8/bin/lib/moved.py").symlink_to(tmp_path / "lib/raw.py")
    (root / "bazel-out/k8/bin/lib/foreign.py").symlink_to("/etc/hostname")
    for name, code in (("moved", 0), ("foreign", 1)):
        path = f"bazel-out/k8/bin/lib/{name}.py"
        (actions.root / path).parent.mkdir(parents=True, exist_ok=True)
        (actions.root / path).symlink_to(root / path)
        outcome = actions.snapshot(more=["--dependency", path, f"lib/{name}.py", "//lib"])
        assert outcome.code == code, outcome.errors
    assert "lib/foreign.py (from deps //lib) is a link to '/etc/hostname', which is absolute" in outcome.errors


def test_a_library_with_the_name_of_a_package_that_bentoml_loads(actions):
    """A test imports the library, and the server the package. Without an import, the library does no harm."""
    actions.write("lib/httpx/__init__.py", "")
    more = ["--import-root", "_main/lib", "--skip-service"]
    more += ["--dependency", "lib/httpx/__init__.py", "lib/httpx/__init__.py", "//lib"]
    outcome = actions.snapshot(more=more)
    assert (outcome.code, outcome.errors) == (0, "")
    actions.write("lib/use.py", "import httpx\n")
    outcome = actions.snapshot(more=[*more, "--dependency", "lib/use.py", "lib/use.py", "//lib"])
    assert outcome.code == 1
    assert "use.py imports httpx, but BentoML loads another module with this name before lib/httpx" in outcome.errors


def test_a_source_directory_of_a_library(actions):
    actions.write("lib/templates/a/x.html", "x")
    outcome = actions.snapshot(more=["--dependency", "lib/templates", "lib/templates", "//lib:templates"])
    assert (outcome.code, outcome.errors) == (0, "")
    assert b'"path":"lib/templates/a/x.html"' in outcome.outputs["--manifest"]


def test_a_link_that_a_pattern_drops_does_no_harm(actions):
    actions.write("svc/data.csv")
    actions.link("svc/data.csv", "/etc/passwd")
    outcome = actions.snapshot(srcs=[*with_service(actions), "svc/data.csv"], more=["--exclude", "*.csv"])
    assert (outcome.code, outcome.errors) == (0, "")


def test_strings_that_are_not_utf8(actions):
    outcome = actions.snapshot(srcs=with_service(actions, **{"svc/.bentoignore": b"caf\xe9\n"}))
    refused(outcome, LABEL, ".bentoignore (from srcs //svc:.bentoignore) is", "Save the file as UTF-8, or remove")


# What the target says of the Bento


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"version": "V 1"}, ["version: the version is invalid: 'V 1'", "lowercase letters", "Example: 'v-1'"]),
        ({"version": "a" * 64}, ["version: the version is", "at most 63", "Example: "]),
        ({"version": "latest"}, ["version: the version is 'latest'", "Specify another version, or omit the version"]),
        ({"options": {"name": "Iris"}}, ["bento_name: the name is invalid: 'Iris'", "Example: 'iris'"]),
        ({"labels": [[" ", "x"]]}, ["labels: a key is empty", "Specify a key"]),
        ({"bento_env": ["1X=2"]}, ["bento_env: expected NAME=value", "got a variable without a name"]),
        ({"bento_env": ["X=2;stage=never"]}, ["bento_env: expected NAME=value", "got 'X'"]),
    ],
)
def test_malformed_attributes(actions, attributes, words):
    refused(actions.package(**attributes), LABEL, *words)


def test_a_requirements_file_that_is_not_utf8(actions):
    path = actions.write("svc/text", b"caf\xe9\n")
    outcome = actions.package("--requirements-file", path)
    refused(outcome, LABEL, "svc/text:1: invalid UTF-8", "Save the file as UTF-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_requirements_file_in_an_encoding_of_uv_is_read(actions, encoding):
    path = actions.write("svc/text", "bentoml==1.4.39\nidna\n".encode(encoding))
    outcome = actions.package("--requirements-file", path)
    assert (outcome.code, outcome.errors) == (0, "")
    assert b"'bentoml==1.4.39\n\n    idna\n" in outcome.outputs["--bento-yaml"]


# Models


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tag", "Weights"], ["tag: the name in 'Weights' is invalid: 'Weights'", "Example: 'weights'"]),
        (["--tag", ""], ["tag: the name in '' is empty", "Example: "]),
        (["--tag", "weights:"], ["tag: the version in 'weights:' is empty", "Example: "]),
        (["--tag", "weights:V1"], ["tag: the version in 'weights:V1' is invalid: 'V1'", "Example: 'v1'"]),
        (["--tag", "a:b:c"], ["tag: the version in 'a:b:c' is invalid: 'b:c'", "Example: 'b-c'"]),
        (["--tag", "weights:latest"], ["tag: the version", "is 'latest'", "Specify another version, or omit the version"]),
        (["--label", '""', '"x"'], ["labels: a key is empty", "Specify a key"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--") else "",
)  # fmt: skip
def test_malformed_attributes_of_models(actions, arguments, words):
    refused(actions.model(*arguments), "//svc:model", *words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("{", [":1: invalid JSON"]),
        ("[]", [": expected a JSON object"]),
        ('{"labels": {}}', ["unknown field 'labels'. Valid fields: api_version, context, hugging_face, metadata, options, origin, sig"]),
        ('{"metadata": 1}', ["metadata: expected a JSON object, got 1"]),
        ('{"api_version": 1}', ["api_version: expected a string, got 1"]),
        ('{"metadata": {"x": null}}', ["metadata.x: BentoML doesn't allow null in metadata"]),
        ('{"signatures": {"predict": {"batchable": true, "batch_dim": 7}}}', ["expected two integers"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_fields_of_a_model(actions, fields, words):
    path = actions.write("bazel-out/fields.json", fields)
    outcome = actions.model("--fields", path, "svc/fields.json")
    refused(outcome, "//svc:model", "svc/fields.json", *words)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("svc/model.yaml", ["srcs: bento_model generates model.yaml", "Exclude the file"]),
        ("svc/__pycache__/a.pyc", ["(from srcs //svc/__pycache__:a.pyc) can't be in a model", "'__pycache__/'", "Remove"]),
        ("other/a", ["srcs contains 'other/a', which is outside", "'svc'"]),
    ],
)  # fmt: skip
def test_invalid_files_of_a_model_are_rejected(actions, path, words):
    refused(actions.model(srcs=[actions.write(path)]), "//svc:model", *words)
