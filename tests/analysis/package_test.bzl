"""What bento_package and bento_model declare: providers, outputs, and the inputs of each action."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts", "loadingtest")
load("//rules:providers.bzl", "BentoImageInfo", "BentoInfo", "BentoModelInfo")

_HELPER_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]

def _names(files):
    return sorted([file.basename for file in files])

def _action(env, mnemonic):
    found = [action for action in analysistest.target_actions(env) if action.mnemonic == mnemonic]
    asserts.equals(env, 1, len(found), "number of {} actions".format(mnemonic))
    return found[0]

def _own_inputs(action):
    """The inputs of an action without the helper, its packages and its interpreter."""
    return sorted([
        file.basename
        for file in action.inputs.to_list()
        if not (file.basename == "helper.zip" or file.basename.endswith(".params")) and "/site-packages/" not in file.path and "/helper_packages/" not in file.path and "/cpython/" not in file.path and "python_3_" not in file.path and "/packed_python/" not in file.path
    ])

def _outputs_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    asserts.equals(env, ["bento.bento"], _names(target[DefaultInfo].files.to_list()))
    groups = target[OutputGroupInfo]
    asserts.equals(env, ["bento.bento.yaml"], _names(groups.bento_yaml.to_list()))
    asserts.equals(env, ["bento.digest"], _names(groups.digest.to_list()))
    asserts.equals(env, ["bento.manifest.json"], _names(groups.manifest.to_list()))
    asserts.equals(env, ["bento.tag"], _names(groups.tag.to_list()))
    for group, suffix in {"folder": "folder", "tar": "tar", "tar_gz": "tar.gz", "zip": "zip"}.items():
        [output] = getattr(groups, group).to_list()
        asserts.equals(env, "bento." + suffix, output.basename)
        asserts.equals(env, group == "folder", output.is_directory, "the one tree artifact is on request")
    return analysistest.end(env)

outputs_test = analysistest.make(_outputs_impl)

def _provider_impl(ctx):
    env = analysistest.begin(ctx)
    info = analysistest.target_under_test(env)[BentoInfo]
    asserts.equals(env, "bento.bento", info.archive.basename)
    asserts.equals(env, ["bento.metadata.part", "bento.sources.part"], [part.basename for part in info.parts])
    asserts.equals(env, ["model.model.json"], [model.description.basename for model in info.models.to_list()])
    return analysistest.end(env)

provider_test = analysistest.make(_provider_impl)

def _inputs_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(
        env,
        ["lib.py", "model.model.json", "service.py"],
        _own_inputs(_action(env, "BentoPackage")),
        "bento.yaml is written without a look at a model's bytes",
    )
    asserts.equals(
        env,
        ["bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part"],
        _own_inputs(_action(env, "BentoArchive")),
        "archives are joined from parts",
    )
    for action in analysistest.target_actions(env):
        if action.mnemonic == "BentoExport":
            asserts.equals(env, _own_inputs(_action(env, "BentoArchive")), _own_inputs(action), "and so are the other forms")
    return analysistest.end(env)

inputs_test = analysistest.make(_inputs_impl)

def _data_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(env, ["weights.bin"], _own_inputs(_action(env, "BentoData")), "no source has a say in what data are packed to")
    asserts.equals(
        env,
        ["with_data.data.part", "with_data.metadata.part", "with_data.sources.part"],
        _own_inputs(_action(env, "BentoArchive")),
    )
    info = analysistest.target_under_test(env)[BentoInfo]
    asserts.equals(env, ["gzip", "zstd"], sorted(info.data_layers))
    return analysistest.end(env)

data_test = analysistest.make(_data_impl)

def _reference_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    own = [output.basename for output in target[DefaultInfo].files.to_list()]
    asserts.equals(env, ["reference.bento"], own)
    archives = {
        action.outputs.to_list()[0].basename: [name for name in _own_inputs(action) if name.startswith("model.")]
        for action in analysistest.target_actions(env)
        if action.mnemonic in ("BentoArchive", "BentoExport")
    }
    asserts.equals(env, ["model.model.json", "model.model.part"], archives.pop("reference.whole.bento"), "who exports or pushes takes the models along")
    for name, models in archives.items():
        asserts.equals(env, [], models, name)
    info = target[BentoInfo]
    asserts.equals(env, "reference.whole.bento", info.archive.basename)
    asserts.equals(env, ["model.model.json"], [model.description.basename for model in info.models.to_list()], "images have its layer")
    runfiles = [file.basename for file in target[DefaultInfo].default_runfiles.files.to_list()]
    asserts.true(env, "model.model.part" in runfiles, "`bazel run` serves it")
    asserts.false(env, "reference.whole.bento" in runfiles, "`bazel build` would join it")
    return analysistest.end(env)

reference_test = analysistest.make(_reference_impl)

def _tool_impl(ctx):
    env = analysistest.begin(ctx)
    files = analysistest.target_under_test(env)[DefaultInfo].files.to_list()
    asserts.true(env, "pattern.py" in _names(files), "the files of a package are targets")
    [directory] = ctx.attr._tool[DefaultInfo].default_runfiles.files.to_list()
    asserts.equals(env, "site-packages", directory.basename)
    asserts.true(env, directory.is_directory, "tools of actions get one directory for each wheel")
    return analysistest.end(env)

tool_test = analysistest.make(_tool_impl, attrs = {"_tool": attr.label(cfg = "exec", default = "@pypi//pathspec")})

def _hermetic_impl(ctx):
    env = analysistest.begin(ctx)
    for action in analysistest.target_actions(env):
        if action.mnemonic.startswith("Bento"):
            asserts.equals(env, _HELPER_FLAGS, action.argv[1:1 + len(_HELPER_FLAGS)])
            asserts.equals(env, {}, dict(action.env))
    return analysistest.end(env)

hermetic_test = analysistest.make(_hermetic_impl)

def _model_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    asserts.equals(env, ["model.model.json"], _names(target[DefaultInfo].files.to_list()), "a model's default output is small")
    asserts.equals(env, "model.model.part", target[BentoModelInfo].archive_part.basename)
    asserts.equals(env, ["weights.bin"], _own_inputs(_action(env, "BentoModel")))
    described = [file.basename for file in _action(env, "BentoModel").outputs.to_list()]
    asserts.false(env, "model.model.part" in described, "images have no use for the part of archives")
    return analysistest.end(env)

model_test = analysistest.make(_model_impl)

def _model_layers_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    for compression in ["gzip", "zstd"]:
        layers = target[BentoModelInfo].layers[compression]
        found = []
        for layer in layers:
            [action] = [action for action in analysistest.target_actions(env) if layer.blob in action.outputs.to_list()]
            found.append(" ".join(_own_inputs(action)))
        asserts.equals(env, ctx.attr.inputs, found, "a layer depends on its own files alone, and the last on no weights")
    return analysistest.end(env)

model_layers_test = analysistest.make(
    _model_layers_impl,
    attrs = {"inputs": attr.string_list(doc = "Names of the files that each layer is made from.")},
)

def _held_models_impl(ctx):
    env = analysistest.begin(ctx)
    for mnemonic in ["BentoSbom", "BentoBuildDefinition"]:
        asserts.equals(env, ctx.attr.held, "model.model.json" in _own_inputs(_action(env, mnemonic)), mnemonic + " tells of what is in the image")
    layers = [layer.blob.basename for layer in analysistest.target_under_test(env)[BentoImageInfo].layers]
    asserts.equals(env, ctx.attr.held, "model.layer.gzip" in layers)
    return analysistest.end(env)

held_models_test = analysistest.make(
    _held_models_impl,
    attrs = {"held": attr.bool(doc = "Whether the image has the model itself.")},
)

def _bentofile_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(
        env,
        ["bentofile.yaml", "service.py", "setup.sh"],
        _own_inputs(_action(env, "BentoPackage")),
    )
    return analysistest.end(env)

bentofile_test = analysistest.make(_bentofile_impl)

def _has_modules(files):
    """Whether a module of BentoML's wheel is among files."""
    return any(["/_bentoml_sdk/" in file.path for file in files])

def _wheels(actions):
    """Whether an action has modules of the Bento's packages."""
    return any([_has_modules(action.inputs.to_list()) for action in actions])

def _imported_impl(ctx):
    env = analysistest.begin(ctx)
    action = _action(env, "BentoImportService")
    inputs = [name for name in _own_inputs(action) if name.startswith(("imported.", "model."))]
    asserts.equals(env, ["imported.sources.part", "imported.unread.json", "model.model.json", "model.model.part"], inputs)
    asserts.equals(env, ["imported.openapi.yaml", "imported.service.json"], _names(action.outputs.to_list()))
    asserts.true(env, _wheels([action]), "the service is imported with the packages of its requirements")
    others = [other for other in analysistest.target_actions(env) if other.mnemonic != "BentoImportService"]
    asserts.false(env, _wheels(others), "only importing needs them")
    inputs = [name for name in _own_inputs(_action(env, "BentoPackage")) if name.startswith("imported.")]
    asserts.equals(env, ["imported.service.json", "imported.sources.json"], inputs)
    asserts.equals(env, _HELPER_FLAGS, action.argv[1:1 + len(_HELPER_FLAGS)])
    asserts.equals(env, {}, dict(action.env))
    return analysistest.end(env)

imported_test = analysistest.make(_imported_impl)

def _read_impl(ctx):
    env = analysistest.begin(ctx)
    actions = analysistest.target_actions(env)
    asserts.equals(env, [], [action for action in actions if action.mnemonic == "BentoImportService"])
    asserts.false(env, _wheels(actions), "no wheel is fetched for a service that is read")
    files = analysistest.target_under_test(env)[DefaultInfo].default_runfiles.files.to_list()
    asserts.false(env, _has_modules(files))
    return analysistest.end(env)

read_test = analysistest.make(_read_impl)

_STATUS = ["stable-status.txt", "volatile-status.txt"]

def _stamped_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(env, ["stamped.metadata.part"] + _STATUS, sorted(_own_inputs(_action(env, "BentoStamp")), key = _status_last))
    asserts.equals(env, ["stamped.sources.part", "stamped.stamped.part"], _own_inputs(_action(env, "BentoArchive")))
    asserts.false(env, [name for name in _own_inputs(_action(env, "BentoPackage")) if name in _STATUS])
    parts = [part.basename for part in analysistest.target_under_test(env)[BentoInfo].parts]
    asserts.equals(env, ["stamped.metadata.part", "stamped.sources.part"], parts, "images have no stamp")
    return analysistest.end(env)

def _status_last(name):
    return (name in _STATUS, name)

stamped_test = analysistest.make(_stamped_impl, config_settings = {"//command_line_option:stamp": True})

def _unstamped_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.false(env, [action for action in analysistest.target_actions(env) if action.mnemonic == "BentoStamp"])
    asserts.equals(env, ["stamped.metadata.part", "stamped.sources.part"], _own_inputs(_action(env, "BentoArchive")))
    return analysistest.end(env)

unstamped_test = analysistest.make(_unstamped_impl)

def _carrying_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(env, ["carrying.metadata.part", "carrying.sources.part"], _own_inputs(_action(env, "BentoArchive")), "a test copies no wheel")
    asserts.false(env, [file.basename for file in _action(env, "BentoPackage").outputs.to_list() if file.extension == "bento"])
    return analysistest.end(env)

carrying_test = analysistest.make(_carrying_impl)

def _launchers_impl(ctx):
    env = analysistest.begin(ctx)
    files = [file.short_path for file in analysistest.target_under_test(env)[DefaultInfo].default_runfiles.files.to_list()]
    found = any(["/obstore/" in file for file in files])
    asserts.equals(env, ctx.attr.transports, found, "whether packages of transports are in the runfiles")
    return analysistest.end(env)

export_test = analysistest.make(_launchers_impl, attrs = {"transports": attr.bool(default = False)})

export_with_transports_test = analysistest.make(
    _launchers_impl,
    attrs = {"transports": attr.bool(default = True)},
    config_settings = {str(Label("//rules:transports")): True},
)

def _push_impl(ctx):
    env = analysistest.begin(ctx)
    files = [file.short_path for file in analysistest.target_under_test(env)[DefaultInfo].default_runfiles.files.to_list()]
    for part, signing in {
        ".build_definition.json": ["keyless", "signed"],
        "/cryptography/": ["keyless", "signed"],
        "/nacl/": ["signed"],
        "/sigstore/": ["keyless"],
    }.items():
        asserts.equals(env, ctx.attr.signing in signing, any([part in file for file in files]), part)
    return analysistest.end(env)

push_test = analysistest.make(_push_impl, attrs = {"signing": attr.string(mandatory = True)})

def _index_push_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    links = {link.path: link.target_file for link in target[DefaultInfo].default_runfiles.root_symlinks.to_list()}
    [action] = [action for action in analysistest.target_actions(env) if action.outputs.to_list()[0].basename.endswith(".contents.json")]
    images = json.decode(action.content)["index"]["images"]
    manifests = [links.get(image["manifest"]) for image in images]
    asserts.equals(env, 2, len({file.path: None for file in manifests}), "each platform has a manifest of its own")
    for image, manifest in zip(images, manifests):
        asserts.equals(env, manifest.root.path, links[image["config"]].root.path, "config and manifest are of one platform")
        for blob in image["blobs"]:
            asserts.true(env, blob["description"] in links, blob["description"])
    return analysistest.end(env)

index_push_test = analysistest.make(_index_push_impl)

def _run_environment_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    info = target[RunEnvironmentInfo]
    asserts.equals(env, {"WEIGHTS": ctx.workspace_name + "/tests/analysis/weights.bin"}, info.environment)
    runfiles = target[DefaultInfo].default_runfiles
    names = [file.basename for file in runfiles.files.to_list()]
    for name in ["lib.py", "requirements.txt", "setup.sh", "weights.bin"]:
        asserts.true(env, name in names, name)

    # With an __init__.py in each directory, packages of several wheels couldn't be imported.
    asserts.equals(env, [], runfiles.empty_filenames.to_list())
    return analysistest.end(env)

run_environment_test = analysistest.make(_run_environment_impl)

def left_out_for_macos_test(name, image):
    """Holds that builds for a Mac leave an image out. (None of those can have a test of the image, which they would leave out, too.)

    Args:
      name: of the tests.
      image: name of the target above, of the same package.
    """
    found = [str(label).partition("/platforms")[2] for label in native.existing_rule(image)["target_compatible_with"]]
    loadingtest.equals(loadingtest.make(name), "linux", [":linux"], found)
