"""Imports generated services with real BentoML: `import_server.py`, in BentoML's interpreter.

Each order is a JSON line: {"directory", "service", "arguments", "image", "packages"}. `image` is what static analysis
found: the arguments of `Image` and its method calls, which this program repeats with the real class. Each response line
is the metadata as BentoML has it, or {"problem"}. BentoML is imported once; each import runs in a forked child process.
With `packages`, modules that aren't installed are replaced by modules that contain any name.
"""

import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import types
from pathlib import Path

CHAT = "/chat/completions"
# What an import of a service loads in any case. Without `fastapi`: BentoML doesn't require it.
SHARED = ("_bentoml_sdk.images", "_bentoml_sdk.service.factory", "bentoml._internal.service.loader")


class Anything(type):
    """The class of what a missing module contains: classes that are also decorators, functions, and containers."""

    def __getattr__(cls, name):
        if name == "__version__":
            return "1.0"
        if name.startswith("__"):
            raise AttributeError(name)
        return anything(name)

    def __call__(cls, *args, **kwargs):
        if cls.__module__ != "anything":  # a class of the service, whose base class is missing
            return type.__call__(cls, *args, **kwargs)
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else anything(cls.__name__)

    def __getitem__(cls, _key):
        return cls

    def __iter__(cls):
        return iter(())

    def __enter__(cls):
        return cls

    def __exit__(cls, *_):
        return None


def anything(name):
    def schema(_cls, _source, _handler):
        from pydantic_core import core_schema

        return core_schema.str_schema()

    fields = {"__module__": "anything", "__init__": lambda self, *a, **k: None}
    return Anything(name, (), fields | {"__get_pydantic_core_schema__": classmethod(schema)})


class MissingModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds each absolute module that no other finder finds."""

    def __init__(self, root):
        self._root = Path(root)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        own = {entry.name.partition(".")[0] for entry in self._root.iterdir()}
        if top in own or top in sys.stdlib_module_names or top.startswith(("_bentoml", "bentoml")):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: getattr(anything(spec.name), name)
        return module

    def exec_module(self, module):
        pass


def described(service, image):
    """Return the metadata of a service and of the services that it depends on. `image` is the repeated image."""
    from bentoml._internal.tag import Tag, to_snake_case

    schema = service.schema()
    chats = [path.removesuffix(CHAT) for path in schema["paths"] if path.endswith(CHAT)]
    labels = {str(key): str(value) for key, value in service.labels.items()}
    return {
        "service": service.import_string,
        "bento_name": Tag(to_snake_case(service.name), None).name,
        "entry_service": service.name,
        "services": [row(one) for one in service.all_services().values()],
        "labels": labels | ({"openai_endpoint": chats[0]} if chats else {}),
        "envs": [[env.name, env.value, env.stage] for env in service.envs],
        "description": service.description,
        "image": [fields(service.image), image],
    }


def row(service):
    from bentoml._internal.utils.cattr import bentoml_cattr
    from bentoml.models import BentoModel

    schema = service.schema()
    hub = ("model_id", "revision", "include", "exclude")
    return {
        "name": service.name,
        "class_name": service.inner.__name__,
        "config": bentoml_cattr.unstructure(service.config),
        "apis": [
            [*(each[key] for key in ("name", "route", "is_task", "batchable")), each["output"].get("is_stream", False)]
            for each in schema["routes"]
        ],
        "dependencies": [
            [name, one.on.name if one.on else None, one.deployment, one.cluster, one.url]
            for name, one in service.dependencies.items()
        ],
        "models": [
            str(one.tag) if isinstance(one, BentoModel) else [getattr(one, key) for key in hub]
            for one in service.models
        ],
        "mounts": [path for _, path, _ in service.mount_apps],
        "doc": schema.get("description"),
    }


def repeated(image):
    from _bentoml_sdk.images import Image

    if image is None:
        return None
    result = Image(**image["arguments"])
    for call in image["calls"]:
        getattr(result, call["method"])(*call["args"])
    return result


def fields(image):
    names = "base_image distro python_version commands lock_python_packages python_requirements post_commands scripts"
    return image and {name: getattr(image, name) for name in names.split()}


def import_service(order):
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.service.loader import import_service

    os.chdir(order["directory"])
    if order["packages"]:
        sys.meta_path.append(MissingModules(order["directory"]))
    image = fields(repeated(order["image"]))  # before the service can change BentoML
    if order["arguments"]:
        BentoMLContainer.bento_arguments.set(order["arguments"])
    service = import_service(order["service"], working_dir=order["directory"])
    os.chdir(order["directory"])
    service.inject_config()  # which checks it
    return described(service, image)


def in_child(order):
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        end = os._exit
        signal.alarm(60)
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(1, 2)
            answer = import_service(order)
        except BaseException as error:
            answer = {"problem": f"{type(error).__name__}: {error}"}
        with os.fdopen(send, "w") as file:
            file.write(json.dumps(answer, default=repr))
        end(0)
    os.close(send)
    with os.fdopen(receive) as file:
        text = file.read()
    os.waitpid(child, 0)
    return text or json.dumps({"problem": "no answer"})


def main():
    os.environ["BENTOML_DO_NOT_TRACK"] = "true"
    sys.dont_write_bytecode = True
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    for module in SHARED:
        importlib.import_module(module)
    gc.freeze()  # else the first collection of each child copies all of it
    for line in sys.stdin:
        sys.stdout.write(in_child(json.loads(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
