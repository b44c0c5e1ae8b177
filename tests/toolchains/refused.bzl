"""Tests errors of repository rules and module extensions with simulated contexts, without downloads."""

load("//private:wheel_groups.bzl", "group_wheels")
load("//private/repositories:apt.bzl", "declare_debs", "refresh_clause")
load("//private/repositories:fetch.bzl", "fetch_first", "fetch_with_uv", "host_platform", "run_helper")
load("//private/repositories:model.bzl", "http_model_impl", "hugging_face_model_impl", "model_archive_impl", "oci_model_impl")
load("//private/repositories:python_debs.bzl", "declare_python_debs")
load("//rules:providers.bzl", "BentoDebInfo")
load("//tests/analysis:descriptions.bzl", "refusals_test")

_WHEEL = "uv-1.0-py3-none-manylinux_2_17_x86_64.whl"

def _fail_with(text):
    """Fails with the error of a BUILD file whose target fails."""
    fail(json.decode(text.partition("problem = ")[2].partition(",\n")[0]))

def _context(attributes = {}, files = "", stderr = "", has_files = False):
    """The context of a repository in which every program fails, every file reads the same and no address answers."""
    return struct(
        attr = struct(**attributes),
        download = lambda **_named: struct(success = False),
        execute = lambda *_words, **_named: struct(return_code = 1, stderr = stderr, stdout = ""),
        file = lambda _name, text: _fail_with(text),
        getenv = lambda _name, default = None: default,
        os = struct(arch = "amd64", environ = {}, name = "windows 11"),
        path = lambda _place: struct(exists = has_files),
        read = lambda _place, **_named: files,
        report_progress = lambda _text: None,
        watch = lambda _path: None,
    )

def _repository(implementation, kind, **attributes):
    return lambda: implementation(_context(attributes | {"kind": kind, "model": "clf"}))

def _archive(url, sha256 = ""):
    return _repository(model_archive_impl, "model_archive", url = url, sha256 = sha256)

def _files(files, url = "https://models.example.com"):
    return _repository(http_model_impl, "http_model", files = files, url = url)

def _hub(endpoint = "", repository = "org/clf", revision = 40 * "a"):
    return _repository(hugging_face_model_impl, "hugging_face_model", endpoint = endpoint, files = {"a": _HASH}, repository = repository, revision = revision)

def _pull(image, digest):
    return _repository(oci_model_impl, "oci_model", digest = digest, image = image)

def _hub_token(environ, endpoint = "https://huggingface.co", netrc = ""):
    """The repository of a model of the hub, whose download fails with the token. The content of a file is its path, except for netrc."""
    attributes = dict(endpoint = endpoint, files = {"a": _HASH}, kind = "hugging_face_model", model = "clf", repository = "org/clf", revision = _COMMIT)
    return lambda: hugging_face_model_impl(struct(
        attr = struct(**attributes),
        download = lambda **named: fail("the token is " + ([auth["password"] for auth in named["auth"].values()] or ["not sent"])[0]),
        os = struct(environ = environ, name = "linux"),
        path = lambda place: struct(exists = True, place = place),
        read = lambda file, **_named: netrc if type(file) == "string" else file.place + "\n",
        report_progress = lambda _text: None,
    ))

def _debs(text, mirrors = []):
    tag = struct(lock = "//:debs.json", mirrors = mirrors, name = "debs")
    return lambda: fail(declare_debs(_context(files = text or "", has_files = text != None), tag))

_HASH = 64 * "0"
_COMMIT = 40 * "a"
_OF_ARCHIVE = "bento_files.model_archive(name = \"clf\"): "
_OF_FILES = "bento_files.http_model(name = \"clf\"): "
_OF_HUB = "bento_files.hugging_face_model(name = \"clf\"): "
_OF_OCI = "bento_files.oci_model(name = \"clf\"): "
_NOT_A_LOCK = "//:debs.json isn't a Debian lock in format 1. Generate the lock with a bento_debs target."

_DEB = {"archive": "debian", "dependencies": [], "filename": "pool/x.deb", "name": "libc6", "sha256": _HASH, "version": "1:2.0-1"}

# Calls and their messages, by case.
_CASES = {
    "deb_lock_for_another_machine": (
        _debs(json.encode({"deb_lock": 1, "packages": {"riscv64": []}})),
        "//:debs.json contains the unknown architecture riscv64. Valid values: ",
    ),
    "deb_lock_of_a_name_that_leaves": (
        _debs(json.encode({"deb_lock": 1, "packages": {"amd64": [_DEB | {"name": "../x"}]}})),
        "//:debs.json: \"../x\": name: \"../x\"",
    ),
    "deb_lock_of_a_number": (
        _debs(json.encode({"deb_lock": 1, "packages": {"amd64": [_DEB | {"dependencies": [1]}]}})),
        "//:debs.json: libc6: dependencies: has the wrong type: int. Restore the committed file",
    ),
    "deb_lock_of_a_list": (_debs(json.encode({"deb_lock": 1, "packages": []})), "//:debs.json: packages has the wrong type: list"),
    "deb_lock_of_a_name_that_is_missing": (
        _debs(json.encode({"deb_lock": 1, "packages": {"amd64": [{}]}})),
        "//:debs.json: packages.amd64[0]: archive is missing",
    ),
    "deb_lock_of_a_package_that_is_a_list": (
        _debs(json.encode({"deb_lock": 1, "packages": {"amd64": [[]]}})),
        "//:debs.json: packages.amd64[0]: has the wrong type: list",
    ),
    "deb_lock_of_packages_that_are_missing": (_debs("{\"deb_lock\": 1}"), "//:debs.json: packages has the wrong type: NoneType"),
    "deb_lock_of_another_architecture": (
        _debs(json.encode({"deb_lock": 1, "packages": {"../x": []}})),
        "//:debs.json: packages: \"../x\" isn't an architecture of Debian",
    ),
    "deb_lock_of_a_path_that_leaves": (
        _debs(json.encode({"deb_lock": 1, "packages": {"amd64": [_DEB | {"filename": "pool/../../x.deb"}]}})),
        "//:debs.json: libc6: filename: \"pool/../../x.deb\"",
    ),
    "deb_lock_of_another_format": (_debs("{\"deb_lock\": 2, \"packages\": {}}"), _NOT_A_LOCK),
    "deb_lock_of_a_missing_dependency": (
        _debs(json.encode({"deb_lock": 1, "packages": {"amd64": [_DEB | {"dependencies": ["libz"]}]}})),
        "//:debs.json: libc6 requires libz, which isn't in the lock. Update the lock with the bento_debs target.",
    ),
    "deb_lock_that_does_not_exist": (_debs(None), "//:debs.json doesn't exist. Create an empty file, and run the bento_debs target with `bazel run`."),
    "deb_lock_that_is_a_list": (_debs("[]"), _NOT_A_LOCK),
    "deb_lock_that_is_no_json": (_debs("packages:"), _NOT_A_LOCK),
    "field_that_is_missing": (
        lambda: BentoDebInfo(files = depset()),
        "BentoDebInfo: missing field architecture. Set the field: str - CPU architecture",
    ),
    "helper_that_fails": (
        lambda: run_helper(_context(stderr = "no route to the host\n"), "bento_files.base(name = \"python\")", "pull", []),
        "bento_files.base(name = \"python\"): no route to the host",
    ),
    "host_of_another_kind": (lambda: host_platform(_context()), "rules_bento doesn't support windows 11. Build on Linux or macOS."),
    "interpreter_and_lock": (
        lambda: declare_python_debs(
            None,
            name = "python",
            tag = struct(debian_lock = "//:debs.json", interpreter = "python3", mirrors = []),
        ),
        "bento_tools.python(debian_lock = \"//:debs.json\"): interpreter and debian_lock can't be combined. Remove one of these attributes.",
    ),
    "model_of_a_branch": (
        _hub(revision = "main"),
        _OF_HUB + "invalid revision \"main\". Use a commit hash (40 hexadecimal digits), because branches and tags can change.",
    ),
    "model_of_a_page": (
        _archive("https://models.example.com/clf"),
        _OF_ARCHIVE + "url \"https://models.example.com/clf\" has an unknown suffix. Use a URL that ends in one of: .bentomodel, .tar, ",
    ),
    "model_of_an_archive_without_hash": (
        _archive("https://models.example.com/clf.tar"),
        _OF_ARCHIVE + "invalid sha256 \"\". Use the SHA-256 of the archive (64 hexadecimal digits).",
    ),
    "model_of_an_image_that_is_a_flag": (
        _pull("--insecure", "sha256:" + _HASH),
        _OF_OCI + "invalid image \"--insecure\". Use registry/repository, without a tag or digest.",
    ),
    "model_of_an_image_without_digest": (
        _pull("registry.example.com/clf", "latest"),
        _OF_OCI + "invalid digest \"latest\". Use sha256: and 64 hexadecimal digits.",
    ),
    "model_of_an_endpoint_with_another_scheme": (
        _hub(endpoint = "file:///models"),
        _OF_HUB + "invalid endpoint \"file:///models\". Use an http:// or https:// URL.",
    ),
    "model_of_another_address": (
        _files({"a": _HASH}, url = "ftp://me:secret@models.example.com"),
        _OF_FILES + "invalid url \"ftp://models.example.com\". Use an http:// or https:// URL.",
    ),
    "model_of_an_archive_with_another_scheme": (
        _archive("file:///clf.tar", _HASH),
        _OF_ARCHIVE + "invalid url \"file:///clf.tar\". Use an http:// or https:// URL.",
    ),
    "mirror_with_another_scheme": (
        _debs("", mirrors = ["--output=/x"]),
        "invalid mirrors \"--output=/x\". Use an http:// or https:// URL.",
    ),
    "model_of_the_hub_with_a_token_of_the_former_variable": (_hub_token({"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "hf_b\n"}), "the token is hf_b"),
    "model_of_the_hub_with_a_token_of_the_cache": (_hub_token({"HOME": "/me", "XDG_CACHE_HOME": "/cache"}), "the token is /cache/huggingface/token"),
    "model_of_the_hub_with_a_token_of_the_home": (_hub_token({"HF_HOME": "~/hf", "HOME": "/me", "XDG_CACHE_HOME": "/cache"}), "the token is /me/hf/token"),
    "model_of_the_hub_with_a_token_of_a_path": (_hub_token({"A_B": "/x", "HF_TOKEN": " ", "HF_TOKEN_PATH": "${A_B}$A_B/$A$"}), "the token is /x/x/$A$"),
    "model_of_the_hub_with_a_token_of_no_variable": (_hub_token({"HOME": "/me"}), "the token is /me/.cache/huggingface/token"),
    "model_of_another_hub_with_a_default_password": (_hub_token({"HF_TOKEN": "hf_a", "HOME": "/me"}, "https://hub.example.com", "default login x password hf_n\n"), "the token is not sent"),
    "model_of_another_hub_with_a_password": (_hub_token({"HF_TOKEN": "hf_a", "HOME": "/me"}, "https://hub.example.com", "machine hub.example.com login x password hf_n\n"), "the token is hf_n"),
    "model_of_another_hub_with_a_password_but_no_encryption": (_hub_token({"HF_TOKEN": "hf_a", "HOME": "/me"}, "http://hub.example.com", "machine hub.example.com login x password hf_n\n"), "the token is not sent"),
    "model_of_another_hub_with_a_token": (_hub_token({"HF_TOKEN": "hf_a", "HOME": "/me"}, "http://127.0.0.1:18231"), "the token is not sent"),
    "model_of_another_hub_with_the_name_of_the_hub": (_hub_token({"HF_TOKEN": "hf_a", "HOME": "/me"}, "https://huggingface.co.example.com"), "the token is not sent"),
    "model_of_the_hub_with_a_token_of_the_variable": (_hub_token({"HF_TOKEN": " hf_a ", "HUGGING_FACE_HUB_TOKEN": "hf_b"}), "the token is hf_a"),
    "model_of_another_repository": (
        _hub(repository = "../clf?x"),
        _OF_HUB + "invalid repository \"../clf?x\". Use organization/name.",
    ),
    "model_of_no_endpoint": (
        _hub(),
        _OF_HUB + "the URL of the Hugging Face Hub is missing. Set the endpoint attribute, or the environment variable HF_ENDPOINT.",
    ),
    "model_outside_of_its_folder": (
        _files({"a/../../b": _HASH}),
        _OF_FILES + "invalid path \"a/../../b\" in the files attribute. Use a relative path without",
    ),
    "model_with_another_hash": (
        _files({"a": "md5"}),
        _OF_FILES + "invalid hash \"md5\" for a in the files attribute. Use the SHA-256 of the file (64 hexadecimal digits).",
    ),
    "model_with_an_upper_case_hash": (
        _files({"a": 64 * "A"}),
        _OF_FILES + "invalid hash \"{}\" for a in the files attribute. Use the SHA-256".format(64 * "A"),
    ),
    "debs_that_left_the_mirrors": (
        lambda: fail(refresh_clause(Label("//tests/registry:debian.lock.json"))),
        "Update the lock: `bazel run //tests/registry:debian.update`",
    ),
    "debs_that_left_the_mirrors_with_another_name": (
        lambda: fail(refresh_clause(Label("@bazel_skylib//:debs.json"))),
        "Update the lock with `bazel run` of its bento_debs target",
    ),
    "no_place_of_uv": (
        lambda: fetch_first(_context(files = "[]"), "uv==1.0", _WHEEL, _HASH),
        "cannot fetch {}:\npip: the lock of bento_tools.python(debian_lock = ...) doesn't contain python3-pip-whl\nSet the package index with UV_DEFAULT_INDEX".format(_WHEEL),
    ),
    "wheel_that_uv_does_not_find": (
        lambda: fetch_with_uv(
            _context({"indexes": "", "lock": None, "uv": "uv"}, stderr = "no index has it"),
            "acme==1",
            "acme-1-py3-none-any.whl",
            "aa",
        ),
        "cannot fetch acme-1-py3-none-any.whl of acme==1 (SHA-256: aa):\nno index has it",
    ),
    "wheels_that_fit_nowhere": (lambda: group_wheels({"a": 1, "b": 1}, 1, alone = 0), "1 layers aren't enough for 2 wheels"),
}

def _refused_impl(ctx):
    call, _ = _CASES[ctx.attr.case]
    call()
    return []

_refused = rule(
    implementation = _refused_impl,
    doc = "Calls what a case is about.",
    attrs = {"case": attr.string(doc = "Its name.", mandatory = True)},
)

def calls_that_are_refused(name):
    """Declares a target for each case, and one test that they say what is expected.

    Args:
      name: of the test.
    """
    for case in _CASES:
        _refused(name = case, case = case, tags = ["manual"])
    refusals_test(name = name, targets = {":" + case: said for case, (_, said) in _CASES.items()})
