"""Declares repositories for wheels: one for the wheel file, and one for the unpacked modules.

Bazel fetches a repository only if a build needs the contents."""

load(":build_text.bzl", "build_text", "failing_text", "metadata_text")
load(":fetch.bzl", "FETCH_ATTRIBUTES", "fetch_with_uv", "helper_packages", "interpreter", "mark_reproducible")

_PACKAGE_ATTRIBUTES = {
    "distribution": attr.string(doc = "Normalized name of the package (PEP 503).", mandatory = True),
    "version": attr.string(doc = "Version of the package.", mandatory = True),
}

# Attributes of repository rules for wheels and for sources of packages.
RELEASE_ATTRIBUTES = _PACKAGE_ATTRIBUTES | FETCH_ATTRIBUTES | {
    "choice": attr.label(
        doc = "File in the lock's repository with the Python version, and the file of the release to fetch, by hash.",
        mandatory = True,
    ),
    "compilers": attr.string(doc = "Label of the compiler of bytecode for images; empty for packages of actions."),
    "exclude": attr.string_list(
        doc = "Patterns of files to exclude from images. A pattern that matches no file is an error.",
    ),
    "exclude_preset": attr.string_list(
        doc = "Patterns, from presets, of files to exclude from images. A pattern that matches no file isn't an error.",
    ),
    "package_metadata_bzl": attr.label(
        doc = "File that defines the macro `package_metadata`, which declares the package URL (PURL) of the wheel.",
    ),
    "platform": attr.string(doc = "Target platform (`<os>_<machine>`).", mandatory = True),
    "url": attr.string(doc = "URL of the file; empty if the file comes from a package index."),
}

_WHEEL_BUILD = """\
load("@rules_bento//private:hub_rules.bzl", "locked_wheel", "tool_modules")

locked_wheel(
    name = "wheel",
    compilers = {compilers},
    distribution = {distribution},
    exclude = {exclude},
    exclude_preset = {exclude_preset},
    file = {wheel},
    applicable_licenses = {metadata},
    python_version = {python_version},
    allow_record_mismatch = {allow_record_mismatch},
    sha256 = {sha256},
    size = {size},
    version = {version},
    visibility = ["//visibility:public"],
)

tool_modules(
    name = "modules",
    wheel = ":wheel",
    visibility = ["//visibility:public"],
)
"""

_MODULES_BUILD = """\
load("@rules_bento//private:hub_rules.bzl", "wheel_modules")

wheel_modules(
    name = "modules",
    srcs = glob(["site-packages/**"]),
    distribution = {distribution},
    import_roots = {roots},
    version = {version},
    wheel = {wheel},
    visibility = ["//visibility:public"],
)
"""

def wheel_build_text(rctx, template, python_version, **values):
    """Returns the text of the BUILD file of a wheel, with its package metadata.

    Args:
      rctx: context of a repository rule with `RELEASE_ATTRIBUTES`.
      template: template of the targets. A list with the label of the package metadata, or an empty list, replaces
        `{metadata}`.
      python_version: Python version of the package hub.
      **values: values of other placeholders.
    """

    # Quoted as in SBOMs. A version (PEP 440) has no other characters to quote.
    version = rctx.attr.version.replace("!", "%21").replace("+", "%2B")
    metadata = metadata_text(rctx, {"metadata": "pkg:pypi/{}@{}".format(rctx.attr.distribution, version)})
    compilers = 'select({{"@rules_bento//toolchains/platforms:files": {}, "//conditions:default": None}})'
    return metadata + build_text(
        template,
        {"compilers": compilers.format(repr(rctx.attr.compilers)) if rctx.attr.compilers else "None"},
        distribution = rctx.attr.distribution,
        exclude = rctx.attr.exclude,
        exclude_preset = rctx.attr.exclude_preset,
        metadata = [":metadata"] if metadata else [],
        python_version = ".".join(python_version.split(".")[:2]),
        version = rctx.attr.version,
        **values
    )

def requirement_of(rctx):
    """Returns the release as `name==version`."""
    return "{}=={}".format(rctx.attr.distribution, rctx.attr.version)

def _inspect(rctx, wheel, choice):
    """Stores the hash of a wheel in an extended attribute.

    Returns:
      A struct of `problem` (an error for an invalid wheel or another Python version, or None), and the `size` in bytes.
    """
    program = rctx.path(Label("//toolchains/programs:inspect_wheel.py"))
    import_path = [helper_packages(rctx)[-1], rctx.path(Label("//py:main.py")).dirname]
    command = [interpreter(rctx), "-I", "-S", "-B", program, wheel, choice["sha256"], choice["python_version"]]
    done = rctx.execute(command + import_path)
    if done.return_code:
        problem = "{} isn't a valid wheel: {}. Select another version of the package and update the lock.".format(
            wheel,
            done.stderr.strip().split("\n")[-1],
        )
        return struct(problem = problem)
    size, unsupported, _ = done.stdout.split("\n")
    problem = ("{} requires Python {}, but the package hub is for Python {}. Change python_version in bento.pypi, or " +
               "select another version of the package and update the lock.").format(
        requirement_of(rctx),
        unsupported,
        choice["python_version"],
    )
    return struct(problem = problem if unsupported else None, size = int(size))

def _write_wheel(rctx, choice):
    """Fetches a wheel, and declares its target. Returns an error of the wheel, or None."""
    if "problem" in choice:
        return choice["problem"]
    wheel, sha256 = choice["wheel"], choice["sha256"]
    if rctx.attr.url:
        rctx.download(url = rctx.attr.url, output = wheel, sha256 = sha256)
    else:
        fetch_with_uv(rctx, requirement_of(rctx), wheel, sha256, choice["python_version"])
    inspected = _inspect(rctx, wheel, choice)
    if inspected.problem:
        return inspected.problem

    # With the hash, by which the repository of the modules depends on the contents of the wheel.
    rctx.file("name", "{}\n{}".format(wheel, sha256))
    rctx.file("BUILD.bazel", wheel_build_text(
        rctx,
        _WHEEL_BUILD,
        choice["python_version"],
        allow_record_mismatch = sha256 in rctx.attr.allow_record_mismatch,
        sha256 = sha256,
        size = inspected.size,
        wheel = wheel,
    ))
    return None

# File with the error of a repository without a wheel.
_PROBLEM = "problem"

def _wheel_repo_impl(rctx):
    problem = _write_wheel(rctx, json.decode(rctx.read(rctx.attr.choice)))
    if problem:
        rctx.file("name")
        rctx.file(_PROBLEM, problem)
        rctx.file("BUILD.bazel", failing_text(["modules", "wheel"], problem))
    return mark_reproducible(rctx)

wheel_repo = repository_rule(
    implementation = _wheel_repo_impl,
    doc = "Fetches the wheel of a release for one platform.",
    attrs = RELEASE_ATTRIBUTES | {
        "allow_record_mismatch": attr.string_list(
            doc = "SHA-256 hashes of wheels to allow in images even if their RECORD file is incorrect.",
        ),
    },
)

# Bazel treats a directory with one of these files as a package, and `glob` doesn't return files in packages.
_BUILD_FILES = ["BUILD", "BUILD.bazel"]

def _remove_build_files(rctx):
    """Removes BUILD files from an unpacked wheel, because `glob` skips directories that contain BUILD files."""
    pending = [rctx.path("site-packages")]

    # Starlark has no `while`. Each iteration processes one directory.
    for _ in range(1000000):
        if not pending:
            return
        for entry in pending.pop().readdir():
            if entry.is_dir:
                pending.append(entry)
            elif entry.basename in _BUILD_FILES:
                rctx.delete(entry)

def _unpack(rctx, wheel):
    """Unpacks the modules of a wheel to `site-packages`, and compiles them if the attribute `compiler` is set.

    Not with `rctx.extract`, which writes files outside of its directory if a wheel has members with `../`.
    """
    program = [rctx.path(Label("//toolchains/programs:unpack_wheel.py")), wheel, "site-packages", "--all"]
    command = [interpreter(rctx), "-I", "-S", "-B", "-X", "utf8"]
    if rctx.attr.compiler:
        # Without -I, which ignores PYTHONHASHSEED: before Python 3.11, bytecode contains sets of strings in hash order.
        # `env -i` removes other variables, and the import path starts with the directory of the program.
        command = ["env", "-i", "PYTHONHASHSEED=0", rctx.read(rctx.attr.compiler), "-s", "-S", "-B", "-X", "utf8"]
        program.append("--compile")
    done = rctx.execute(command + program, timeout = 3600)
    if done.return_code:
        fail("{}: {}".format(rctx.attr.distribution, (done.stdout + done.stderr).strip()))

def _wheel_modules_repo_impl(rctx):
    repository = rctx.path(rctx.attr.wheel).dirname
    name = rctx.read(rctx.attr.wheel).partition("\n")[0]
    if not name:
        rctx.file("BUILD.bazel", failing_text(["modules"], rctx.read(repository.get_child(_PROBLEM))))
        return mark_reproducible(rctx)
    wheel = repository.get_child(name)
    _unpack(rctx, wheel)
    _remove_build_files(rctx)
    rctx.file("BUILD.bazel", build_text(
        _MODULES_BUILD,
        distribution = rctx.attr.distribution,
        roots = ["site-packages"],
        version = rctx.attr.version,
        wheel = str(rctx.attr.wheel).removesuffix(":name") + ":wheel",
    ))
    return mark_reproducible(rctx)

wheel_modules_repo = repository_rule(
    implementation = _wheel_modules_repo_impl,
    doc = "Provides the unpacked modules of a wheel.",
    attrs = _PACKAGE_ATTRIBUTES | {
        "compiler": attr.label(
            doc = "File that contains the path to the interpreter that compiles the modules to bytecode. If unset, " +
                  "the modules aren't compiled.",
        ),
        "wheel": attr.label(
            doc = "File in the wheel's repository that contains the wheel's file name and hash.",
            mandatory = True,
        ),
    },
)
