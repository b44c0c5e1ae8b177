"""Writes what is in the layers of an image, as JSON and as a page to look at."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.arguments import read_text
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.images import layer_report, report_page
from rules_bento.images.oci_image import Layer
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--against": 1,  # report of another image
    "--bento": 1,  # folder of the Bento in the image
    "--elsewhere": 1,  # description of a layer whose bytes are not here
    "--excluded": 1,  # how much is left out of a wheel
    "--layer": 2,  # description, blob
    "--output": 1,
    "--page": 1,
    "--allow-record-mismatch": 1,  # name of a package whose wheel is taken although its RECORD is wrong
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the report of an image's layers as JSON and as a page."""
    target, bento = arguments.required("--target"), arguments.required("--bento")
    described: list[tuple[str, Path | None]] = [(path, None) for path in arguments.repeated("--elsewhere")]
    described += [(description, Path(blob)) for description, blob in arguments.tuples("--layer")]
    owners: dict[str, layer_report.Owner] = {}
    layers = [
        layer_report.describe_layer(Layer.loads(read_text(path)), blob, bento, owners) for path, blob in described
    ]
    report: dict[str, Any] = {"target": target, "layers": layers}
    if wrong := arguments.repeated("--allow-record-mismatch"):
        report["record_mismatches"] = sorted(wrong)
    excluded = [json.loads(read_text(path)) for path in arguments.repeated("--excluded")]
    if left_out := sorted((one for one in excluded if one["files"]), key=lambda one: (-one["size"], one["name"])):
        report["excluded"] = left_out
    if against := arguments.optional("--against"):
        report["changes"] = layer_report.changes(report, read_object(read_file(against), "report_against"))
    text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    Path(arguments.required("--output")).write_text(text, "utf-8")
    Path(arguments.required("--page")).write_text(report_page.page(report), "utf-8")
