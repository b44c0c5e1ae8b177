"""Declares repositories for the sources of packages without a compatible wheel.

An action builds the wheel from these sources.
"""

load(":build_text.bzl", "failing_text", "without_secrets")
load(":fetch.bzl", "fetch_with_uv", "helper_packages")
load(":wheel.bzl", "RELEASE_ATTRIBUTES", "requirement_of", "wheel_build_text")

_BUILD = """\
load("@rules_bento//private:built_wheel.bzl", "built_wheel", "built_wheel_modules")

built_wheel(
    name = "wheel",
    compilers = {compilers},
    distribution = {distribution},
    exclude = {exclude},
    exclude_preset = {exclude_preset},
    applicable_licenses = {metadata},
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

# git transport helpers are disabled, because a URL such as `ext::COMMAND` can run commands. A .gitmodules file can
# also contain such a URL.
_ENVIRONMENT = {"GIT_ALLOW_PROTOCOL": "https:http:ssh", "GIT_TERMINAL_PROMPT": "0"}
_SIZE = "import os, sys; print(os.path.getsize(sys.argv[1]))"

def _failure(rctx, done, problem):
    """Returns the error of a program that failed."""
    return "{}: {}:\n  {}".format(requirement_of(rctx), problem, without_secrets(done.stderr.strip()))

def _run(rctx, command, problem, environment = _ENVIRONMENT):
    done = rctx.execute(command, environment = environment, timeout = 1800)
    if done.return_code:
        fail(_failure(rctx, done, problem))
    return done.stdout.strip()

def _python(rctx, *arguments):
    script = rctx.path(Label("//toolchains/programs:source_archive.py"))
    return [rctx.read(rctx.attr.interpreter), "-I", "-S", "-B", "-X", "utf8", script] + list(arguments)

def _fetch_commit(rctx):
    """Fetches a git commit and its submodules, verified by the commit's hash.

    Returns the name of an archive with the files.
    """
    git = rctx.which("git")
    if not git:
        fail("{} is from a git repository, but git isn't on PATH. Install git.".format(rctx.attr.distribution))
    address, commit = rctx.attr.git, rctx.attr.commit
    problem = "cannot fetch commit {} of {}".format(commit, address)
    rctx.report_progress("fetching {}".format(address))
    _run(rctx, [git, "init", "--quiet", "checkout"], problem)
    start = [git, "-C", "checkout"]
    fetch = start + ["fetch", "--quiet"]

    # Only the repository itself can be a local directory. Submodules can't.
    environment = _ENVIRONMENT | ({"GIT_ALLOW_PROTOCOL": "file"} if address.startswith("file:") else {})

    # Some servers reject a commit that isn't the tip of a branch. In this case, the function fetches all branches.
    if rctx.execute(fetch + ["--depth=1", "--", address, commit], environment = environment).return_code:
        _run(rctx, fetch + ["--", address, "+refs/*:refs/fetched/*"], problem, environment)
    _run(rctx, start + ["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit, "--"], problem)
    if rctx.path("checkout/.gitmodules").exists:
        _run(rctx, start + ["submodule", "--quiet", "update", "--init", "--recursive"], problem)
    _run(rctx, _python(rctx, "pack", "checkout", _PACKED), problem)
    rctx.delete("checkout")
    return _PACKED

def _fetch(rctx, choice):
    if rctx.attr.git:
        return _fetch_commit(rctx)
    name, sha256 = choice["source"], choice["source_sha256"]
    if rctx.attr.url:
        rctx.download(url = rctx.attr.url, output = name, sha256 = sha256)
        return name
    fetch_with_uv(rctx, requirement_of(rctx), name, sha256, choice["python_version"])
    return name

def _requirements(rctx, source, packages, choice):
    """Returns a struct of the `labels` of the build requirements of a source, and `problem`.

    `problem` is an error, or None.
    """
    done = rctx.execute(
        _python(rctx, "requires", source, rctx.attr.subdirectory, packages),
        environment = _ENVIRONMENT,
        timeout = 1800,
    )
    if done.return_code:
        return struct(labels = [], problem = _failure(rctx, done, "cannot read the source archive"))
    names = json.decode(done.stdout)
    missing = sorted([name for name in names if name not in rctx.attr.build_packages])
    problem = None
    if missing:
        unbuilt = "{} has no wheel for {}. To build from source, add {} to the requirements of {}.".format(
            requirement_of(rctx),
            rctx.attr.platform,
            " and ".join(missing),
            rctx.attr.build_lock,
        )
        problem = choice.get("newer", unbuilt)
    return struct(
        labels = ["@{}//{}".format(rctx.attr.build_hub, name.replace("-", "_").replace(".", "_")) for name in names],
        problem = problem,
    )

def _source_repo_impl(rctx):
    packages = helper_packages(rctx)[-1]  # first, because Bazel starts the rule again after it has fetched them
    choice = json.decode(rctx.read(rctx.attr.choice))
    source = _fetch(rctx, choice)
    requirements = _requirements(rctx, source, packages, choice)
    if requirements.problem:
        rctx.file("BUILD.bazel", failing_text(["modules", "wheel"], requirements.problem))
        return
    rctx.file("BUILD.bazel", wheel_build_text(
        rctx,
        _BUILD,
        choice["python_version"],
        platform = rctx.attr.platform,
        requirements = requirements.labels,
        size = int(
            _run(
                rctx,
                [rctx.read(rctx.attr.interpreter), "-I", "-S", "-c", _SIZE, source],
                "cannot read the source archive",
            ),
        ),
        source = source,
        subfolder = rctx.attr.subdirectory,
    ))

# Fetches the source of a release or a commit, and declares the target that builds a wheel from the source. The package
# hub `build_hub` provides the packages that the build requires, `build_packages`; error messages contain `build_lock`.
# `commit` and `git` are empty if the source is an archive. The file `interpreter` contains the path to the toolchain's
# interpreter.
source_repo = repository_rule(
    implementation = _source_repo_impl,
    attrs = RELEASE_ATTRIBUTES | {
        "build_hub": attr.string(mandatory = True),
        "build_lock": attr.string(mandatory = True),
        "build_packages": attr.string_list(mandatory = True),
        "commit": attr.string(),
        "git": attr.string(),
        "interpreter": attr.label(mandatory = True),
        "subdirectory": attr.string(),
    },
)
