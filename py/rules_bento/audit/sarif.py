"""Writes an audit report in SARIF 2.1.0, a format that code hosting services can display."""

from __future__ import annotations

import json

from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_bento.audit.policy import Report

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# Lowest CVSS score of a rating; GitHub derives its severity from this property.
_SCORES = {"none": "0.0", "low": "0.1", "medium": "4.0", "high": "7.0", "critical": "9.0"}


def dumps(report: Report, target: str, path: str) -> str:
    """Return a report about `target` as SARIF. The results refer to the BUILD file `path`."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    location = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 1}}}

    def add(rule: dict[str, Any], level: str, text: str, key: str) -> dict[str, Any]:
        rules.setdefault(rule["id"], rule)
        result = {"kind": "fail", "locations": [location], "ruleId": rule["id"], "level": level}
        results.append(result | {"message": {"text": text}, "partialFingerprints": {"package/v1": f"{target} {key}"}})
        return results[-1]

    for one in report.vulnerabilities:
        rule: dict[str, Any] = {"id": one.ids[0], "shortDescription": {"text": one.summary or one.ids[0]}}
        if one.rating:
            rule["properties"] = {"security-severity": _SCORES[one.rating], "tags": ["security"]}
        level = "error" if one.rejected else "note"
        result = add(rule, level, str(one), f"{one.package.name} {one.ids[0]}")
        if one.allowed:
            result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": one.allowed}]
    for violation in report.violations:
        kind, _, text = violation.partition(": ")
        if kind != "vulnerable":
            add({"id": kind.replace(" ", "-"), "shortDescription": {"text": kind}}, "error", text, violation)
    run = {
        "tool": {"driver": {"name": "bento_policy_test", "rules": list(rules.values())}},
        "automationDetails": {"id": f"{target}/"},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=1) + "\n"
