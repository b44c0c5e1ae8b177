"""Repositories of a package's source, where it has no wheel: a wheel is then built from it, by an action."""

load(":build_text.bzl", "build_text", "without_secrets")
load(":fetch.bzl", "FETCH_ATTRIBUTES", "fetch_with_uv")
load(":wheel.bzl", "newer_system", "python_version")

_BUILD = """\
load("@rules_bento//rules/private:built_wheel.bzl", "built_wheel", "built_wheel_modules")

built_wheel(
    name = "wheel",
    distribution = {distribution},
    exclude = {exclude},
    exclude_preset = {exclude_preset},
    platform = {platform},
    python_version = {python_version},
    requirements = {requirements},
    size = {size},
    source = {source},
    subfolder = {subfolder},
    version = {version},
    visibility = ["//visibility:public"],
)

built_wheel_modules(
    name = "modules",
    wheel = ":wheel",
    visibility = ["//visibility:public"],
)
"""
_PACKED = "source.tar"

# No helper of git is a way to an address: `ext::COMMAND` is one, in a file .gitmodules, too.
_ENVIRONMENT = {"GIT_ALLOW_PROTOCOL": "https:http:ssh", "GIT_TERMINAL_PROMPT": "0"}
_SIZE = "import os, sys; print(os.path.getsize(sys.argv[1]))"

def source_file(files):
    """Finds the source archive among the files of a release.

    Args:
      files: file names.

    Returns:
      A file name, or None.
    """
    found = [name for name in files if name.endswith((".tar.gz", ".zip"))]
    return found[0] if found else None

def _run(rctx, command, problem, environment = _ENVIRONMENT):
    done = rctx.execute(command, environment = environment, timeout = 1800)
    if done.return_code:
        fail("{}=={}: {}:\n  {}".format(rctx.attr.distribution, rctx.attr.version, problem, without_secrets(done.stderr.strip())))
    return done.stdout.strip()

def _python(rctx, *arguments):
    script = rctx.path(Label("//toolchains/private:source_archive.py"))
    return [rctx.read(rctx.attr.interpreter), "-I", "-S", "-B", "-X", "utf8", script] + list(arguments)

def _fetch_commit(rctx):
    """Brings a commit of a git repository; its hash says that it is the right one."""
    git = rctx.which("git")
    if not git:
        fail("{} comes from a git repository, and there is no git on PATH: install it".format(rctx.attr.distribution))
    address, commit = rctx.attr.git, rctx.attr.commit
    problem = "cannot fetch commit {} of {}".format(commit, address)
    rctx.report_progress("fetching {}".format(address))
    _run(rctx, [git, "init", "--quiet", "checkout"], problem)
    start = [git, "-C", "checkout"]
    fetch = start + ["fetch", "--quiet"]

    # Only of this address may it be a folder, never of a submodule.
    environment = _ENVIRONMENT | ({"GIT_ALLOW_PROTOCOL": "file"} if address.startswith("file:") else {})

    # Servers need not give a commit that no branch ends in: then all of them are fetched.
    if rctx.execute(fetch + ["--depth=1", "--", address, commit], environment = environment).return_code:
        _run(rctx, fetch + ["--", address, "+refs/*:refs/fetched/*"], problem, environment)
    _run(rctx, start + ["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit, "--"], problem)
    if rctx.path("checkout/.gitmodules").exists:
        _run(rctx, start + ["submodule", "--quiet", "update", "--init", "--recursive"], problem)
    _run(rctx, _python(rctx, "pack", "checkout", _PACKED), problem)
    rctx.delete("checkout")
    return _PACKED

def _fetch(rctx):
    if rctx.attr.git:
        return _fetch_commit(rctx)
    name = source_file(rctx.attr.files)
    if rctx.attr.url:
        rctx.download(url = rctx.attr.url, output = name, sha256 = rctx.attr.files[name])
        return name
    requirement = "{}=={}".format(rctx.attr.distribution, rctx.attr.version)
    fetch_with_uv(rctx, requirement, name, rctx.attr.files[name])
    return name

def _requirements(rctx, source):
    """Returns the labels of the packages that the build needs."""
    names = json.decode(_run(rctx, _python(rctx, "requires", source, rctx.attr.subfolder), "its source cannot be read"))
    missing = sorted([name for name in names if name not in rctx.attr.build_packages])
    newer = newer_system(rctx) if missing else ""
    if newer:
        fail("{}=={} has a wheel for {}, but for {}".format(rctx.attr.distribution, rctx.attr.version, rctx.attr.platform, newer))
    if missing:
        fail(("{}=={} has no wheel for {}, and to build one takes {}, which {} does not have. " +
              "Add {} to what {} is made from.").format(
            rctx.attr.distribution,
            rctx.attr.version,
            rctx.attr.platform,
            " and ".join(missing),
            rctx.attr.build_lock,
            " and ".join(missing),
            rctx.attr.build_lock,
        ))
    return ["@{}//{}".format(rctx.attr.build_hub, name.replace("-", "_").replace(".", "_")) for name in names]

def _source_repo_impl(rctx):
    source = _fetch(rctx)
    rctx.file("BUILD.bazel", build_text(
        _BUILD,
        distribution = rctx.attr.distribution,
        exclude = rctx.attr.exclude,
        exclude_preset = rctx.attr.exclude_preset,
        platform = rctx.attr.platform,
        python_version = ".".join(python_version(rctx).split(".")[:2]),
        requirements = _requirements(rctx, source),
        size = int(_run(rctx, [rctx.read(rctx.attr.interpreter), "-I", "-S", "-c", _SIZE, source], "its source cannot be read")),
        source = source,
        subfolder = rctx.attr.subfolder,
        version = rctx.attr.version,
    ))

source_repo = repository_rule(
    implementation = _source_repo_impl,
    doc = "The source of one release or commit, and the target that builds its wheel.",
    attrs = FETCH_ATTRIBUTES | {
        "build_hub": attr.string(doc = "Name of the hub that has what builds need.", mandatory = True),
        "build_lock": attr.string(doc = "Its lock, for errors.", mandatory = True),
        "build_packages": attr.string_list(doc = "The packages that it has.", mandatory = True),
        "commit": attr.string(doc = "Of a git repository: the commit."),
        "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
        "exclude": attr.string_list(doc = "Patterns of files of the wheel that images leave out."),
        "exclude_preset": attr.string_list(doc = "The same of presets; one may name nothing."),
        "files": attr.string_dict(doc = "File name to SHA-256 of the release."),
        "git": attr.string(doc = "Address of a git repository."),
        "interpreter": attr.label(doc = "File with the path of the toolchain's interpreter.", mandatory = True),
        "platform": attr.string(doc = "`<os>_<machine>`.", mandatory = True),
        "python": attr.label(doc = "File with the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Takes precedence over `python`."),
        "subfolder": attr.string(doc = "Where the project lies in a git repository."),
        "url": attr.string(doc = "Address of the archive, where it comes from no index."),
        "version": attr.string(doc = "Version of the package.", mandatory = True),
    },
)
