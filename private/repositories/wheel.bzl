"""Declares repositories for wheels: one for the wheel file, and one for the unpacked modules.

Bazel fetches a repository only if a build needs the contents."""

load(":build_text.bzl", "build_text", "failing_text", "metadata_text")
load(":fetch.bzl", "FETCH_ATTRIBUTES", "fetch_with_uv", "interpreter", "mark_reproducible")
load(":markers.bzl", "is_python_in")
load(":wheel_tags.bzl", "best_wheel", "oldest_compatible_system")

_PACKAGE_ATTRIBUTES = {
    "distribution": attr.string(doc = "Normalized name of the package (PEP 503).", mandatory = True),
    "version": attr.string(doc = "Version of the package.", mandatory = True),
}

# Attributes of repository rules for wheels and for sources of packages.
RELEASE_ATTRIBUTES = _PACKAGE_ATTRIBUTES | FETCH_ATTRIBUTES | {
    "compilers": attr.string(doc = "Label of the compiler of bytecode for images; empty for packages of actions."),
    "exclude": attr.string_list(
        doc = "Patterns of files to exclude from images. A pattern that matches no file is an error.",
    ),
    "exclude_preset": attr.string_list(
        doc = "Patterns, from presets, of files to exclude from images. A pattern that matches no file isn't an error.",
    ),
    "files": attr.string_dict(doc = "Files of the release. Keys are file names; values are SHA-256 digests."),
    "package_metadata_bzl": attr.label(
        doc = "File that defines the macro `package_metadata`, which declares the package URL (PURL) of the wheel.",
    ),
    "platform": attr.string(doc = "Target platform (`<os>_<machine>`).", mandatory = True),
    "python": attr.label(doc = "File that contains the version of the toolchain's interpreter.", mandatory = True),
    "python_version": attr.string(
        doc = "Python version of the packages (`X.Y`). Default: the version in the file that `python` specifies.",
    ),
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

def python_version(rctx):
    """Returns the Python version of a package hub.

    The attribute `python_version` or, if empty, the version of the toolchain's interpreter.
    """
    return rctx.attr.python_version or rctx.read(rctx.attr.python)

def wheel_build_text(rctx, template, **values):
    """Returns the text of the BUILD file of a wheel, with its package metadata.

    Args:
      rctx: context of a repository rule with `RELEASE_ATTRIBUTES`.
      template: template of the targets. A list with the label of the package metadata, or an empty list, replaces
        `{metadata}`.
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
        python_version = ".".join(python_version(rctx).split(".")[:2]),
        version = rctx.attr.version,
        **values
    )

def newer_system_hint(rctx):
    """Returns the oldest system for which a release has a wheel, as values for an error message, or None."""
    version = oldest_compatible_system(rctx.attr.files, rctx.attr.platform, python_version(rctx))
    if not version:
        return None
    if rctx.attr.platform.startswith("darwin_"):
        return {"attribute": "macos", "machines": "all machines", "system": "macOS", "version": version}
    return {"attribute": "glibc", "machines": "all base images", "system": "glibc", "version": version}

def requirement_of(rctx):
    """Returns the release as `name==version`."""
    return "{}=={}".format(rctx.attr.distribution, rctx.attr.version)

def _inspect(rctx, wheel):
    """Stores the hash of a wheel in an extended attribute.

    Returns:
      A struct of `size` (bytes), `python` (supported versions), and `problem` (an error of the wheel, or None).
    """
    program = rctx.path(Label("//toolchains/programs:inspect_wheel.py"))
    done = rctx.execute([interpreter(rctx), "-I", "-S", "-B", program, wheel, rctx.attr.files[wheel]])
    if done.return_code:
        problem = "{} isn't a valid wheel: {}. Select another version of the package and update the lock.".format(
            wheel,
            done.stderr.strip().split("\n")[-1],
        )
        return struct(problem = problem)
    size, python, _ = done.stdout.split("\n")
    return struct(problem = None, python = python, size = int(size))

def _no_wheel(rctx, version):
    """Returns the error for a release without a compatible wheel."""
    unlocked = best_wheel(rctx.attr.rejected_files, rctx.attr.platform, version, rctx.attr.glibc, rctx.attr.macos)
    if unlocked:
        return ("{}: the hash of {} isn't in the lock. Update the lock, for example with the bento_requirements " +
                "target or `uv lock`.").format(requirement_of(rctx), unlocked)
    if not rctx.attr.files:
        return ("the lock has no file for {} on {} with CPython {}. Lock for all platforms, for example with `uv " +
                "pip compile --universal`.").format(
            rctx.attr.distribution,
            rctx.attr.platform,
            version,
        )
    hint = newer_system_hint(rctx)
    other_system = ", or set {attribute} = \"{version}\" in bento.pypi if {machines} have at least this version"
    return ("{} has no wheel for {} with CPython {} and {}{}. Select another version of the package and update the " +
            "lock{}. Files in the lock:\n  {}").format(
        requirement_of(rctx),
        rctx.attr.platform,
        version,
        "macOS " + rctx.attr.macos if rctx.attr.platform.startswith("darwin_") else "glibc " + rctx.attr.glibc,
        ", but a wheel for {system} {version}".format(**hint) if hint else "",
        other_system.format(**hint) if hint else "",
        "\n  ".join(sorted(rctx.attr.files.keys())),
    )

def _write_wheel(rctx, version, wheel):
    """Fetches a wheel, and declares its target. Returns an error of the wheel, or None."""
    if rctx.attr.url:
        rctx.download(url = rctx.attr.url, output = wheel, sha256 = rctx.attr.files[wheel])
    else:
        fetch_with_uv(rctx, requirement_of(rctx), wheel, rctx.attr.files[wheel], version)
    inspected = _inspect(rctx, wheel)
    if inspected.problem:
        return inspected.problem
    if not is_python_in(inspected.python, version):
        return ("{} requires Python {}, but the package hub is for Python {}. Change python_version in bento.pypi, " +
                "or select another version of the package and update the lock.").format(
            requirement_of(rctx),
            inspected.python,
            version,
        )

    # With the hash, by which the repository of the modules depends on the contents of the wheel.
    rctx.file("name", "{}\n{}".format(wheel, rctx.attr.files[wheel]))
    rctx.file("BUILD.bazel", wheel_build_text(
        rctx,
        _WHEEL_BUILD,
        allow_record_mismatch = rctx.attr.files[wheel] in rctx.attr.allow_record_mismatch,
        sha256 = rctx.attr.files[wheel],
        size = inspected.size,
        wheel = wheel,
    ))
    return None

# File with the error of a repository without a wheel.
_PROBLEM = "problem"

def _wheel_repo_impl(rctx):
    version = python_version(rctx)
    wheel = best_wheel(rctx.attr.files.keys(), rctx.attr.platform, version, rctx.attr.glibc, rctx.attr.macos)
    problem = _write_wheel(rctx, version, wheel) if wheel else _no_wheel(rctx, version)
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
        "glibc": attr.string(doc = "Newest glibc version that wheels can require (`X.Y`).", mandatory = True),
        "macos": attr.string(doc = "Newest macOS version that wheels can require (`X.Y`).", mandatory = True),
        "rejected_files": attr.string_list(doc = "Names of the release's files that have no hash in the lock."),
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
