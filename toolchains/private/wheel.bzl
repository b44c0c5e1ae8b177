"""Repositories of a wheel: the file, and its modules for those who import them. Each is fetched when it is asked for."""

load(":build_text.bzl", "build_text")
load(":fetch.bzl", "FETCH_ATTRIBUTES", "fetch_with_uv", "interpreter", "mark_reproducible")
load(":markers.bzl", "fits_python")
load(":wheel_tags.bzl", "best_wheel", "system_that_fits")

_ATTRIBUTES = {
    "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
    "version": attr.string(doc = "Its version.", mandatory = True),
}

_WHEEL_BUILD = """\
load("@rules_bento//rules/private:hub_rules.bzl", "locked_wheel")

locked_wheel(
    name = "wheel",
    distribution = {distribution},
    exclude = {exclude},
    exclude_preset = {exclude_preset},
    file = {wheel},
    python_version = {python_version},
    allow_record_mismatch = {allow_record_mismatch},
    sha256 = {sha256},
    size = {size},
    version = {version},
    visibility = ["//visibility:public"],
)
"""

_MODULES_BUILD = """\
load("@rules_bento//rules/private:hub_rules.bzl", "wheel_modules")

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
    """Returns the version of Python that a hub is for: the given one, else that of the toolchain's interpreter.

    Args:
      rctx: the repository context of a rule with the attributes `python` and `python_version`.

    Returns:
      `X.Y` or `X.Y.Z`.
    """
    return rctx.attr.python_version or rctx.read(rctx.attr.python)

def newer_system(rctx):
    """Says of a release whose wheels ask for a newer system for which one there is a wheel, and how to allow it.

    Args:
      rctx: the repository context of a rule with the attributes `files`, `platform`, `python` and `python_version`.

    Returns:
      `glibc 2.31: set ...`; empty where no other version of the system helps.
    """
    version = system_that_fits(rctx.attr.files, rctx.attr.platform, python_version(rctx))
    if not version:
        return ""
    name, attribute, place = ("macOS", "macos", "the machines it runs on") if rctx.attr.platform.startswith("macos_") else ("glibc", "glibc", "the image's base")
    return "{} {}: set {} = \"{}\" in bento.pypi, if that of {} is no older".format(name, version, attribute, version, place)

def _facts(rctx, wheel):
    """Marks a wheel with its hash, and returns its size, by which images plan their layers, and its Python versions."""
    program = rctx.path(Label("//toolchains/private:wheel_facts.py"))
    done = rctx.execute([interpreter(rctx), "-I", "-S", "-B", program, wheel, rctx.attr.files[wheel]])
    if done.return_code:
        fail("{} is not a wheel: {}".format(wheel, done.stderr.strip().split("\n")[-1]))
    size, python, _ = done.stdout.split("\n")
    return {"python": python, "size": size}

def _wheel_repo_impl(rctx):
    version = python_version(rctx)
    wheel = best_wheel(rctx.attr.files.keys(), rctx.attr.platform, version, rctx.attr.glibc, rctx.attr.macos)
    requirement = "{}=={}".format(rctx.attr.distribution, rctx.attr.version)
    refused = best_wheel(rctx.attr.refused, rctx.attr.platform, version, rctx.attr.glibc, rctx.attr.macos)
    if not rctx.attr.files and not refused:
        fail("{} is not in the lock, which is not for {} with CPython {}: lock for all platforms (`uv pip compile --universal`)".format(
            rctx.attr.distribution,
            rctx.attr.platform,
            version,
        ))
    if not wheel and refused:
        fail("{}: the index has {}, but its hash is not in the lock: lock again".format(requirement, refused))
    if not wheel:
        newer = newer_system(rctx)
        fail("{} has no wheel for {} with CPython {} and {}{}; the lock has:\n  {}".format(
            requirement,
            rctx.attr.platform,
            version,
            "macOS " + rctx.attr.macos if rctx.attr.platform.startswith("macos_") else "glibc " + rctx.attr.glibc,
            ", but one for " + newer if newer else "",
            "\n  ".join(sorted(rctx.attr.files.keys())),
        ))
    if rctx.attr.url:
        rctx.download(url = rctx.attr.url, output = wheel, sha256 = rctx.attr.files[wheel])
    else:
        fetch_with_uv(rctx, requirement, wheel, rctx.attr.files[wheel])
    facts = _facts(rctx, wheel)
    if not fits_python(facts["python"], version):
        fail("{} is for Python {}, but the hub for {}: choose a version of it that fits, or another python_version".format(
            requirement,
            facts["python"],
            version,
        ))
    rctx.file("name", wheel)
    rctx.file("BUILD.bazel", build_text(
        _WHEEL_BUILD,
        distribution = rctx.attr.distribution,
        exclude = rctx.attr.exclude,
        exclude_preset = rctx.attr.exclude_preset,
        python_version = ".".join(version.split(".")[:2]),
        allow_record_mismatch = rctx.attr.files[wheel] in rctx.attr.allow_record_mismatch,
        sha256 = rctx.attr.files[wheel],
        size = int(facts["size"]),
        version = rctx.attr.version,
        wheel = wheel,
    ))
    return mark_reproducible(rctx)

wheel_repo = repository_rule(
    implementation = _wheel_repo_impl,
    doc = "The wheel of one release that fits a platform.",
    attrs = _ATTRIBUTES | FETCH_ATTRIBUTES | {
        "exclude": attr.string_list(doc = "Patterns of files of the wheel that images leave out."),
        "exclude_preset": attr.string_list(doc = "The same of presets; one may name nothing."),
        "files": attr.string_dict(doc = "File name to SHA-256, all files of the release.", mandatory = True),
        "glibc": attr.string(doc = "The newest C library that a wheel may ask for.", mandatory = True),
        "macos": attr.string(doc = "The newest macOS that a wheel may ask for.", mandatory = True),
        "platform": attr.string(doc = "`<os>_<machine>`.", mandatory = True),
        "python": attr.label(doc = "File with the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Takes precedence over `python`."),
        "allow_record_mismatch": attr.string_list(doc = "SHA-256 of files that are taken although their RECORD is wrong."),
        "refused": attr.string_list(doc = "Files of the release whose hash is not in the lock."),
        "url": attr.string(doc = "Address of the file, where it comes from no index."),
    },
)

# To Bazel, files of these names make a folder a package of its own, and `glob` does not enter it.
_BUILD_FILES = ["BUILD", "BUILD.bazel"]

def _remove_build_files(rctx):
    """Removes the BUILD files that a wheel ships: its folders are modules here."""
    pending = [rctx.path("site-packages")]

    # Starlark has no `while`; each turn takes one folder.
    for _ in range(1000000):
        if not pending:
            return
        for entry in pending.pop().readdir():
            if entry.is_dir:
                pending.append(entry)
            elif entry.basename in _BUILD_FILES:
                rctx.delete(entry)

def _compile(rctx):
    """Writes byte code beside the modules: of the unchecked kind, with paths that are the same everywhere."""

    # Of all variables this one alone: before Python 3.11, byte code has sets of strings in the order of their hashes.
    command = ["env", "-i", "PYTHONHASHSEED=0", rctx.read(rctx.attr.compiler), "-s", "-S", "-m", "compileall", "-q", "-j", "1"]
    done = rctx.execute(command + ["--invalidation-mode", "unchecked-hash", "-s", "site-packages", "site-packages"])
    if done.return_code:
        fail("the modules of {} cannot be compiled: {}".format(rctx.attr.distribution, done.stdout + done.stderr))

def _wheel_modules_repo_impl(rctx):
    repository = rctx.path(rctx.attr.wheel).dirname
    wheel = repository.get_child(rctx.read(rctx.attr.wheel))

    # Bazel goes by the ending of an archive and does not know this one.
    rctx.symlink(wheel, "wheel.zip")
    rctx.extract("wheel.zip", output = "site-packages")
    rctx.delete("wheel.zip")
    _remove_build_files(rctx)
    if rctx.attr.compiler:
        _compile(rctx)
    roots = ["site-packages"]
    for entry in rctx.path("site-packages").readdir():
        if entry.basename.endswith(".data"):
            roots += [
                "site-packages/{}/{}".format(entry.basename, part)
                for part in ("purelib", "platlib")
                if entry.get_child(part).exists
            ]
    rctx.file("BUILD.bazel", build_text(
        _MODULES_BUILD,
        distribution = rctx.attr.distribution,
        roots = roots,
        version = rctx.attr.version,
        wheel = str(rctx.attr.wheel).removesuffix(":name") + ":wheel",
    ))
    return mark_reproducible(rctx)

wheel_modules_repo = repository_rule(
    implementation = _wheel_modules_repo_impl,
    doc = "The modules of a wheel, unpacked.",
    attrs = _ATTRIBUTES | {
        "compiler": attr.label(doc = "File with the path of an interpreter that writes byte code of the modules; none for no byte code."),
        "wheel": attr.label(doc = "The file `name` of the wheel's repository.", mandatory = True),
    },
)
