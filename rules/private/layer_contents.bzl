"""Finds out what is in layers that are not made of Debian packages."""

load(":attributes.bzl", "label_string")
load(":helper.bzl", "arguments", "run_helper", "verb")

def scan_layers(ctx, layers, *, behind = None, with_machines = False):
    """Declares the action that reads which shared libraries and packages layers have.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      layers: list of pairs of Files from the lowest up, description and layer; or in place of the layer an OCI layout
        that has it.
      behind: depset of Files that links in these may lead to.
      with_machines: whether it reads, too, for which machines the files with machine code are.

    Returns:
      A struct of `libraries` and `system`, Files: see BentoBaseInfo; and of `machines`, a File, None without.
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
        progress_message = "Looking for libraries and packages in layers of %{label}",
        verb = verb(
            "base_contents",
            args,
            inputs = depset([file for pair in layers for file in pair], transitive = [behind] if behind else []),
            packages = ["zstandard"],
        ),
        outputs = [libraries, system] + ([machines] if machines else []),
    )
    return struct(libraries = libraries, machines = machines, system = system)
