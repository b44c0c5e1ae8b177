"""Provides the services of tests/services, BentoML's results for each service, and the intended differences."""

import json

from rules_bento.bentos.service import ServiceInfo

from tests.services.record import EXPECTED, HUB, TABLE, read_table

CASES = {case.name: case for case in read_table(TABLE)}
TRUTHS = json.loads(EXPECTED.read_text(encoding="utf-8"))


def excused(info: ServiceInfo, fields):
    def covers(said, fact):
        return said in (fact, "service") or fact.startswith(f"{said}.") or said.startswith(f"{fact}.")

    return any(covers(unknown.field, fact) for unknown in info.unknowns for fact in fields)


def differences(info, truth):
    """Yield the differences, each with the unknown metadata that would explain it."""
    graph = ["name", "members", "dependencies"]
    pairs = [
        (["service"], info.service, truth["service"]),
        (["name"], info.bento_name, truth["name"]),
        (["name"], info.entry_service, truth["entry_service"]),
        (["labels", "members"], list(info.labels.items()), list(truth["labels"].items())),
        (["description"], info.description, truth["description"]),
        (["models"], [tag(model) for model in info.models], [model["tag"] for model in truth["models"]]),
        (graph, [service.name for service in info.services], [row["name"] for row in truth["services"]]),
    ]
    envs = [{"name": env.name, "value": env.value, "stage": env.stage} for env in info.envs]
    pairs.append((["envs"], envs, truth["envs"]))
    image = info.image and {
        "arguments": info.image.arguments,
        "calls": [[call.method, list(call.args)] for call in info.image.calls],
    }
    pairs.append((["image"], image, truth["image"]))
    for service, row in zip(info.services, truth["services"], strict=False):
        pairs += service_pairs(service, row)
    if info.kind == "new" and info.services:
        pairs += schema_pairs(info.services[0], truth)
    if info.kind == "legacy":
        pairs += legacy_pairs(info, truth)
    pairs.append((["service"], info.kind, "legacy" if truth["spec"] == 1 else "new"))
    return [(fields, f"{fields}: {ours!r} is not {real!r}") for fields, ours, real in pairs if ours != real]


def service_pairs(service, row):
    graph = ["name", "members", "dependencies"]
    yield graph, [plain_dependency(one) for one in service.dependencies], row["dependencies"]
    real = {"": row["models"]}
    ours = {"": [plain_model(model) for model in service.models]}
    for mine, theirs in zip(ours[""], real[""], strict=False):
        if mine.get("tag", "").endswith(":latest") or ":" not in mine.get("tag", ":"):
            # Which version is the latest is the store's to say.
            mine["tag"] = mine["tag"].partition(":")[0] + ":" + theirs["tag"].partition(":")[2]
        if "metadata" in mine:
            mine["tag"] = theirs["tag"]
    yield ["models", "members"], ours[""], real[""]
    keys = {*service.config, *row["config"]}
    for key in sorted(keys):
        yield from config_pairs(f"config.{key}", service.config.get(key), row["config"].get(key))


def config_pairs(fact, ours, real):
    if isinstance(ours, dict) and isinstance(real, dict):
        for key in sorted({*ours, *real}):
            yield from config_pairs(f"{fact}.{key}", ours.get(key), real.get(key))
    else:
        yield [fact, "members"], ours, real


def schema_pairs(service, truth):
    routes = [
        {
            "name": api.name,
            "route": api.route,
            "batchable": api.batchable,
            "is_task": api.is_task,
            "is_stream": api.is_stream,
        }
        for api in service.apis
    ]
    yield ["apis", "members", "name"], routes, truth["routes"]
    paths = [path for path, about in truth["paths"].items() if not about["mounted"]]
    yield ["apis", "members"], list(dict.fromkeys(api.route for api in service.apis)), paths
    yield ["doc", "members"], service.doc, truth["doc"]


def legacy_pairs(info, truth):
    apis = [
        {"name": api.name, "input_type": api.input_type, "output_type": api.output_type, "route": api.route}
        for api in info.apis
    ]
    yield ["apis"], apis, truth["apis"]
    runners = [
        {
            "name": runner.name,
            "runnable_type": runner.runnable_type,
            "embedded": runner.embedded,
            "models": list(runner.models),
        }
        for runner in info.runners
    ]
    yield ["runners", "models"], runners, truth["runners"]


def tag(model):
    return model.tag


def plain_model(model):
    if model.huggingface is None:
        return {"tag": model.tag.lower()}
    source = model.huggingface
    metadata = {
        "model_id": source.model_id.lower(),
        "revision": source.revision,
        "endpoint": source.endpoint or HUB,
        "include": None if source.include is None else list(source.include),
        "exclude": None if source.exclude is None else list(source.exclude),
    }
    return {"registry": "huggingface", "metadata": metadata}


def plain_dependency(dependency):
    fields = {key: getattr(dependency, key) for key in ("service", "deployment", "cluster", "url")}
    return {key: value for key, value in fields.items() if value is not None}
