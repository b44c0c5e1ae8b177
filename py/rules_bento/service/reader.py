"""Reads the facts of a service, from its string on: the module, the attribute in it, and what stands behind it."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.service.bentoml.legacy import legacy_info
from rules_bento.service.collect import Collector
from rules_bento.service.metadata import ServiceInfo, SourceTree, Unknown
from rules_bento.service.overrides import unread
from rules_bento.service.python import between, budget
from rules_bento.service.python.expressions import get_attribute
from rules_bento.service.python.interpreter import Interpreter
from rules_bento.service.python.sources import Sources
from rules_bento.service.python.values import (
    Class,
    Const,
    DependsOn,
    Function,
    LegacyService,
    ModuleRef,
    Opaque,
    Place,
    Refused,
    ServiceObject,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules_bento.service.python.scopes import Module

_FORM = "write `module:attribute`, `file.py:attribute` or `module`"


def read(service: str, files: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object]) -> ServiceInfo:
    """Read a service; see `rules_bento.service.read_service`.

    Raises BentoError for sources that are too large, or nested too deeply.
    """
    budget.start()
    try:
        return _read(service, Sources(files), arguments)
    except (budget.SpentError, budget.TooLargeError):
        raise BentoError(
            f"the sources of service `{service}` make more than is read: values of thousands of items, or names by "
            "the ten thousand. Move what the service does not need at import into functions."
        ) from None
    except RecursionError:
        raise BentoError(
            f"the sources of service `{service}` are nested too deeply to be read: names that import each other, "
            "or expressions in expressions, by the hundred. Flatten them."
        ) from None


def _read(service: str, sources: Sources, arguments: Mapping[str, object]) -> ServiceInfo:
    module_name, attribute = _parts(service, sources)
    path = sources.find(module_name)
    if path is None or path.endswith("/"):
        raise _no_module(service, module_name, sources)
    sources.moved = between.moved(sources, module_name)
    reader = Interpreter(sources, arguments)
    info = _info(reader, module_name, attribute, service)
    changing = between.changing(sources, module_name, reader.modules)
    if changing:
        reader = Interpreter(sources, arguments, changing)
        reader.import_module(module_name)
        info = _info(reader, module_name, attribute, service)
    return info


def _info(reader: Interpreter, module_name: str, attribute: str, service: str) -> ServiceInfo:
    module = reader.module(module_name)
    attribute = attribute or _only_service(reader, module, service)
    value = _resolved(reader, module, attribute, service)
    name = f"{module_name}:{attribute}"
    if isinstance(value, ServiceObject):
        return Collector(reader).info(value, name, module.path)
    if isinstance(value, LegacyService):
        return legacy_info(Collector(reader), value, name, module.path)
    if isinstance(value, Opaque):
        return _unread(value, name, module, attribute)
    raise _no_service(value, attribute, module)


def _parts(service: str, sources: Sources) -> tuple[str, str]:
    """Split an import string into the dotted module and the dotted attribute, which may be empty."""
    target, colon, attribute = service.partition(":")
    bad = f"service `{service}` is malformed: "
    if not target:
        raise BentoError(f"{bad}it names no module; {_FORM}.")
    if colon and not attribute:
        raise BentoError(f"{bad}nothing follows the colon; {_FORM}.")
    if attribute and not all(part.isidentifier() for part in attribute.split(".")):
        raise BentoError(f"{bad}`{attribute}` is no attribute; {_FORM}.")
    is_file = target.endswith(".py") and f"{target[:-3]}/py" not in sources.paths
    if is_file or "/" in target:
        target = _module_of_file(target, bad)
    if not all(part.isidentifier() for part in target.split(".")):
        raise BentoError(f"{bad}`{target}` is no module; {_FORM}.")
    return target, attribute


def _module_of_file(path: str, bad: str) -> str:
    if not path.endswith(".py"):
        raise BentoError(f"{bad}`{path}` is a path and does not end in .py; {_FORM}.")
    parts = [part for part in path[:-3].split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise BentoError(f"{bad}`{path}` is not a path inside of the Bento's sources; {_FORM}.")
    return ".".join(parts)


def _no_module(service: str, module: str, sources: Sources) -> BentoError:
    import difflib

    path = f"{module.replace('.', '/')}.py"
    modules = [name for name in sorted(sources.paths) if name.endswith(".py")]
    near = difflib.get_close_matches(path, modules, n=3, cutoff=0.5)
    same = [name for name in modules if name.rpartition("/")[2] == path.rpartition("/")[2] and name not in near]
    matches = f" Near matches: {_listed([*same[:3], *near])}." if near or same else ""
    if not modules:
        matches = " There is no Python file among the sources."
    return BentoError(
        f"the service `{service}` needs {path} (or a package of that name), which is not among the sources.{matches} "
        "Add it to `srcs` or `deps`, correct `service`, or look whether `include` and `exclude` keep it."
    )


# The attribute


def _only_service(reader: Interpreter, module: Module, service: str) -> str:
    """Find the one service of a module as BentoML does, which leaves out what another one depends on."""
    values = {name: reader.force(value) for name, value in module.scope.names.items()}
    services = {name: value for name, value in values.items() if isinstance(value, ServiceObject)}
    below = [
        reader.force(member.fields.get("on", Const(None)))
        for value in services.values()
        for member in map(reader.force, value.members.values())
        if isinstance(member, DependsOn)
    ]
    names = [name for name, value in services.items() if not any(value is other for other in below)]
    if not names:
        names = [name for name, value in values.items() if isinstance(value, LegacyService)]
    uncertain = [name for name in names if name in module.scope.maybe] or [
        name for name, value in values.items() if isinstance(value, Opaque) and not value.inert
    ]
    if len(names) == 1 and not uncertain:
        return names[0]
    refused = next((name for name, value in values.items() if isinstance(value, Refused)), None)
    if refused is not None and not names:
        raise _no_service(values[refused], refused, module)
    example = (names or uncertain or ["MyService"])[0]
    if len(names) == 1 and names != uncertain:
        raise BentoError(
            f"{module.path} has the service `{names[0]}`, and {_listed(uncertain)} may be one, too. "
            f"Name one in `service`, as `{module.name}:{example}`."
        )
    if len(names) > 1 or (names and uncertain):
        raise BentoError(
            f"{module.path} has several services: {_listed(dict.fromkeys([*names, *uncertain]))}. "
            f"Name one in `service`, as `{module.name}:{example}`."
        )
    if uncertain:
        raise BentoError(
            f"{module.path} has no service that is plain; {_listed(uncertain)} may be one. "
            f"Name it in `service`, as `{module.name}:{example}`."
        )
    raise BentoError(
        f"{module.path} has no service (`service` is `{service}`). "
        "Decorate its class with `@bentoml.service`, or name another module in `service`."
    )


def _resolved(reader: Interpreter, module: Module, attribute: str, service: str) -> Value:
    """Follow a dotted attribute: through modules and classes, and through the dependencies of a service."""
    value: Value = ModuleRef(module.name)
    place = Place(module.path, 1)
    for part in attribute.split("."):
        value = reader.force(value)
        if isinstance(value, ServiceObject):
            value = _dependency(reader, value, part, service)
        elif isinstance(value, ModuleRef):
            member = reader.module_attribute(value.name, part, place)
            if member is None:
                raise _no_attribute(reader.module(value.name), part, service)
            value = member
        else:
            value = get_attribute(reader, value, part, place)
    return reader.force(value)


def _dependency(reader: Interpreter, owner: ServiceObject, name: str, service: str) -> Value:
    dependencies = {key: reader.force(value) for key, value in owner.members.items()}
    dependency = dependencies.get(name)
    if isinstance(dependency, DependsOn):
        return reader.force(dependency.fields.get("on", Const(None)))
    if isinstance(dependency, Opaque):
        return dependency
    known = [key for key, value in dependencies.items() if isinstance(value, DependsOn)]
    raise BentoError(
        f"{owner.place.path}:{owner.place.line}: the service has no dependency `{name}`, which `{service}` names. "
        f"It has {_listed(known) or 'none'}."
    )


def _no_attribute(module: Module, name: str, service: str) -> BentoError:
    import difflib

    names = module.scope.names
    public = [known for known in names if not known.startswith("__")]
    near = difflib.get_close_matches(name, public, n=1, cutoff=0.5)
    services = [known for known in public if isinstance(names[known], (ServiceObject, LegacyService))]
    hint = f" Did you mean `{near[0]}`?" if near else ""
    if services and services != near:
        hint += f" Its services are {_listed(services)}: name one in `service`."
    return BentoError(f"{module.path} has no attribute `{name}` (`service` is `{service}`).{hint}")


def _no_service(value: Value, attribute: str, module: Module) -> BentoError:
    place = getattr(value, "place", None) or Place(module.path, 1)
    what, remedy = "no service", "Name a service in `service`."
    match value:
        case Class():
            what, remedy = "a class that is no service", "Decorate it with `@bentoml.service`."
        case Function():
            what, remedy = "a function", "Name a class that is decorated with `@bentoml.service`."
        case ModuleRef():
            what = "a module"
        case Refused():
            what, remedy = value.what, value.remedy
        case Symbol():
            what, remedy = f"`{value.dotted}`, from outside the sources", "Define the service in the sources."
        case Const():
            what = "a plain value"
    return BentoError(f"{place.path}:{place.line}: `{attribute}` is {what}. {remedy}")


def _unread(value: Opaque, service: str, module: Module, attribute: str) -> ServiceInfo:
    """Return the facts of a service that is there, and of which nothing is plain."""
    why = value.why or "only running the code tells it"
    path, line = value.place.path, value.place.line
    whole = Unknown(
        f"what service `{attribute}` is: {why}", path, line, "services", "service", attribute, required=True
    )
    own = {"labels": "the labels", "envs": "the envs", "image": "the image", "description": "the description"}
    of_entry = [
        Unknown(f"{what} of service `{attribute}`: {why}", path, line, fact, fact, attribute, required=True)
        for fact, what in own.items()
    ]
    unknowns = (whole, *unread(attribute, why, path, line), *of_entry)
    return ServiceInfo(service, module.path, "new", None, None, unknowns=unknowns)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
