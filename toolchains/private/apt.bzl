"""Debian packages of a lock: a repository for each file, fetched when a build asks for it, and a hub over them.

The lock names no host. A file comes from Bazel's repository cache, else from the mirrors that a module names, else from
the one that the host's apt uses; its hash says whether it is the right one.
"""

load(":build_text.bzl", "build_text", "select_text", "without_secrets")
load(":fetch.bzl", "mark_reproducible", "probe_cache")
load(":lock_shapes.bzl", "DEB_LOCK", "shape_problem")

_FORMAT = 1

# Debian's name of an architecture to ours of the platform.
PLATFORMS_OF_DEBIAN = {"amd64": "linux_x86_64", "arm64": "linux_aarch64"}

_APT_HELPER = "/usr/lib/apt/apt-helper"

# Where apt has its sources; tools/bazel has the host's /etc at /boot.
_APT_FOLDERS = ["/etc/apt", "/boot/apt"]
_SUITES = ["oldoldstable", "oldstable", "stable", "testing", "unstable", "bullseye", "bookworm", "trixie", "forky", "sid"]
_SECURITY = "-security"

_DEB_BUILD = """\
exports_files([{file}], visibility = ["//visibility:public"])

alias(
    name = "deb",
    actual = {file},
    visibility = ["//visibility:public"],
)
"""

_PACKAGE = """\
load("@rules_bento//rules/private:hub_rules.bzl", "deb_package")

deb_package(
    name = {name},
    architecture = {architecture},
    files = {files},
    glibc = {glibc},
    hub = {hub},
    python_version = {python_version},
    visibility = ["//visibility:public"],
)
"""

def _words(text):
    return [word for word in text.replace("\t", " ").split(" ") if word]

def _field(line, name):
    """Returns the words of a field in a deb822 file, or None."""
    key, colon, value = line.partition(":")
    return _words(value) if colon and key.strip().lower() == name else None

def _deb822_sources(text):
    """Returns the (address, suites) of a file `*.sources`."""
    found = []
    for stanza in text.replace("\r", "").split("\n\n"):
        uris, suites = [], []
        for line in stanza.split("\n"):
            uris = _field(line, "uris") or uris
            suites = _field(line, "suites") or suites
        found += [(uri, suites) for uri in uris]
    return found

def _one_line_sources(text):
    """Returns the (address, suites) of a file `*.list`."""
    found = []
    for line in text.split("\n"):
        if line.startswith("deb "):
            # Options stand in brackets behind the first word.
            words = _words(line[4:].rpartition("]")[2])
            found += [(words[0], words[1:2])] if len(words) > 1 else []
    return found

def _sources_of_files(rctx):
    found = []
    for folder in _APT_FOLDERS:
        files = [rctx.path(folder + "/sources.list")]
        parts = rctx.path(folder + "/sources.list.d")
        files += sorted(parts.readdir(), key = str) if parts.exists else []
        for file in files:
            if file.exists and file.basename.endswith(".sources"):
                found += _deb822_sources(rctx.read(file))
            elif file.exists and file.basename.endswith(".list"):
                found += _one_line_sources(rctx.read(file))
    return found

def _sources(rctx):
    """Returns the (address, suites) that apt on this host is set up for."""
    apt = rctx.which("apt-get")
    if apt:
        done = rctx.execute([apt, "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
        words = [line.split(" ") for line in done.stdout.strip().split("\n")]
        found = [(line[0], [line[1]]) for line in words if len(line) == 3 and line[2] == "main"]
        if found:
            return found
    return _sources_of_files(rctx)

def _host_mirrors(rctx, archive):
    """Returns the mirrors of an archive that the host's apt uses."""
    main, security = {}, {}
    for uri, suites in _sources(rctx):
        for suite in suites:
            if suite.removesuffix(_SECURITY) in _SUITES:
                (security if suite.endswith(_SECURITY) else main)[uri.rstrip("/")] = True
    if archive.endswith(_SECURITY):
        # Where a mirror has the one archive, it has the other beside it.
        return (security | {uri + _SECURITY: True for uri in main}).keys()
    return main.keys()

def _fetch_with_apt(rctx, url, filename):
    """Lets apt download a file, with its proxies and credentials; returns the error, or None."""
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
    given = [mirror.replace("{archive}", rctx.attr.archive).rstrip("/") for mirror in rctx.attr.mirrors]
    mirrors = given or _host_mirrors(rctx, rctx.attr.archive)
    urls = ["{}/{}".format(mirror, rctx.attr.filename) for mirror in mirrors]
    if not urls:
        fail("{}: no mirror of Debian is known here. Name one: bento.apt(name = \"{}\", mirrors = [\"https://...\"])".format(filename, rctx.attr.hub))
    rctx.report_progress("fetching {}".format(filename))
    problems = []
    if not given and rctx.path(_APT_HELPER).exists:
        rctx.file("download/.empty")
        for url in urls:
            problem = _fetch_with_apt(rctx, url, filename)
            if not problem:
                return
            problems.append(problem)
    elif rctx.download(url = urls, output = filename, sha256 = rctx.attr.sha256, allow_fail = True).success:
        return
    fail("""{} with sha256 {} cannot be had from {}.
Mirrors keep only the newest version. If this one has left them, lock again (`bazel run` the bento_debs target), or name a snapshot that has it: bento.apt(name = "{}", mirrors = ["https://..."]).
{}""".format(filename, rctx.attr.sha256, without_secrets(" or ".join(mirrors)), rctx.attr.hub, "\n".join(problems)))

def _deb_repo_impl(rctx):
    filename = rctx.attr.filename.rpartition("/")[2]
    if not probe_cache(rctx, filename, rctx.attr.sha256):
        _fetch(rctx, filename)
    rctx.file("BUILD.bazel", build_text(_DEB_BUILD, file = filename))
    return mark_reproducible(rctx)

_deb_repo = repository_rule(
    implementation = _deb_repo_impl,
    doc = "One Debian package.",
    attrs = {
        "archive": attr.string(doc = "The archive that has it: `debian` or `debian-security`.", mandatory = True),
        "filename": attr.string(doc = "Its path on a mirror of the archive.", mandatory = True),
        "hub": attr.string(doc = "Name of the hub that it belongs to.", mandatory = True),
        "mirrors": attr.string_list(doc = "Mirrors to take it from; `{archive}` in them stands for the archive. Default: that of the host's apt."),
        "sha256": attr.string(doc = "Its hash, hexadecimal.", mandatory = True),
    },
)

def _repo_name(hub, package, architecture):
    # A `+` may not be in the name of a repository, a `_` is never in the name of a package.
    return "{}__{}__{}".format(hub, package["name"].replace("+", "_"), architecture)

def _closure(names, by_name):
    """Returns the names of packages with all that they depend on, sorted."""
    queue = list(names)
    seen = {}

    # Starlark has no `while`; each turn takes one package of the queue.
    for _ in range(1000000):
        if not queue:
            return sorted(seen)
        name = queue.pop()
        if name not in seen:
            seen[name] = True
            queue += by_name[name]["dependencies"]
    return fail("the lock has no end")

def _upstream(version):
    """Returns the first two numbers of a version without its epoch."""
    return ".".join(version.partition(":")[2 if ":" in version else 0].partition("-")[0].split(".")[:2])

_NO_MATCH = "the lock of Debian packages is for linux on {}, and this build for another platform: set platform of the bento_image and of its Bento, " + \
            "leave --platforms out, or lock more architectures with bento_debs"

def _select(values):
    """Returns the text of a select over architectures."""
    return select_text({PLATFORMS_OF_DEBIAN[key]: value for key, value in values.items()}, _NO_MATCH.format(", ".join(values)))

def _package(hub, name, by_architecture, roots):
    """Returns the text of a target for packages and what they depend on; `roots` by architecture."""
    debs, glibc, python = {}, {}, {}
    for architecture, names in roots.items():
        by_name = by_architecture[architecture]
        closure = _closure(names, by_name)
        debs[architecture] = ["@{}//:deb".format(_repo_name(hub, by_name[each], architecture)) for each in closure]
        glibc[architecture] = _upstream(by_name["libc6"]["version"]) if "libc6" in closure else ""
        python[architecture] = _upstream(by_name["python3"]["version"]) if "python3" in closure else ""
    return build_text(
        _PACKAGE,
        {
            "architecture": _select({architecture: architecture for architecture in roots}),
            "files": _select(debs),
            "glibc": _select(glibc),
            "python_version": _select(python),
        },
        hub = hub,
        name = name,
    )

def _deb_hub_repo_impl(rctx):
    hub = rctx.attr.hub
    by_architecture = {
        architecture: {package["name"]: package for package in packages}
        for architecture, packages in json.decode(rctx.attr.lock).items()
    }
    everything = {architecture: by_name.keys() for architecture, by_name in by_architecture.items()}
    rctx.file("BUILD.bazel", _package(hub, "packages", by_architecture, everything) if everything else "")
    for name in sorted({name: True for names in everything.values() for name in names}):
        roots = {architecture: [name] for architecture, names in everything.items() if name in names}
        rctx.file("{}/BUILD.bazel".format(name), _package(hub, name, by_architecture, roots))
    return mark_reproducible(rctx)

_deb_hub_repo = repository_rule(
    implementation = _deb_hub_repo_impl,
    doc = "The packages of a lock, each with what it depends on: `@<hub>//<package>`, and `@<hub>//:packages` for all.",
    attrs = {
        "hub": attr.string(doc = "Its name.", mandatory = True),
        "lock": attr.string(doc = "The packages of the lock by architecture, JSON.", mandatory = True),
    },
)

def declare_deb_files(mctx, *, hub, lock, mirrors, tag):
    """Declares a repository for each package of a lock; none is fetched by that.

    Args:
      mctx: the module context.
      hub: what their names begin with.
      lock: label of the lock.
      mirrors: see `apt_tag`.
      tag: what names the lock, as messages call it.

    Returns:
      The packages of the lock by architecture.
    """
    text = mctx.read(lock)

    # Before the first resolution there is nothing in it.
    content = json.decode(text, default = None) if text.strip() else {"deb_lock": _FORMAT, "packages": {}}
    if type(content) != "dict" or content.get("deb_lock") != _FORMAT:
        fail("{}: {} is not a lock of Debian packages in format {}; write it with a bento_debs target".format(tag, lock, _FORMAT))
    problem = shape_problem(content, DEB_LOCK)
    if problem:
        fail("{}: {}: {}. Take the file as it was committed, or empty it and lock again.".format(tag, lock, problem))
    for architecture, packages in content["packages"].items():
        if architecture not in PLATFORMS_OF_DEBIAN:
            fail("{}: {} is for {}; known are {}".format(tag, lock, architecture, ", ".join(PLATFORMS_OF_DEBIAN)))
        for package in packages:
            _deb_repo(
                name = _repo_name(hub, package, architecture),
                archive = package["archive"],
                filename = package["filename"],
                hub = hub,
                mirrors = mirrors,
                sha256 = package["sha256"],
            )
    return content["packages"]

def deb_files(hub, packages, architecture, names):
    """Returns the files of packages that `declare_deb_files` has declared, with all that they depend on.

    Args:
      hub: what the names of the repositories begin with.
      packages: the packages of the lock for the architecture.
      architecture: Debian's name of it.
      names: of the packages that are wanted.

    Returns:
      Name to label, both strings.
    """
    by_name = {package["name"]: package for package in packages}
    return {
        name: "@{}//:{}".format(_repo_name(hub, by_name[name], architecture), by_name[name]["filename"].rpartition("/")[2])
        for name in _closure(names, by_name)
    }

def declare_debs(mctx, tag):
    """Declares the repositories of a lock of Debian packages; none is fetched by that.

    Args:
      mctx: the module context.
      tag: the tag `bento.apt`.
    """
    packages = declare_deb_files(
        mctx,
        hub = tag.name,
        lock = tag.lock,
        mirrors = tag.mirrors,
        tag = "bento.apt(name = \"{}\")".format(tag.name),
    )
    _deb_hub_repo(name = tag.name, hub = tag.name, lock = json.encode(packages))

apt_tag = tag_class(
    doc = "A hub of the Debian packages of a lock: `@<name>//<package>` with what it depends on, `@<name>//:packages` for all.",
    attrs = {
        "lock": attr.label(doc = "The lock that a `bento_debs` target writes; an empty file before the first time.", mandatory = True),
        "mirrors": attr.string_list(doc = "Where packages are fetched from, a list of alternatives; `{archive}` in them stands for `debian` or `debian-security`. Default: the mirror that the host's apt uses."),
        "name": attr.string(doc = "Name of the hub.", mandatory = True),
    },
)
