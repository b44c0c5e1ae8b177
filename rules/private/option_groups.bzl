"""The groups of options of a bentofile, as values of the attributes `conda`, `docker` and `python`."""

def _encoded(options):
    return json.encode({key: value for key, value in options.items() if value != None})

def conda_options(*, channels = None, dependencies = None, environment_yml = None, pip = None):
    """What conda installs, as `conda` of a bentofile. The Bento is of spec 1 then.

    Args:
      channels: list of names. Default: `conda-forge`.
      dependencies: list of packages.
      environment_yml: path of a file in the build context, in place of all others.
      pip: list of packages that conda's pip installs.

    Returns:
      A value for the attribute `conda` of `bento_package`.
    """
    return _encoded({
        "channels": channels,
        "dependencies": dependencies,
        "environment_yml": environment_yml,
        "pip": pip,
    })

def docker_options(
        *,
        base_image = None,
        cuda_version = None,
        distro = None,
        dockerfile_template = None,
        env = None,
        setup_script = None,
        system_packages = None):
    """The image that `bentoml containerize` makes, as `docker` of a bentofile.

    Paths are of files in the build context, which have to be among `srcs` or `data`.

    Args:
      base_image: name of an image, in place of that of the distribution.
      cuda_version: `12.8` or the like. The Bento is of spec 1 then.
      distro: `debian` (the default), `alpine`, `ubi8` or `amazonlinux`.
      dockerfile_template: path of a Jinja2 template. The Bento is of spec 1 then.
      env: dict or list (`NAME=value`) of variables, or path of a file of such lines.
      setup_script: path of a program that runs while the image is built.
      system_packages: list of packages of the distribution.

    Returns:
      A value for the attribute `docker` of `bento_package`, which has `python_version` as an attribute of its own.
    """
    return _encoded({
        "base_image": base_image,
        "cuda_version": cuda_version,
        "distro": distro,
        "dockerfile_template": dockerfile_template,
        "env": env,
        "setup_script": setup_script,
        "system_packages": system_packages,
    })

def python_options(
        *,
        extra_index_url = None,
        find_links = None,
        index_url = None,
        is_src_layout = None,
        lock_packages = None,
        no_index = None,
        pack_git_packages = None,
        pip_args = None,
        requirements_txt = None,
        trusted_host = None,
        wheels = None):
    """How Python packages are installed in the image, as `python` of a bentofile.

    The packages themselves are `requirements` and `packages` of `bento_package`.

    Args:
      extra_index_url: list of addresses of indexes.
      find_links: list of addresses of pages or folders.
      index_url: address of the index.
      is_src_layout: whether a leading `src/` is left out of the paths of sources.
      lock_packages: recorded in the Bento; what locks is the hub.
      no_index: whether no index is asked.
      pack_git_packages: False lets the build of the image clone packages of git repositories.
      pip_args: further arguments of pip.
      requirements_txt: path of a file in the build context.
      trusted_host: list of hosts.
      wheels: list of paths of files in the build context. The Bento is of spec 1 then.

    Returns:
      A value for the attribute `python` of `bento_package`.
    """
    return _encoded({
        "extra_index_url": extra_index_url,
        "find_links": find_links,
        "index_url": index_url,
        "is_src_layout": is_src_layout,
        "lock_packages": lock_packages,
        "no_index": no_index,
        "pack_git_packages": pack_git_packages,
        "pip_args": pip_args,
        "requirements_txt": requirements_txt,
        "trusted_host": trusted_host,
        "wheels": wheels,
    })

def config_options(**config):
    """The configuration of a service, or the part of it that its source computes, as `bento.yaml` has it.

    Args:
      **config: arguments of `@bentoml.service`, such as `workers = 4` and `traffic = {"timeout": 60}`.

    Returns:
      A value for a service in the attribute `service_config` of `bento_package`.
    """
    return json.encode(config)

def service_configs(ctx):
    """Reads the attribute `service_config`.

    Args:
      ctx: context of bento_package.

    Returns:
      A dict from the name of a service to the JSON of its configuration.
    """
    for service, text in ctx.attr.service_config.items():
        if type(json.decode(text, default = None)) != "dict":
            fail("{}: service_config of {} is {}. Write config_options(...)".format(ctx.label, repr(service), repr(text)))
    return ctx.attr.service_config

def option_groups(ctx):
    """Reads the attributes of a target that hold groups.

    Args:
      ctx: context of a rule with the attributes `conda`, `docker` and `python`.

    Returns:
      A dict from the name of a group to a dict of its options; groups that nobody set are not in it.
    """
    groups = {}
    for name in ["conda", "docker", "python"]:
        text = getattr(ctx.attr, name)
        if not text:
            continue
        options = json.decode(text, default = None)
        if type(options) != "dict":
            fail("{0}: {1} is {2}. Write {1} = {1}_options(...)".format(ctx.label, name, repr(text)))
        groups[name] = options
    return groups
