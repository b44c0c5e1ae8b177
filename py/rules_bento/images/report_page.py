"""The report of an image's layers as a page: one file without anything from elsewhere, for a desk or a phone.

Tables say all of it without a script; the script draws the same as rectangles, whose areas are sizes.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KINDS = {
    "wheel": "Python package",
    "deb": "Debian package",
    "model": "model",
    "bento": "sources",
    "other": "other files",
}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; font: 15px/1.4 system-ui, sans-serif; }}
body {{ margin: 0 auto; max-width: 75rem; padding: 1rem; }}
h1 {{ font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; }}
p {{ margin: .3rem 0; }}
#map {{ position: relative; overflow: hidden; height: 65vh; min-height: 20rem; margin: .8rem 0; }}
#map button {{ position: absolute; box-sizing: border-box; overflow: hidden; padding: 2px 4px; border: 1px solid #fff8;
  border-radius: 2px; color: #111; font: inherit; font-size: .75rem; line-height: 1.2; text-align: left;
  display: flex; align-items: flex-start; overflow-wrap: anywhere; cursor: zoom-in; }}
#map button:focus-visible {{ outline: 3px solid currentColor; z-index: 2; }}
#map .leaf {{ cursor: default; }}
.layer {{ background: #d9dde3; }}
.wheel {{ background: #a8c8f0; }} .deb {{ background: #f3c6a5; }} .model {{ background: #c3a8e8; }}
.bento {{ background: #a9dcae; }} .other {{ background: #d6d6d6; }}
#trail button {{ font: inherit; color: inherit; background: none; border: 0; padding: .4rem .2rem;
  text-decoration: underline; }}
.key span {{ display: inline-block; padding: 0 .5rem; margin-right: .3rem; border-radius: 2px; color: #111; }}
table {{ border-collapse: collapse; width: 100%; }}
.wide {{ overflow-x: auto; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .25rem .5rem .25rem 0; text-align: left;
  overflow-wrap: anywhere; }}
td.size {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
summary {{ padding: .4rem 0; cursor: pointer; }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<p class="key">{key}</p>
<noscript><p>The map needs a script; the tables below say the same.</p></noscript>
<nav id="trail" aria-label="Where the map is"></nav>
<div id="map" role="group" aria-label="Map of the image: areas are sizes"></div>
{changes}{layers}<script type="application/json" id="report">{data}</script>
<script>{script}</script>
</html>
"""

_SCRIPT = """
"use strict";
const report = JSON.parse(document.getElementById("report").textContent);
const map = document.getElementById("map"), trail = document.getElementById("trail");
const text = size => size < 1e5 ? (size / 1e3).toFixed(1) + " kB" : (size / 1e6).toFixed(1) + " MB";
const sum = nodes => nodes.reduce((total, node) => total + node.size, 0);
function node(label, kind, size, children) { return { label, kind, size, children }; }
function ofPackage(item) {
  const files = item.largest.map(file => node(file.path.split("/").slice(-2).join("/"), item.kind, file.size, []));
  const rest = item.size - sum(files);
  if (rest > 0) files.push(node((item.files - files.length) + " other files", item.kind, rest, []));
  return node(item.name + (item.version ? " " + item.version : ""), item.kind, item.size, files);
}
function ofLayer(layer) {
  const packages = layer.packages.map(ofPackage);
  if (packages.length === 1) return packages[0];
  return node(layer.name, "layer", packages.length ? sum(packages) : layer.size, packages);
}
const root = node(report.target, "layer", 0, report.layers.map(ofLayer));
root.size = sum(root.children);

// Rows along the shorter side, each as square as it gets.
function place(nodes, x, y, width, height) {
  let items = nodes.filter(item => item.size > 0).sort((one, other) => other.size - one.size);
  let left = sum(items);
  const placed = [];
  while (items.length) {
    const side = Math.min(width, height), scale = width * height / left;
    let row = [], worst = Infinity, area = 0;
    for (const item of items) {
      const more = area + item.size * scale, thick = more / side;
      const shape = Math.max(...[...row, item].map(one => {
        const long = one.size * scale / thick;
        return Math.max(long / thick, thick / long);
      }));
      if (shape > worst) break;
      row.push(item); worst = shape; area = more;
    }
    const thick = area / side;
    let at = 0;
    for (const item of row) {
      const long = item.size * scale / thick;
      placed.push(width >= height ? [item, x, y + at, thick, long] : [item, x + at, y, long, thick]);
      at += long;
    }
    if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    left -= sum(row);
    items = items.slice(row.length);
  }
  return placed;
}
let path = [root];
function go(to) { path = to; draw(); }
function box(item, x, y, width, height, to) {
  if (width < 3 || height < 3) return;
  const button = document.createElement("button");
  button.className = item.kind + (item.children.length ? "" : " leaf");
  button.style.cssText = `left:${x}px;top:${y}px;width:${width}px;height:${height}px`;
  button.title = item.label + ", " + text(item.size);
  button.setAttribute("aria-label", button.title);
  if (width > 40 && height > 16) button.textContent = button.title;
  else button.style.padding = 0;
  if (item.kind === "layer") button.style.whiteSpace = "nowrap";
  if (item.children.length) button.onclick = () => go(to);
  map.append(button);
}
function draw() {
  map.replaceChildren();
  const here = path[path.length - 1];
  for (const [item, x, y, width, height] of place(here.children, 0, 0, map.clientWidth, map.clientHeight)) {
    const to = [...path, item];
    box(item, x, y, width, height, to);
    if (here === root && width > 60 && height > 50)
      for (const [inner, ...where] of place(item.children, x + 3, y + 20, width - 6, height - 23))
        box(inner, ...where, [...to, inner]);
  }
  trail.replaceChildren(...path.map((item, depth) => {
    const button = document.createElement("button");
    button.textContent = (depth ? "\\u203a " : "") + item.label + ", " + text(item.size);
    button.onclick = () => go(path.slice(0, depth + 1));
    return button;
  }));
}
addEventListener("resize", draw);
draw();
"""


def page(report: dict[str, Any]) -> str:
    """The HTML of a report (`layer_report`)."""
    layers = report["layers"]
    stored = sum(layer["size"] for layer in layers)
    unpacked = sum(package["size"] for layer in layers for package in layer["packages"])
    return _PAGE.format(
        title=escape(report["target"]),
        summary=f"{len(layers)} layers, {_size(stored)} in a registry, {_size(unpacked)} unpacked.",
        key="".join(f'<span class="{kind}">{name}</span>' for kind, name in _KINDS.items()),
        changes=_changes(report["changes"]) if "changes" in report else "",
        layers="".join(_layer(number, layer) for number, layer in enumerate(layers, 1)),
        # So that nothing in it ends the element.
        data=json.dumps(report, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        script=_SCRIPT,
    )


def _layer(number: int, layer: dict[str, Any]) -> str:
    rows = [
        (_KINDS[package["kind"]], package["name"], package["version"], _size(package["size"]))
        for package in layer["packages"]
    ]
    head = f"{number}. {escape(layer['name'])}, {_size(layer['size'])} in a registry"
    table = _table(("", "name", "version", "unpacked"), rows) if rows else "<p>Its bytes are not here.</p>\n"
    return f"<details><summary>{head}</summary>\n{table}</details>\n"


def _changes(changes: list[dict[str, Any]]) -> str:
    if not changes:
        return "<h2>Changes</h2>\n<p>The packages are those of the other image.</p>\n"
    rows = [
        (
            _KINDS[change["kind"]],
            change["name"],
            _versions(change["before"], change["after"]),
            f"{'+' if change['change'] >= 0 else '-'}{_size(abs(change['change']))}",
        )
        for change in changes
    ]
    return f"<h2>Changes</h2>\n{_table(('', 'name', 'version', 'unpacked'), rows)}"


def _versions(before: str | None, after: str | None) -> str:
    if before is None:
        return f"new {after}".strip()
    if after is None:
        return f"gone {before}".strip()
    return after if before == after else f"{before} → {after}"


def _table(titles: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    return '<div class="wide"><table>\n' + "".join(_lines(titles, rows)) + "</table></div>\n"


def _lines(titles: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "<tr>" + "".join(f'<th scope="col">{title}</th>' for title in titles) + "</tr>\n"
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[:-1])
        yield f'<tr>{cells}<td class="size">{row[-1]}</td></tr>\n'


def _size(size: int) -> str:
    return f"{size / 1e3:.1f} kB" if size < 100_000 else f"{size / 1e6:.1f} MB"
