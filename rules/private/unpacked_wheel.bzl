"""The action that unpacks the modules of a wheel."""

load("//rules:providers.bzl", "BentoWheelModulesInfo")
load(":helper.bzl", "arguments", "run_helper", "verb")
load(":launcher.bzl", "runfile_path")

def unpacked_wheel(ctx, wheel, folder_name):
    """Declares the modules of a BentoWheelInfo in a directory of the package; returns a BentoWheelModulesInfo.

    Args:
      ctx: context of a rule.
      wheel: a BentoWheelInfo.
      folder_name: name of the directory.

    Returns:
      A BentoWheelModulesInfo.
    """
    folder = ctx.actions.declare_directory(folder_name)
    args = arguments(ctx)
    args.add_all(["--wheel", wheel.file])
    args.add_all(["--output", folder], expand_directories = False)
    run_helper(
        ctx,
        mnemonic = "BentoWheelModules",
        progress_message = "Unpacking wheel of {}".format(wheel.distribution),
        verb = verb("unpack_wheel", args, inputs = depset([wheel.file])),
        outputs = [folder],
    )

    return BentoWheelModulesInfo(
        distribution = wheel.distribution,
        files = depset([folder]),
        import_roots = (folder,),
        imports = (runfile_path(ctx, folder),),
        version = wheel.version,
        wheel = wheel.file,
    )
