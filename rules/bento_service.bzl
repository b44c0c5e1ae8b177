"""Defines bento_service, a macro that declares the usual targets of a service: Bento, test, API, image, push, and others."""

load("//rules:bento_api_test.bzl", "bento_api_test")
load("//rules:bento_deployment.bzl", "bento_deployment")
load("//rules:bento_image.bzl", "bento_image")
load("//rules:bento_image_index.bzl", "bento_image_index")
load("//rules:bento_load.bzl", "bento_load")
load("//rules:bento_package.bzl", "bento_package")
load("//rules:bento_push.bzl", "bento_push")
load("//rules:bento_service_metadata_test.bzl", "bento_service_metadata_test")
load("//rules:bento_test.bzl", "bento_test")
load("//rules:bento_venv.bzl", "bento_venv")

# Common attributes of rules. The value that the macro receives is the default for each part.
_SHARED = ["deprecation", "exec_compatible_with", "features", "tags", "target_compatible_with", "testonly", "visibility"]

# Builds for macOS skip images, and targets that use images.
_LINUX = Label("@platforms//os:linux")

def bento_service(
        name,
        *,
        api = None,
        deployment = None,
        image = None,
        index = None,
        load_image = None,
        push = None,
        service_metadata_test = None,
        test = None,
        venv = None,
        **package):
    """Declares targets for a service: a Bento, tests, images, a deployment, and a development environment.

    ```starlark
    bento_service(
        name = "iris",
        srcs = ["service.py"],
        api = {"golden": "iris_api.json"},
        deployment = {},
        image = {"base": "//base:python"},
        push = {"repositories": ["registry.example.com/iris"]},
        requirements = ["@pypi//bentoml", "@pypi//scikit_learn"],
        service = "service:IrisClassifier",
        test = {"srcs": ["iris_test.py"], "requirements": ["@pypi//pytest"]},
        venv = {"requirements": ["@pypi//pytest"]},
    )
    ```

    Each argument declares one target. The value is a dict of attributes for the rule of the target; `{}` sets no attributes. The macro declares
    a target only if its argument is set. Tags of an argument are added to the tags of the service.

    Args:
      name: name of an alias of `<name>_bento`, and prefix of the names of all targets.
      api: attributes of `<name>_api_test`, a `bento_api_test`.
      deployment: attributes of `<name>_deployment`, a `bento_deployment` of the index or, without an index, of the image. Default of `repository`:
        the repository in `push`, if `push` has exactly one repository, without `{KEY}`.
      image: attributes of `<name>_image`, a `bento_image` for Linux.
      index: attributes of `<name>_images`, a `bento_image_index`.
      load_image: attributes of `<name>_load`, a `bento_load` of the index or, without an index, of the image.
      push: attributes of `<name>_push`, a `bento_push` of the first of these that is declared: index, image, or Bento.
      service_metadata_test: attributes of `<name>_service_metadata_test`, a `bento_service_metadata_test`.
      test: attributes of `<name>_test`, a `bento_test`.
      venv: attributes of `<name>_venv`, a `bento_venv`.
      **package: attributes of `<name>_bento`, a `bento_package`. Common attributes, such as `tags` and `visibility`, apply to all targets.
    """
    parts = {
        "api": api,
        "deployment": deployment,
        "image": image,
        "index": index,
        "load_image": load_image,
        "push": push,
        "service_metadata_test": service_metadata_test,
        "test": test,
        "venv": venv,
    }
    for part, attributes in parts.items():
        if attributes != None and type(attributes) != "dict":
            fail("bento_service(name = \"{0}\"): {1} must be a dict, got {2}. Set {1} to a dict of attributes for the target that {1} declares, or to {{}} for the defaults.".format(name, part, repr(attributes)))
    for part in ["deployment", "index", "load_image"]:
        if parts[part] != None and image == None:
            fail("bento_service(name = \"{}\"): {} requires an image. Set image to a dict with the key \"base\".".format(name, part))
    shared = {key: package[key] for key in _SHARED if package.get(key) != None}
    bento = ":{}_bento".format(name)
    bento_package(name = name + "_bento", **package)
    native.alias(name = name, actual = bento, **{key: value for key, value in shared.items() if key not in ("exec_compatible_with", "features")})
    if test != None:
        bento_test(name = name + "_test", **_part(shared, {"bento": bento}, test))
    if service_metadata_test != None:
        bento_service_metadata_test(name = name + "_service_metadata_test", **_part(shared, {"bento": bento}, service_metadata_test))
    if api != None:
        bento_api_test(name = name + "_api_test", **_part(shared, {"bento": bento}, api))
    if venv != None:
        bento_venv(name = name + "_venv", **_part(shared, {"bento": bento}, venv))
    _images(name, bento, shared, struct(deployment = deployment, image = image, index = index, load_image = load_image, push = push))

def _part(shared, own, overrides):
    """Returns the attributes of one target. `overrides` take precedence over `own`, and `own` over `shared`, except that tags are combined."""
    attributes = shared | own | overrides
    if "tags" in shared and "tags" in overrides:
        attributes["tags"] = shared["tags"] + overrides["tags"]
    return attributes

def _images(name, bento, shared, overrides):
    delivered = bento
    if overrides.image != None:
        delivered = ":{}_image".format(name)
        own = {"bento": bento, "target_compatible_with": shared.get("target_compatible_with", []) + [_LINUX]}
        bento_image(name = name + "_image", **_part(shared, own, overrides.image))
    if overrides.index != None:
        bento_image_index(name = name + "_images", **_part(shared, {"image": delivered}, overrides.index))
        delivered = ":{}_images".format(name)
    if overrides.load_image != None:
        bento_load(name = name + "_load", **_part(shared, {"src": delivered}, overrides.load_image))
    if overrides.push != None:
        bento_push(name = name + "_push", **_part(shared, {"src": delivered}, overrides.push))
    if overrides.deployment != None:
        repositories = (overrides.push or {}).get("repositories")
        is_known = type(repositories) == "list" and len(repositories) == 1 and "{" not in repositories[0]
        own = {"repository": repositories[0]} if is_known else {}
        bento_deployment(name = name + "_deployment", **_part(shared, own | {"src": delivered}, overrides.deployment))
