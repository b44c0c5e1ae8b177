"""The action that scans layers that aren't of Debian packages."""

load(":attributes.bzl", "label_string")
load(":helper.bzl", "arguments", "run_helper", "verb")

def scan_layers(ctx, layers, *, linked = None, with_machines = False):
    """Declares the action that finds the shared libraries and packages of layers.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      layers: list of pairs of Files from the lowest up, description and layer, or an OCI layout with the layer.
      linked: depset of Files that links in the layout might refer to.
      with_machines: whether the action also determines the CPU architectures of files with machine code.

    Returns:
      A struct of `libraries` and `system`, Files (see BentoBaseInfo), and of `machines`, a File or None.
    """
    libraries = ctx.actions.declare_file(ctx.label.name + ".libraries.json")
    system = ctx.actions.declare_file(ctx.label.name + ".system.json")
    machines = ctx.actions.declare_file(ctx.label.name + ".machines.json") if with_machines else None
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    for description, layer in layers:
        args.add_all(["--layer", description, layer], expand_directories = False)
    args.add_all(["--libraries", libraries])
    args.add_all(["--system", system])
    if machines:
        args.add_all(["--machines", machines])
    run_helper(
        ctx,
        mnemonic = "BentoBaseContents",
        progress_message = "Scanning layers of %{label}",
        verb = verb(
            "base_contents",
            args,
            inputs = depset([file for pair in layers for file in pair], transitive = [linked] if linked else []),
            packages = ["zstandard"],
        ),
        outputs = [libraries, system] + ([machines] if machines else []),
    )
    return struct(libraries = libraries, machines = machines, system = system)
