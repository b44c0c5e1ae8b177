"""Arguments that several rules hand to the helper in the same way."""

load(":providers.bzl", "BentoFlagInfo")

# The time that Bentos, models and images say they were made at: a flag, so that no output depends on the clock.
CREATION_TIME = {
    "_creation_time": attr.label(default = "//rules:creation_time", providers = [BentoFlagInfo]),
}

def creation_time(ctx):
    """Returns the value of the flag.

    Args:
      ctx: context of a rule with the attributes of `CREATION_TIME`.

    Returns:
      An ISO 8601 time.
    """
    return ctx.attr._creation_time[BentoFlagInfo].value

def label_string(label):
    """Writes a label as its user does.

    Args:
      label: a Label, or None.

    Returns:
      `//package:name` for one of the main repository.
    """
    text = str(label)
    return text.removeprefix("@@") if text.startswith("@@//") else text

def directory_path(label, folder):
    """Returns a folder of a target's repository as the start of short paths, which name other repositories by `../<repository>`.

    Args:
      label: of the target.
      folder: relative to the root of its repository; empty for the root itself.

    Returns:
      A path.
    """
    repository = label.workspace_root.replace("external/", "../", 1)
    return "/".join([part for part in [repository, folder] if part])

def in_package(label, name):
    """Resolves a path that is stated relative to a target's package.

    Args:
      label: of the target.
      name: the path in the package.

    Returns:
      The path from the root of the target's repository.
    """
    return "/".join([part for part in [label.package, name] if part])

def workspace_path(file):
    """Returns the path of a file from the root of the workspace, whether it is a source or an output.

    Args:
      file: a File.

    Returns:
      A path that no `..` is in.
    """
    return "external/" + file.short_path.removeprefix("../") if file.short_path.startswith("../") else file.short_path

def describe_file(file):
    """Names a file for the helper: where it is, what it is called, who made it.

    Args:
      file: a File.

    Returns:
      A list of three strings.
    """
    return [file.path, file.short_path, label_string(file.owner)]

def describe_source(file):
    """Names one of the rule's own sources for the helper: the flag, then `describe_file`.

    Args:
      file: a File.

    Returns:
      A list of four strings.
    """
    return ["--source"] + describe_file(file)

def describe_data(file):
    """Names one of the rule's own data files for the helper: the flag, then `describe_file`.

    Args:
      file: a File.

    Returns:
      A list of four strings.
    """
    return ["--data"] + describe_file(file)

def describe_vendored(file):
    """Names a wheel that the Bento carries for the helper: the flag, then `describe_file`.

    Args:
      file: a File.

    Returns:
      A list of four strings.
    """
    return ["--vendored"] + describe_file(file)

def describe_dependency(file):
    """Names a file that came with a library for the helper: the flag, then `describe_file`.

    Args:
      file: a File.

    Returns:
      A list of four strings.
    """
    return ["--dependency"] + describe_file(file)

def json_string(text):
    """Encodes any text as one line of the arguments, for flags that the helper's verb reads as texts.

    Args:
      text: a string, perhaps of several lines.

    Returns:
      A JSON string.
    """
    return json.encode(text)

def add_strings(args, flag, texts):
    """Adds strings to the arguments, each as a text after a flag.

    Args:
      args: an Args.
      flag: what stands before each.
      texts: list of strings.
    """
    for text in texts:
        args.add(flag)
        args.add(json_string(text))

def add_pairs(args, flag, pairs):
    """Adds a dict of strings to the arguments, keys and values as texts.

    Args:
      args: an Args.
      flag: what stands before each pair.
      pairs: dict of strings; its order is kept.
    """
    for key, value in pairs.items():
        args.add(flag)
        args.add(json_string(key))
        args.add(json_string(value))

def add_wheels(args, wheels):
    """Adds to the arguments which wheels there are, each with its hash.

    Args:
      args: an Args.
      wheels: list of BentoWheelInfo.

    Returns:
      A list of Files: the wheels that are built here, whose hash the action takes.
    """
    built = []
    for wheel in wheels:
        name = [wheel.distribution, wheel.version]
        if wheel.sha256:
            args.add_all(["--wheel"] + name + [wheel.sha256])
        else:
            args.add_all(["--built-wheel"] + name + [wheel.file])
            built.append(wheel.file)
    return built
