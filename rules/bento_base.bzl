"""Defines bento_base, which builds an image base from Debian packages."""

load("//private:attributes.bzl", "json_pairs", "label_string", "minor_version")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "read_files", "run_leaf", "with_inputs")
load("//private:image_form.bzl", "write_form")
load("//private:layers.bzl", "COMPRESSIONS", "COMPRESSION_PACKAGES", "write_ztoc")
load("//private:providers.bzl", "BentoCompilersInfo", "BentoPythonInfo")
load("//private:versions.bzl", "PYTHON_VERSIONS")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoDebInfo", "BentoLayerInfo")

_ENV = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_EXCLUDES = [
    "/usr/share/bug/*",
    "/usr/share/doc-base/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
]
_INCLUDES = ["/usr/share/doc/*/copyright"]
_CREATED = "1980-01-01T00:00:00+00:00"
_OS = "linux"
_PYTHON = "/usr/bin/python3"

# Path of an interpreter of rules_python. py/rules_bento/images/debian/interpreter.py installs it.
_INSTALLED_PYTHON = "/usr/local/bin/python3"
_USERS = {"bentoml": "1034", "nonroot": "65532"}

# Third-party packages that the helper imports. Some distributions compress .deb files with zstd.
_PACKAGES = ["zstandard"]

def _one_of(ctx, what, values):
    """Returns the only distinct nonempty value, or an empty string if there is none.

    Fails with an error about `what` if values differ.
    """
    distinct = sorted({value: True for value in values if value})
    if len(distinct) > 1:
        fail(
            "{}: the packages and the base layers have different {}: {}. Use packages from one lock.".format(
                label_string(ctx.label),
                what,
                " and ".join(distinct),
            ),
        )
    return (distinct + [""])[0]

def _layer(ctx, name):
    """Declares the files of a layer, without the action that writes them. Returns a BentoLayerInfo."""
    blob = ctx.actions.declare_file("{}.layer.{}".format(name, ctx.attr.compression))
    description = ctx.actions.declare_file(name + ".layer.json")
    return BentoLayerInfo(
        blob = blob,
        description = description,
        ztoc = write_ztoc(ctx, blob.basename, ctx.attr.compression, [description, blob]),
    )

def _compiler_flags(ctx, targets, release):
    """Returns the flags for the interpreter that compiles the Python `release` (`X.Y.Z`) in a layer.

    `targets` provide compilers. With a compiler of another release, images fail unless they have no bytecode. The
    version of an interpreter without a hash depends on the machine, so it doesn't compile.
    """
    infos = [target[BentoCompilersInfo] for target in targets if BentoCompilersInfo in target]
    own = [python for info in infos for python in info.pythons]
    for python in own + [ctx.toolchains[TOOLCHAIN_TYPE].python]:
        if python.interpreter and python.version == release:
            return {"--compiler": with_inputs((python.interpreter, ctx.file._bytecode_program), python.files)}
    return {}

def _write(ctx, architecture, files, lower, release):
    """Declares the layer, its description, and its package index, and the action that writes them.

    `release` is the version of Python among the packages. Returns a BentoLayerInfo and the index's File.
    """
    layer = _layer(ctx, ctx.label.name)
    outputs = run_leaf(
        ctx,
        "deb_layer",
        _compiler_flags(ctx, ctx.attr.packages, release) | {
            "--architecture": architecture,
            "--certificate": ctx.files.certificates,
            "--compression": ctx.attr.compression,
            "--deb": read_files(files),
            "--exclude": ctx.attr.excludes,
            "--include": ctx.attr.includes,
            "--lower": [info.deb_index for info in lower],
            "--symlink": json_pairs(ctx.attr.symlinks),
            "--user": json_pairs(ctx.attr.users),
        },
        mnemonic = "BentoDebLayer",
        outputs = {"--output": layer.blob, "--description": layer.description, "--index": ".debs.json"},
        packages = _PACKAGES + COMPRESSION_PACKAGES[ctx.attr.compression],
        progress_message = "Installing Debian packages of %{label}",
    )
    return layer, outputs[2]

def _interpreter(ctx, version, platform):
    """Returns the BentoPythonInfo of rules_python's interpreter for `python_version`, or None.

    Fails if an image can't contain it.

    Args:
      ctx: context of the rule.
      version: version of the Python among the packages and in `base`, or an empty string.
      platform: operating system and architecture of the image.
    """
    required = ctx.attr.python_version
    if ctx.attr.python or not required:
        return None
    if not ctx.attr._interpreter:
        fail(
            "{}: unsupported python_version \"{}\". Valid values: {}.".format(
                label_string(ctx.label),
                required,
                ", ".join(PYTHON_VERSIONS),
            ),
        )
    place = "{}: python_version = \"{}\" installs the interpreter of rules_python".format(
        label_string(ctx.label),
        required,
    )
    if version:
        fail(
            ("{}, but the packages or the base include Python {}. Remove " +
             "python_version, or the package python3.").format(place, version),
        )
    python = ctx.attr._interpreter[BentoPythonInfo]
    if minor_version(python.version) not in ("", required):
        fail(
            "{}, which has Python {}. Add python.toolchain(python_version = \"{}\") to MODULE.bazel.".format(
                place,
                python.version,
                required,
            ),
        )
    if not python.interpreter or python.interpreter.extension == "sh":
        host = "its toolchain for {} is the Python of this machine{}, which isn't a file with a hash"
        reason = host if python.interpreter or python.interpreter_path else "it has no toolchain for {}{}"
        fail(("{}, but {}. Add python.toolchain(python_version = \"{}\") to MODULE.bazel, or use Debian's package " +
              "python3 instead of python_version.").format(
            place,
            reason.format(platform, " ({})".format(python.interpreter_path) if python.interpreter_path else ""),
            required,
        ))
    return python

def _write_interpreter(ctx, python, *, architecture, glibc, index):
    """Declares the layer with an interpreter of rules_python above the packages in `index`.

    Returns a BentoLayerInfo and the File of its index.
    """
    layer = _layer(ctx, ctx.label.name + ".interpreter")
    outputs = run_leaf(
        ctx,
        "interpreter_layer",
        _compiler_flags(ctx, [ctx.attr._compilers], python.version) | {
            "--architecture": architecture,
            "--compression": ctx.attr.compression,
            "--file": read_files(python.files),
            "--glibc": glibc,
            "--lower": index,
            "--program": python.interpreter,
            "--python-version": ctx.attr.python_version,
        },
        mnemonic = "BentoInterpreterLayer",
        outputs = {"--output": layer.blob, "--description": layer.description, "--index": ".interpreter.index.json"},
        packages = COMPRESSION_PACKAGES[ctx.attr.compression],
        progress_message = "Installing Python into %{label}",
    )
    return layer, outputs[2]

def _lower(ctx):
    """Returns the BentoBaseInfo in `base` as a list; empty without `base`.

    Fails if the packages of the base are unknown.
    """
    lower = [ctx.attr.base[BentoBaseInfo]] if ctx.attr.base else []
    for info in lower:
        if not info.deb_index:
            fail(
                ("{}: base {} isn't a bento_base, so its Debian packages are unknown. Use a bento_base, or remove " +
                 "base.").format(label_string(ctx.label), info.name),
            )
    return lower

def _write_image(ctx, settings, layers):
    """Declares an image of only the base. Returns the Files of the base's config and of an OCI layout.

    Images that the `bento` command builds on the layout record its digest, so images of rules also do.
    """
    own = ctx.actions.declare_file(ctx.label.name + ".settings.json")
    ctx.actions.write(own, json.encode(settings))
    base, config, _, manifest = run_leaf(
        ctx,
        "model_image",
        {
            "--annotation": json_pairs({"org.opencontainers.image.title": ctx.label.name}),
            "--base-config": own,
            "--created": _CREATED,
            "--format": "image",
            "--layer": [layer.description for layer in layers],
        },
        mnemonic = "BentoBaseImage",
        outputs = {
            "--base": ".base.json",
            "--config": ".image.config",
            "--digest": ".image.digest",
            "--manifest": ".image.manifest",
        },
        progress_message = "Assembling base image %{label}",
    )
    return base, write_form(ctx, struct(config = config, manifest = manifest), layers, "oci_layout")

def _bento_base_impl(ctx):
    debs = [target[BentoDebInfo] for target in ctx.attr.packages]
    lower = _lower(ctx)
    architecture = _one_of(ctx, "architectures", [info.architecture for info in debs + lower])
    python_version = _one_of(ctx, "versions of Python", [minor_version(info.python_version) for info in debs + lower])
    releases = [info.python_version for info in debs] + [info.python_release for info in lower]
    interpreter = _interpreter(ctx, python_version, "{} {}".format(_OS, architecture))
    python = ctx.attr.python or (_INSTALLED_PYTHON if interpreter else ([info.python for info in lower] + [_PYTHON])[0])
    python_version = ctx.attr.python_version or python_version
    if not python_version:
        fail(
            ("{}: the packages don't include python3. Add python3 to the packages, or set python_version, which " +
             "installs the interpreter of rules_python.").format(label_string(ctx.label)),
        )
    glibc = _one_of(ctx, "versions of glibc", [info.glibc for info in debs + lower])
    files = depset(transitive = [info.files for info in debs])
    layer, index = _write(ctx, architecture, files, lower, max([info.python_version for info in debs] + [""]))
    layers = [each for info in lower for each in info.layers] + [layer]
    if interpreter:
        layer, index = _write_interpreter(ctx, interpreter, architecture = architecture, glibc = glibc, index = index)
        layers.append(layer)
    env = ([info.env for info in lower] + [_ENV])[0] | ctx.attr.env
    config, layout = _write_image(ctx, {"architecture": architecture, "env": env, "os": _OS}, layers)
    return [
        BentoBaseInfo(
            architecture = architecture,
            config = config,
            deb_index = index,
            env = env,
            glibc = glibc,
            hub = ([info.hub for info in lower + debs] + [""])[0],
            layers = tuple(layers),
            libraries = None,
            name = label_string(ctx.label),
            python = python,
            python_release = "" if ctx.attr.python else max([interpreter.version] if interpreter else releases + [""]),
            python_version = python_version,
            system = None,
        ),
        DefaultInfo(files = depset([config] + [each.description for each in layers])),
        OutputGroupInfo(
            index = depset([index]),
            layer = depset([layer.blob]),
            oci_layout = depset([layout]),
        ),
    ]

def _compilers_label(python, python_version):
    return _label("compilers_", python, python_version)

def _interpreter_label(python, python_version):
    return _label("", python, python_version)

def _label(kind, python, python_version):
    """Returns the label of rules_python's interpreter, or of its compilers, if only `python_version` is set.

    A base with another Python must not fetch it.
    """
    is_own = python_version in PYTHON_VERSIONS and not python
    return Label("//toolchains/pythons:{}{}".format(kind, python_version)) if is_own else None

bento_base = rule(
    implementation = _bento_base_impl,
    doc = """Builds an image base from locked Debian packages, without running code from the packages.

```starlark
bento_base(
    name = "python",
    packages = ["@debian//base-files", "@debian//python3"],
)
```

For the Python of `pip.parse`, install its interpreter with `python_version`, without the package `python3`. The layer
includes dependencies, and dpkg's database for scanners. Maintainer scripts don't run: the rule creates users,
certificates, `/tmp`, and `nsswitch.conf`. Output groups: `oci_layout` (for `--base` of `bento image`), `layer` (the
top layer), and `index` (its files and packages).""",
    attrs = {
        "base": attr.label(
            doc = "Another `bento_base`, to which this target adds packages.",
            providers = [BentoBaseInfo],
        ),
        "certificates": attr.label_list(
            allow_files = [".crt", ".pem"],
            doc = "PEM files of certificate authorities to trust, in addition to `ca-certificates`.",
        ),
        "compression": attr.string(default = "gzip", doc = "Compression of the layer.", values = COMPRESSIONS),
        "excludes": attr.string_list(
            default = _EXCLUDES,
            doc = "Paths to exclude, as in dpkg's `path-exclude`: absolute patterns in which `*` also matches slashes.",
        ),
        "includes": attr.string_list(default = _INCLUDES, doc = "Paths to include even if `excludes` matches them."),
        "env": attr.string_dict(
            doc = "Environment variables of the container, in addition to `LANG`, `PATH`, and the variables of `base`.",
        ),
        "packages": attr.label_list(
            doc = "Packages of a `bento_files.apt` hub.",
            mandatory = True,
            providers = [BentoDebInfo],
        ),
        "python": attr.string(
            doc = "Absolute path to the Python interpreter. Default: the path in `base`, otherwise `/usr/bin/python3`.",
        ),
        "python_version": attr.string(
            doc = "Version (`X.Y`) of the interpreter of rules_python to install in `/usr/local`; with `python`, " +
                  "the version of that interpreter. Default: the version of the package `python3`, or of `base`.",
        ),
        "symlinks": attr.string_dict(
            doc = "Additional symbolic links, from path to target: `{\"/usr/bin/python\": \"python3\"}`.",
        ),
        "users": attr.string_dict(
            default = _USERS,
            doc = "Users to add, from name to ID, each with a group and a home directory. Ignored if `base` is set.",
        ),
        "_bytecode_program": attr.label(
            allow_single_file = True,
            default = "//py:rules_bento/images/wheels/bytecode_program.py",
        ),
        "_compilers": attr.label(default = _compilers_label, providers = [BentoCompilersInfo]),
        "_interpreter": attr.label(default = _interpreter_label, providers = [BentoPythonInfo]),
    },
    provides = [BentoBaseInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
