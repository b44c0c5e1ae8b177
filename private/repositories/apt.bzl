"""Declares the repositories of a lock of Debian packages: one for each package file, and a package hub.

Bazel fetches a file only if a build needs the file. A lock contains no server names. A file comes from Bazel's
repository cache, from the mirrors
of the tag, or from the mirrors in the host's apt configuration. The hash in the lock verifies the file."""

load("//private:attributes.bzl", "minor_version")
load("//private:versions.bzl", "PYTHON_VERSIONS")
load(
    ":build_text.bzl",
    "PUBLIC",
    "load_text",
    "platform_cases",
    "select_text",
    "target_text",
    "url_problem",
    "without_secrets",
)
load(":fetch.bzl", "mark_reproducible", "probe_cache")
load(":lock_shapes.bzl", "deb_lock_problem")

_FORMAT = 1

# Default name of a lock, after the name of the bento_debs target.
_LOCK = ".lock.json"

# Debian's name of an architecture to the platform.
DEBIAN_PLATFORMS = {name: "linux_" + name for name in ["amd64", "arm64"]}

_APT_HELPER = "/usr/lib/apt/apt-helper"

# File and directory with the configured sources of apt.
_APT_FILE = "/etc/apt/sources.list"
_APT_DIRECTORY = "/etc/apt/sources.list.d"
_SUITES = [
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
]
_SECURITY = "-security"

# The file of a package, without its dependencies.
_FILE = "file"

def _split(text):
    return [word for word in text.replace("\t", " ").split(" ") if word]

def _field(line, name):
    """Returns the values of the field `name` in a line of a deb822 file, or None if the line has another field."""
    key, colon, value = line.partition(":")
    return _split(value) if colon and key.strip().lower() == name else None

def _deb822_sources(text):
    """Returns the (URL, suites) pairs that a `*.sources` file contains."""
    sources = []
    for stanza in text.replace("\r", "").split("\n\n"):
        uris, suites = [], []
        for line in stanza.split("\n"):
            uris = _field(line, "uris") or uris
            suites = _field(line, "suites") or suites
        sources += [(uri, suites) for uri in uris]
    return sources

def _one_line_sources(text):
    """Returns the (URL, suites) pairs that a `*.list` file contains."""
    sources = []
    for line in text.split("\n"):
        if line.startswith("deb "):
            # Options in brackets can follow the first word.
            fields = _split(line[4:].rpartition("]")[2])
            sources += [(fields[0], fields[1:2])] if len(fields) > 1 else []
    return sources

def _sources_of_files(rctx):
    sources = []
    parts = rctx.path(_APT_DIRECTORY)
    for file in [rctx.path(_APT_FILE)] + (sorted(parts.readdir(), key = str) if parts.exists else []):
        if file.exists and file.basename.endswith(".sources"):
            sources += _deb822_sources(rctx.read(file))
        elif file.exists and file.basename.endswith(".list"):
            sources += _one_line_sources(rctx.read(file))
    return sources

def _sources(rctx):
    """Returns the (URL, suites) pairs in the host's apt configuration.

    They come from apt-get or, if it lists none, from the files.
    """
    apt = rctx.which("apt-get")
    if apt:
        done = rctx.execute([
            apt,
            "indextargets",
            "--no-release-info",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        ])
        targets = [line.split(" ") for line in done.stdout.strip().split("\n")]
        sources = [(target[0], [target[1]]) for target in targets if len(target) == 3 and target[2] == "main"]
        if sources:
            return sources
    return _sources_of_files(rctx)

def _host_mirrors_repo_impl(rctx):
    main, security = {}, {}
    for uri, suites in _sources(rctx):
        for suite in suites:
            if suite.removesuffix(_SECURITY) in _SUITES:
                (security if suite.endswith(_SECURITY) else main)[uri.rstrip("/")] = True

    # On a mirror, both archives are in the same parent directory.
    security |= {uri + _SECURITY: True for uri in main}
    rctx.watch(_APT_FILE)
    if rctx.path(_APT_DIRECTORY).exists:
        rctx.watch_tree(_APT_DIRECTORY)
    rctx.file("BUILD.bazel", "")
    rctx.file("mirrors.json", json.encode({"debian": main.keys(), "debian-security": security.keys()}))

# Writes `mirrors.json`: the URLs of the host's apt mirrors for each Debian archive. Thus apt-get runs once, instead of
# once for each package.
host_mirrors_repo = repository_rule(
    implementation = _host_mirrors_repo_impl,
)

def _fetch_with_apt(rctx, url, filename):
    """Downloads a file with apt, which uses its own proxies and credentials. Returns the error, or None."""
    done = rctx.execute(
        [_APT_HELPER, "download-file", url, "download/" + filename, "SHA256:" + rctx.attr.sha256],
        timeout = 3600,
    )
    if done.return_code:
        errors = [line for line in done.stderr.split("\n") if line.startswith("E: ")]
        return without_secrets(" ".join(errors[:1] or [done.stderr.strip()]))
    staged = rctx.path("download/" + filename)
    rctx.download(url = "file://{}".format(staged), output = filename, sha256 = rctx.attr.sha256)
    rctx.delete("download")
    return None

def _fetch(rctx, filename):
    configured = [mirror.replace("{archive}", rctx.attr.archive).rstrip("/") for mirror in rctx.attr.mirrors]
    mirrors = configured or json.decode(
        rctx.read(Label("@bento_host_mirrors//:mirrors.json"), watch = "no"),
    )[rctx.attr.archive]
    urls = ["{}/{}".format(mirror, rctx.attr.filename) for mirror in mirrors]
    if not urls:
        fail(
            ("@{}: cannot fetch {}: no Debian mirror is configured on this machine. Set mirrors = [\"https://...\"] " +
             "in the tag that sets the lock (bento_files.apt or bento_tools).").format(rctx.attr.hub, filename),
        )
    rctx.report_progress("fetching {}".format(filename))
    problems = []
    if not configured and rctx.path(_APT_HELPER).exists:
        rctx.file("download/.empty")
        for url in urls:
            problem = _fetch_with_apt(rctx, url, filename)
            if not problem:
                return
            problems.append(problem)
    elif rctx.download(url = urls, output = filename, sha256 = rctx.attr.sha256, allow_fail = True).success:
        return
    fail((
        "@{}: cannot fetch {} (SHA-256: {}) from {}.\nMirrors keep only the newest version. {}, or set " +
        "mirrors = [\"https://...\"] (a snapshot mirror) of the bento_files.apt or bento_tools tag.\n{}"
    ).format(
        rctx.attr.hub,
        filename,
        rctx.attr.sha256,
        without_secrets(" or ".join(mirrors)),
        rctx.attr.refresh,
        "\n".join(problems),
    ))

def _deb_repo_impl(rctx):
    filename = rctx.attr.filename.rpartition("/")[2]
    if not probe_cache(rctx, filename, rctx.attr.sha256):
        _fetch(rctx, filename)
    alias = target_text("alias", actual = filename, name = "deb", visibility = PUBLIC)
    rctx.file("BUILD.bazel", target_text("exports_files", srcs = [filename], visibility = PUBLIC) + alias)
    return mark_reproducible(rctx)

# Fetches a Debian package of the `archive` `debian` or `debian-security`. `filename` is relative to the URL of a
# mirror. Error messages contain `refresh`, which describes how to update the lock.
_deb_repo = repository_rule(
    implementation = _deb_repo_impl,
    attrs = {
        "archive": attr.string(mandatory = True),
        "filename": attr.string(mandatory = True),
        "hub": attr.string(mandatory = True),
        "mirrors": attr.string_list(),
        "refresh": attr.string(mandatory = True),
        "sha256": attr.string(mandatory = True),
    },
)

def _repo_name(hub, package, architecture):
    # Repository names can't contain `+`. Package names don't contain `_`.
    return "{}__{}__{}".format(hub, package["name"].replace("+", "_"), architecture)

def _closure(names, by_name):
    """Returns the sorted names of packages and their transitive dependencies."""
    queue = list(names)
    seen = {}

    # Starlark has no `while`. Each iteration processes one package of the queue.
    for _ in range(1000000):
        if not queue:
            return sorted(seen)
        name = queue.pop()
        if name not in seen:
            seen[name] = True
            queue += by_name[name]["dependencies"]
    return fail(
        "the dependency graph of the Debian lock has more than 1,000,000 dependencies. Remove packages from the " +
        "bento_debs target, and update the lock.",
    )

def _upstream(version, numbers = 2):
    """Returns the first numbers of a Debian version, without its epoch."""
    upstream = version.partition(":")[2 if ":" in version else 0].partition("-")[0].partition("+")[0].partition("~")[0]
    return ".".join(upstream.split(".")[:numbers])

def _python_release(by_name):
    """Returns the version of the interpreter (`X.Y.Z`) among packages with `python3`, the package of the default."""
    default = by_name["python3"]["version"]
    own = by_name.get("python{}-minimal".format(_upstream(default)))
    return _upstream(own["version"] if own else default, 3)

_NO_MATCH = (
    "the Debian lock is for Linux on {}, but the build is for another platform. Set platform on the bento_image and " +
    "on the Bento, omit --platforms, or lock more architectures with bento_debs."
)

def _select(values):
    """Returns the text of a `select` over architectures for a BUILD file."""
    return select_text(
        {DEBIAN_PLATFORMS[key]: value for key, value in values.items()},
        _NO_MATCH.format(", ".join(values)),
    )

def _package(rctx, name, by_architecture, roots):
    """Returns the text of a target with packages and their transitive dependencies.

    `roots` is a dict of architecture to names.
    """
    compilers, debs, glibc, python = {}, {}, {}, {}
    for architecture, names in roots.items():
        by_name = by_architecture[architecture]
        closure = _closure(names, by_name)
        debs[architecture] = ["//{}:{}".format(each, _FILE) for each in closure]
        glibc[architecture] = _upstream(by_name["libc6"]["version"]) if "libc6" in closure else ""
        python[architecture] = _python_release(by_name) if "python3" in closure else ""
        version = minor_version(python[architecture])
        is_compiled = version in PYTHON_VERSIONS
        compilers[architecture] = "@rules_bento//toolchains/pythons:compilers_" + version if is_compiled else None
    return load_text("private:hub_rules.bzl", "deb_package", "deferred") + target_text(
        "deb_package",
        {
            "architecture": _select({architecture: architecture for architecture in roots}),
            "compilers": _select(compilers),
            "files": _select(debs),
            "glibc": _select(glibc),
            "python_version": _select(python),
        },
        hub = rctx.attr.hub,
        name = name,
        visibility = PUBLIC,
    )

def _deb_hub_repo_impl(rctx):
    hub = rctx.attr.hub
    by_architecture = {
        architecture: {package["name"]: package for package in packages}
        for architecture, packages in json.decode(rctx.attr.lock).items()
    }
    everything = {architecture: by_name.keys() for architecture, by_name in by_architecture.items()}
    rctx.file("BUILD.bazel", _package(rctx, "packages", by_architecture, everything) if everything else "")
    for name in sorted({name: True for names in everything.values() for name in names}):
        roots = {architecture: [name] for architecture, names in everything.items() if name in names}
        labels = {
            DEBIAN_PLATFORMS[architecture]: "@{}//:deb".format(
                _repo_name(hub, by_architecture[architecture][name], architecture),
            )
            for architecture in roots
        }
        file = target_text(
            "deferred",
            labels = platform_cases(labels),
            name = _FILE,
            visibility = ["//:__subpackages__"],
        )
        rctx.file("{}/BUILD.bazel".format(name), _package(rctx, name, by_architecture, roots) + file)
    return mark_reproducible(rctx)

# Declares a target for each Debian package of a lock, `@<hub>//<package>`, and a target for all packages,
# `@<hub>//:packages`. `lock` is JSON: the locked packages for each architecture.
_deb_hub_repo = repository_rule(
    implementation = _deb_hub_repo_impl,
    attrs = {
        "hub": attr.string(mandatory = True),
        "lock": attr.string(mandatory = True),
    },
)

def _read_deb_lock(mctx, lock):
    """Returns a struct of `packages` (dict of architecture to locked packages) and `problem` (an error, or None)."""
    if not mctx.path(lock).exists:
        mctx.watch(mctx.path(lock))
        return _invalid_deb_lock(
            "{} doesn't exist. Create an empty file, and run the bento_debs target with `bazel run`.".format(lock),
        )
    text = mctx.read(lock)

    # The lock is an empty file before the first run of the bento_debs target.
    content = json.decode(text, default = None) if text.strip() else {"deb_lock": _FORMAT, "packages": {}}
    if type(content) != "dict" or content.get("deb_lock") != _FORMAT:
        return _invalid_deb_lock(
            "{} isn't a Debian lock in format {}. Generate the lock with a bento_debs target.".format(lock, _FORMAT),
        )
    problem = deb_lock_problem(content)
    if problem:
        return _invalid_deb_lock(
            ("{}: {}. Restore the committed file, or empty the file and run the " +
             "bento_debs target with `bazel run`.").format(lock, problem),
        )
    for architecture in content["packages"]:
        if architecture not in DEBIAN_PLATFORMS:
            return _invalid_deb_lock(
                "{} contains the unknown architecture {}. Valid values: {}.".format(
                    lock,
                    architecture,
                    ", ".join(DEBIAN_PLATFORMS),
                ),
            )
    for architecture, packages in content["packages"].items():
        names = {package["name"]: True for package in packages}
        for package in packages:
            missing = [name for name in package["dependencies"] if name not in names]
            if missing:
                return _invalid_deb_lock(
                    ("{}: {} requires {}, which isn't in the lock. Update the lock with " +
                     "the bento_debs target.").format(lock, package["name"], missing[0]),
                )
    return struct(packages = content["packages"], problem = None)

def refresh_clause(lock):
    """Returns a clause for an error message that describes how to update a lock."""
    if str(lock).startswith("@@//") and lock.name.endswith(_LOCK):
        return "Update the lock: `bazel run {}.update`".format(str(lock).removeprefix("@@").removesuffix(_LOCK))
    if lock.repo_name == Label("//:MODULE.bazel").repo_name:
        return "Use a newer rules_bento or a lock of your own (bento_debs)"
    return "Update the lock with `bazel run` of its bento_debs target"

def _invalid_deb_lock(problem):
    return struct(packages = {}, problem = problem)

def declare_deb_files(mctx, *, hub, lock, mirrors):
    """Declares a repository for each package of a lock.

    Returns:
      A struct of `packages` (dict of architecture to locked packages) and `problem` (an error of the lock or mirrors,
      or None).
    """
    for mirror in mirrors:
        problem = url_problem("mirrors", mirror)
        if problem:
            return _invalid_deb_lock(problem)
    read = _read_deb_lock(mctx, lock)
    for architecture, packages in read.packages.items():
        for package in packages:
            _deb_repo(
                name = _repo_name(hub, package, architecture),
                archive = package["archive"],
                filename = package["filename"],
                hub = hub,
                mirrors = mirrors,
                refresh = refresh_clause(lock),
                sha256 = package["sha256"],
            )
    return read

def deb_files(hub, packages, architecture, names):
    """Returns a dict of name to label: packages in `names` and their transitive dependencies.

    Requires an earlier call of `declare_deb_files`.
    """
    by_name = {package["name"]: package for package in packages}
    return {
        name: "@{}//:{}".format(
            _repo_name(hub, by_name[name], architecture),
            by_name[name]["filename"].rpartition("/")[2],
        )
        for name in _closure(names, by_name)
    }

def declare_debs(mctx, tag):
    """Declares the repositories of a `bento_files.apt` tag. Returns an error, or None."""
    declared = declare_deb_files(mctx, hub = tag.name, lock = tag.lock, mirrors = tag.mirrors)
    if not declared.problem:
        _deb_hub_repo(name = tag.name, hub = tag.name, lock = json.encode(declared.packages))
    return declared.problem

apt_tag = tag_class(
    doc = "Declares a hub of the Debian packages of a lock: `@<name>//<package>` is a package with its " +
          "dependencies, and `@<name>//:packages` the complete lock.",
    attrs = {
        "lock": attr.label(
            doc = "Lock of a `bento_debs` target. Before the first run of the target, the file is empty.",
            mandatory = True,
        ),
        "mirrors": attr.string_list(
            doc = "URLs of mirrors, in which `{archive}` is `debian` or `debian-security`. Default: the mirrors of " +
                  "the host's apt.",
        ),
        "name": attr.string(doc = "Name of the package hub and of its repository.", mandatory = True),
    },
)
