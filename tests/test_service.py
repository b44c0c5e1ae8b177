"""Static reading against what importing with real BentoML gave (tests/services), and what it refuses."""

import json
from pathlib import Path

import pytest
from rules_bento.service import (
    ServiceInfo,
    from_json,
    read_service,
    to_json,
)

SERVICES = Path(__file__).parent / "services"


def header(folder, key):
    for path in sorted(folder.rglob("*.py")):
        for line in path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()[:5]:
            if line.startswith(f"# {key}: "):
                return line.partition(": ")[2].strip()
    return ""


def sources_of(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "expected.json")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.parent.name != "__pycache__"
    }


CASES = sorted(path for path in SERVICES.iterdir() if (path / "expected.json").exists())


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    folder = request.param
    truths = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return folder, read_service(header(folder, "service"), sources_of(folder)), truths


def test_suite_is_large_enough():
    assert len(CASES) >= 60


def test_equal_to_bentoml_or_said_to_be_unknown(case):
    _, info, truths = case
    for truth in truths:
        wrong = [line for facts, line in differences(info, truth) if not excused(info, facts)]
        assert not wrong, f"with {truth['with']}: {wrong}"


def test_unknown_is_exactly_what_the_case_says(case):
    folder, info, _ = case
    said = [fact.strip() for fact in header(folder, "unknown").split(",") if fact.strip()]
    assert sorted({unknown.fact for unknown in info.unknowns}) == sorted(said)


def test_unknowns_point_at_a_line_of_a_source(case):
    folder, info, _ = case
    for unknown in info.unknowns:
        lines = (folder / unknown.path).read_bytes().splitlines()
        assert 1 <= unknown.line <= len(lines)
        assert unknown.required is (unknown.attribute in ("services", "models") and "taken for no" not in unknown.what)


def test_survives_json(case):
    _, info, _ = case
    assert from_json(json.loads(json.dumps(to_json(info)))) == info


def excused(info: ServiceInfo, facts):
    def covers(said, fact):
        return said == fact or fact.startswith(f"{said}.") or said.startswith(f"{fact}.")

    return any(covers(unknown.fact.rstrip("."), fact) for unknown in info.unknowns for fact in facts)


def differences(info, truth):
    """Give what differs, each with the unknown facts that would be a reason for it."""
    graph = ["name", "members", "dependencies"]
    pairs = [
        (["service"], info.service, truth["service"]),
        (["name"], info.bento_name, truth["name"]),
        (["name"], info.entry_service, truth["entry_service"]),
        (["labels", "paths", "members"], list(info.labels.items()), list(truth["labels"].items())),
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
    assert (info.kind == "legacy") is (truth["spec"] == 1)
    return [(facts, f"{facts[0]}: {ours!r} is not {real!r}") for facts, ours, real in pairs if ours != real]


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
    paths = {api.route: {"mounted": False} for api in service.apis}
    for mount in service.mounts:
        for route in mount.routes or ():
            paths[route] = {"mounted": True}
    yield ["paths", "apis", "members"], list(paths.items()), list(truth["paths"].items())
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
        return {"tag": model.tag}
    source = model.huggingface
    metadata = {
        "model_id": source.model_id.lower(),
        "revision": source.revision,
        "endpoint": source.endpoint or "https://huggingface.co",
        "include": None if source.include is None else list(source.include),
        "exclude": None if source.exclude is None else list(source.exclude),
    }
    return {"registry": "huggingface", "metadata": metadata}


def plain_dependency(dependency):
    fields = {key: getattr(dependency, key) for key in ("service", "deployment", "cluster", "url")}
    return {key: value for key, value in fields.items() if value is not None}
