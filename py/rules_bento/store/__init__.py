"""BentoML's store of Bentos and models, read and written without BentoML.

    from rules_bento.store import Store, import_bento

    import_bento("iris.bento")
    for bento in Store().bentos.list("iris"):
        print(bento.tag, bento.size())

The functions are those of `Store` for the default home; `home` names another one. Both work on the very folders that
BentoML works on (`rules_bento.store.home` shows them), at the same time if need be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from rules_bento.archives.unpack import Form, Limits
    from rules_bento.containers.building import Containerized
    from rules_bento.containers.command import Options as BackendOptions
    from rules_bento.distribution.pulling import Pulled
    from rules_bento.distribution.pushing import Delivered
    from rules_bento.store.api import Source, Store
    from rules_bento.store.checking import Finding, Verified
    from rules_bento.store.comparing import Difference
    from rules_bento.store.entries import Entry, NotFoundError
    from rules_bento.store.exporting import Exported
    from rules_bento.store.garbage import Collected
    from rules_bento.store.home import BENTO, MODEL, Home, Kind
    from rules_bento.store.importing import Imported, Options

_HOMES = {
    "BENTO": "store.home",
    "MODEL": "store.home",
    "Collected": "store.garbage",
    "Containerized": "containers.building",
    "Delivered": "distribution.pushing",
    "Difference": "store.comparing",
    "Entry": "store.entries",
    "Exported": "store.exporting",
    "Finding": "store.checking",
    "Home": "store.home",
    "Imported": "store.importing",
    "Kind": "store.home",
    "Limits": "archives.unpack",
    "NotFoundError": "store.entries",
    "Options": "store.importing",
    "Pulled": "distribution.pulling",
    "Store": "store.api",
    "Verified": "store.checking",
}


def __getattr__(name: str) -> object:
    """Import a name when it is asked for: a command needs few of them, and starts fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"rules_bento.{_HOMES[name]}"), name)


def list(tag: str = "", *, home: str | Path | None = None) -> tuple[Entry, ...]:  # noqa: A001 - as in BentoML
    """All Bentos by name and version, those of a name, or the one of a tag."""
    return _store(home).bentos.list(tag)


def get(tag: str, *, home: str | Path | None = None) -> Entry:
    """The Bento of a tag, of the beginning of one, or the latest of a name. Raises NotFoundError."""
    return _store(home).bentos.get(tag)


def delete(tag: str, *, home: str | Path | None = None) -> tuple[Entry, ...]:
    """Delete a Bento, or all of a name; returns what was deleted. Raises NotFoundError."""
    return _store(home).bentos.delete(tag)


def import_bento(
    source: Source, form: Form | None = None, *, options: Options | None = None, home: str | Path | None = None
) -> Imported:
    """Take a Bento and its models in from an archive. Raises BentoError for one that is not whole, safe and valid."""
    return _store(home).bentos.import_archive(source, form, options)


def export_bento(
    tag: str, out: str | Path = "", form: Form | None = None, *, models: bool = True, home: str | Path | None = None
) -> Exported:
    """Write a Bento, with its models unless told otherwise, to a file or folder that BentoML imports."""
    return _store(home).bentos.export(tag, out, form, models=models)


def list_models(tag: str = "", *, home: str | Path | None = None) -> tuple[Entry, ...]:
    """All models by name and version, those of a name, or the one of a tag."""
    return _store(home).models.list(tag)


def get_model(tag: str, *, home: str | Path | None = None) -> Entry:
    """The model of a tag, of the beginning of one, or the latest of a name. Raises NotFoundError."""
    return _store(home).models.get(tag)


def delete_model(tag: str, *, force: bool = False, home: str | Path | None = None) -> tuple[Entry, ...]:
    """Delete a model, or all of a name, but none that a Bento needs without `force`; returns what was deleted."""
    return _store(home).models.delete(tag, force=force)


def import_model(
    source: Source, form: Form | None = None, *, options: Options | None = None, home: str | Path | None = None
) -> Imported:
    """Take a model in from an archive."""
    return _store(home).models.import_archive(source, form, options)


def export_model(
    tag: str, out: str | Path = "", form: Form | None = None, *, home: str | Path | None = None
) -> Exported:
    """Write a model to a file or folder that BentoML imports."""
    return _store(home).models.export(tag, out, form)


def push(
    tag: str, *targets: str, insecure: Collection[str] = (), home: str | Path | None = None
) -> Sequence[Delivered]:
    """Send a Bento and its models to registries (`oci://registry/repository[:tag]`): what they lack."""
    from rules_bento.distribution.api import push

    return push(_store(home).bentos, tag, targets, insecure)


def pull(
    source: str,
    *,
    force: bool = False,
    options: Options | None = None,
    insecure: Collection[str] = (),
    home: str | Path | None = None,
) -> Pulled:
    """Fetch a Bento, and those of its models that are missing, from a registry into the store."""
    from rules_bento.distribution.api import pull

    return pull(_store(home).bentos, source, force, options, insecure)


def push_model(
    tag: str, *targets: str, insecure: Collection[str] = (), home: str | Path | None = None
) -> Sequence[Delivered]:
    """Send a model to registries."""
    from rules_bento.distribution.api import push

    return push(_store(home).models, tag, targets, insecure)


def pull_model(
    source: str,
    *,
    force: bool = False,
    options: Options | None = None,
    insecure: Collection[str] = (),
    home: str | Path | None = None,
) -> Pulled:
    """Fetch a model from a registry into the store."""
    from rules_bento.distribution.api import pull

    return pull(_store(home).models, source, force, options, insecure)


def containerize(
    tag: str,
    *,
    backend: str = "",
    names: Sequence[str] = (),
    options: BackendOptions | None = None,
    features: Sequence[str] = (),
    home: str | Path | None = None,
) -> Containerized:
    """Build an image of a Bento with docker, podman and their like; `options` are those of the backend by name."""
    from rules_bento.containers.backends import choose
    from rules_bento.containers.building import containerize

    store = _store(home)
    entry = store.bentos.get(tag)
    return containerize(store.home, entry, choose(backend), names, options, features=features)


def serve(tag: str, *options: str, python: str = "", home: str | Path | None = None) -> subprocess.Popen[bytes]:
    """Start real BentoML's server of a Bento, with options of `bentoml serve`; the caller stops it."""
    import subprocess

    from rules_bento.store.serving import server

    store = _store(home)
    command, variables = server(store.home, store.bentos.get(tag), options, python)
    return subprocess.Popen(command, env=variables)


def verify(*entries: Entry, home: str | Path | None = None) -> Verified:
    """Hold entries against what was imported; without any, everything that is there."""
    return _store(home).verify(*entries)


def diff(one: str, other: str, *, home: str | Path | None = None) -> Difference:
    """How two Bentos differ: tags, or paths of archives."""
    return _store(home).diff(one, other)


def gc(*, dry_run: bool = False, home: str | Path | None = None) -> Collected:
    """Remove what no entry uses."""
    return _store(home).gc(dry_run=dry_run)


def _store(home: str | Path | None) -> Store:
    from rules_bento.store.api import Store

    return Store(home)


__all__ = [
    "BENTO",
    "MODEL",
    "Collected",
    "Containerized",
    "Delivered",
    "Difference",
    "Entry",
    "Exported",
    "Finding",
    "Home",
    "Imported",
    "Kind",
    "Limits",
    "NotFoundError",
    "Options",
    "Pulled",
    "Store",
    "Verified",
    "containerize",
    "delete",
    "delete_model",
    "diff",
    "export_bento",
    "export_model",
    "gc",
    "get",
    "get_model",
    "import_bento",
    "import_model",
    "list",
    "list_models",
    "pull",
    "pull_model",
    "push",
    "push_model",
    "serve",
    "verify",
]
