"""Subcommands of module extensions and repository rules, which read locks and plan package hubs."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.base.subcommand_arguments import Request
from rules_bento.base.typing_lite import Collection


class _NormalizeLockRequest(Request):
    lock: str
    output: Path
    settings: Path  # JSON: the attributes of a package hub, and indexes as a JSON string
    uv: str = ""  # only for locks that uv completes


def normalize_lock(request: _NormalizeLockRequest) -> None:
    """Convert a lock of any form to the form of package hubs, with the settings of its wheels by package (`wheels`).

    Module extensions run this subcommand.
    """
    from rules_bento.bentos.packages import hub_settings
    from rules_bento.bentos.packages.indexes import Indexes
    from rules_bento.bentos.packages.lock_with_uv import normalize
    from rules_bento.bentos.packages.uv_lock_conflicts import Choice

    settings = json.loads(request.settings.read_text("utf-8"))
    hub_settings.check(settings)
    members, extras, groups = (_selected_names(settings[key]) for key in ("members", "extras", "groups"))
    normal = normalize(
        Path(request.lock),
        uv=Path(request.uv),
        requires_python=f"=={'.'.join(settings['python_version'].split('.')[:2])}.*",
        choice=Choice(members, extras, groups),
        indexes=Indexes.from_json(settings["indexes"], request.lock),
    )
    wheels = hub_settings.wheel_settings(settings, normal["packages"])
    request.output.write_text(json.dumps(normal | {"wheels": wheels}), "utf-8")


class _PlanHubRequest(Request):
    output: Path
    python_version: str
    settings: Path


def plan_hub(request: _PlanHubRequest) -> None:  # writes: output that follows links, names of targets
    """Write the plan of a package hub as JSON files into a directory. Repository rules run this subcommand."""
    from rules_bento.bentos.packages.hub_plan import HubPlan

    settings = json.loads(request.settings.read_text("utf-8"))
    for name, document in HubPlan(settings, request.python_version).documents().items():
        path = request.output / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document), "utf-8")


def _selected_names(names: Collection[str]) -> list[str] | None:
    from rules_bento.bentos.packages.requirement_syntax import normalize_name

    return None if "*" in names else [normalize_name(name) for name in names]
