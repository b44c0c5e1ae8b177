"""Resolves the model references in services and bentofiles to bundled models."""

from __future__ import annotations

import json
import re
import shlex

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.models.model import BundledModel, newest_model

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.build_options.options import BuildOptions, ModelChoice
    from rules_bento.bentos.models.model_store import StoredModel
    from rules_bento.bentos.service import HuggingFace, Model, Service, ServiceInfo

# BentoML's default endpoint.
HUB = "https://huggingface.co"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Their `get` is `bentoml.models.get`, which accepts a model of any framework.
_ACCEPT_ANY = ("catboost", "lightgbm", "mlflow", "sklearn", "xgboost")


class MissingModelError(BentoError):
    """Raised for a model that isn't available. `needed` states who requires the model, whose version can be partial."""

    tag = needed = ""


def find_models(info: ServiceInfo, options: BuildOptions, store: Path) -> list[StoredModel]:
    """Return the models in `store` that a service and its options refer to. Raises BentoError for a missing model."""
    from rules_bento.bentos.models import model_store

    named = [*info.models, *(reference for service in info.services for reference in service.models)]
    aliases = {choice.alias: choice.tag for choice in options.models or () if choice.alias}
    tags = [reference.tag for reference in named if not (reference.alias and reference.tag in aliases)]
    tags += [choice.tag for choice in options.models or ()]
    names = {tag.lower().partition(":")[0] for tag in tags}
    candidates = [model for name in sorted(names - {""}) for model in model_store.list_versions(store, name)]
    try:
        wanted, bundled = choose(options.models or (), candidates, options.at("models"))
        for service in info.services:
            entries = service_models(service, bundled, "")
            wanted += [entry["tag"] for entry in entries if "registry" not in entry]
        wanted += [entry["tag"] for entry in legacy_models(info, bundled)[0]]
    except MissingModelError as error:
        raise _missing_in(store, error) if error.tag else error from None
    aliased = {model.description.tag: model.alias for model in bundled}
    return [replace(model_store.read(store, tag), alias=aliased[tag]) for tag in dict.fromkeys(wanted)]


def without_models(info: ServiceInfo) -> ServiceInfo:
    """Return a service's metadata without its models."""
    return replace(info, models=(), services=tuple(replace(service, models=()) for service in info.services))


def _missing_in(store: Path, error: MissingModelError) -> MissingModelError:
    """Return the error for a model that isn't in a store."""
    name = error.tag.lower().partition(":")[0]
    known = [path.name for path in store.iterdir() if path.is_dir()] if store.is_dir() else []
    lacks = "no matching version" if name in known else f"no model {name!r}"
    near = nearest(name, known) if name not in known else ""
    hint = f" (did you mean {near!r}?)" if near else ""
    problem = f"{error.needed}, but the store contains {lacks}{hint}"
    return MissingModelError(problem, place=error.place, remedy="To list the models, run `bento models list`.")


def service_models(service: Service, models: Sequence[BundledModel], creation_time: str) -> list[dict[str, Any]]:
    """Return the bento.yaml entries for the models of a service. Raises BentoError for a missing model.

    BentoML downloads Hugging Face models on the machine that serves the Bento, so these models aren't bundled.
    """
    entries = []
    for reference in service.models:
        place = f"{service.path}:{service.line}"
        if reference.huggingface:
            entries.append(
                _snapshot(reference.huggingface, f"{place}: {service.class_name}.{reference.attribute}", creation_time)
            )
        else:
            entries.append(_find(reference, models, place, service.class_name).entry())
    return entries


def pin_command(source: HuggingFace) -> str:
    """Return the command that prints the commit of a Hugging Face model. The command requires no other settings."""
    revision = "" if source.revision == "main" else f"@{source.revision}"
    words = ["bento", "models", "pin", source.model_id + revision, "--endpoint", source.endpoint or HUB]
    for flag, patterns in (("--include", source.include), ("--exclude", source.exclude)):
        words += [word for pattern in patterns or () for word in (flag, pattern)]
    return shlex.join(words)


def _snapshot(source: HuggingFace, place: str, creation_time: str) -> dict[str, Any]:
    """Return the bento.yaml entry for a Hugging Face model.

    If `source` sets no endpoint, uses Hugging Face Hub. Raises BentoError if the revision isn't a commit hash.
    """
    if not _COMMIT.fullmatch(source.revision):
        problem = f"the revision {source.revision!r} of {source.model_id} isn't a commit"
        remedy = f"Use the commit that `{pin_command(source)}` prints, or bundle the model with "
        remedy += "bento_files.hugging_face_model(...)."
        raise BentoError(problem, place=place, remedy=remedy)
    name = source.model_id.lower()
    metadata = {
        "model_id": name,
        "revision": source.revision,
        "endpoint": source.endpoint or HUB,
        "include": None if source.include is None else list(source.include),
        "exclude": None if source.exclude is None else list(source.exclude),
    }
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    import hashlib

    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return {
        "tag": f"{name.replace('/', '--')}:{digest}",
        "module": None,
        "creation_time": creation_time,
        "registry": "huggingface",
        "metadata": metadata,
    }


def _find(reference: Model, models: Sequence[BundledModel], place: str, user: str) -> BundledModel:
    """Return the model to which `user` refers, by its alias or its tag. Raises BentoError for a missing model."""
    aliased = next((model for model in models if reference.alias and model.alias == reference.tag), None)
    return aliased or _resolve(reference.tag, models, place, f"{user} requires")


def legacy_models(info: ServiceInfo, models: Sequence[BundledModel]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the bento.yaml entries for a legacy service's models, and a mapping of declared tags to complete tags.

    Raises BentoError for a missing model.
    """
    described = {model.tag: _find(model, models, info.path, info.service) for model in info.models}
    entries = {model.description.tag: model.entry() for model in described.values()}
    return list(entries.values()), {tag: model.description.tag for tag, model in described.items()}


def choose(
    choices: Sequence[ModelChoice], models: Sequence[BundledModel], place: str
) -> tuple[list[str], list[BundledModel]]:
    """Return the tags of the selected models, and a copy of `models` with the aliases in `choices`.

    Raises BentoError if a selected model isn't bundled, or if aliases conflict. The message begins with `place`.
    """
    aliases = {model.description.tag: model.alias for model in models}
    chosen: dict[str, None] = {}
    for choice in choices:
        candidates = [model for model in models if _matches_filter(model, choice.filter)]
        hint = "" if "=" in (choice.filter or "") else " (for a label with a value, write label:KEY=VALUE)"
        wanted = f"{choice.tag!r} with filter {choice.filter!r}{hint}" if choice.filter else ""
        tag = _resolve(choice.tag, candidates, place, "the Bento requires", wanted).description.tag
        alias = choice.alias or aliases[tag]
        if aliases[tag] and aliases[tag] != alias:
            problem = (
                f"{tag} has the aliases {aliases[tag]!r} and {alias!r}, but a Bento supports only one alias per model"
            )
            raise BentoError(problem, place=place, remedy="Remove one of the aliases.")
        if tag in chosen and not aliases[tag] and alias:
            problem = f"{tag} is listed twice, first without an alias, so BentoML ignores the alias {alias!r}"
            raise BentoError(problem, place=place, remedy="Remove the item without the alias.")
        chosen[tag] = None
        aliases[tag] = alias
    owners: dict[str, str] = {}
    for tag, alias in aliases.items():
        if alias and owners.setdefault(alias, tag) != tag:
            remedy = "Rename one of the aliases."
            raise BentoError(f"{owners[alias]} and {tag} have the same alias {alias!r}", place=place, remedy=remedy)
    return list(chosen), [replace(model, alias=aliases[model.description.tag]) for model in models]


def check_loads(loads: Sequence[Sequence[str]], models: Sequence[BundledModel]) -> None:
    """Raise BentoError if a call requires a model with the metadata field `module`, but the model has no `module`.

    Each item of `loads` describes a call: the tag, the framework, the function, and the location for error messages.
    """
    for tag, framework, function, place in loads:
        loaded = [model for model in models if model.alias == tag] or _versions_matching(tag, models)
        accepts_any = function == "get" and framework in _ACCEPT_ANY
        if loaded and not accepts_any and not any(model.description.module for model in loaded):
            raise BentoError(
                f"bentoml.{framework}.{function} can't load {loaded[0].description.tag}, because the model has no "
                "module",
                place=place,
                remedy=f"Set module = 'bentoml.{framework}' on the bento_model, or save the model with "
                f"bentoml.{framework}.save_model.",
            )


def absent_loads(loads: Sequence[Sequence[str]], models: Sequence[BundledModel]) -> list[str]:
    """Return notes on calls, as for `check_loads`, that require a model that the Bento doesn't contain."""
    return [
        f"{place}: bentoml.{framework}.{function} requires the model {tag}, which the Bento doesn't contain. Add the "
        "model to models."
        for tag, framework, function, place in loads
        if not any(model.alias == tag for model in models) and not _versions_matching(tag, models)
    ]


def _versions_matching(tag: str, models: Sequence[BundledModel]) -> list[BundledModel]:
    """Return the models that match `tag`. The version in the tag can be missing, `latest`, or a prefix."""
    name, _, version = tag.lower().removesuffix(":latest").partition(":")
    return [model for model in models if model.tag.name == name and model.tag.version.startswith(version)]


def _matches_filter(model: BundledModel, conditions: str | None) -> bool:
    """Return whether a model has all labels that the filter `conditions` requires."""
    for condition in conditions.split(",") if conditions else ():
        key, equals, value = condition.strip().removeprefix("label:").partition("=")
        labels = model.description.labels
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _resolve(tag: str, models: Sequence[BundledModel], place: str, needs: str, wanted: str = "") -> BundledModel:
    """Return the newest model that matches `tag`. Raises BentoError for a missing model or ambiguous version prefix."""
    version = tag.lower().removesuffix(":latest").partition(":")[2]
    matching = _versions_matching(tag, models)
    if not matching:
        bundled_tags = ", ".join(model.description.tag for model in models) or "none"
        alias = next((model.description.tag for model in models if model.alias == tag), None)
        remedy = "Add the bento_model to the models attribute."
        if alias:
            remedy = f"{tag!r} is an alias of {alias}, but only bentoml.models.get supports aliases. Use the tag."
        needed = f"{needs} the model {wanted or repr(tag)}"
        problem = f"{needed}, which isn't one of the available models ({bundled_tags})"
        error = MissingModelError(problem, place=place, remedy=remedy)
        error.tag, error.needed = "" if alias else tag, needed
        raise error
    found = newest_model(sorted(matching, key=lambda model: model.tag))
    if version and len({model.description.tag for model in matching}) > 1:
        exact = [model for model in matching if model.tag.version == version]
        if not exact:
            problem = f"{tag!r} is ambiguous: {', '.join(model.description.tag for model in matching)}"
            raise BentoError(problem, place=place, remedy="Use the complete version.")
        found = exact[0]
    return found or matching[0]
