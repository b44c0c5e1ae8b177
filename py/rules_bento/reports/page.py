"""Generates HTML pages for reports. Each page is a single file that adapts to the screen size and color scheme.

A page contains tables, and a script that draws a treemap of the sizes.
"""

from __future__ import annotations

import json
from html import escape

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.typing_lite import Any, Iterable, Iterator, Mapping, Sequence

VERSION = "0.1.0"
_UNSTAMPED = "1980-01-01"  # the date of builds that set no creation time
_FEW = 20  # files or packages: for so few, the map is collapsed initially
_MAX_VERSION = 24  # characters of a version

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; font: 15px/1.4 system-ui, sans-serif; }}
body {{ margin: 0 auto; max-width: 75rem; padding: 1rem; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.2rem; margin: 0; }}
h2 {{ font-size: 1.1rem; margin: 1rem 0 .3rem; }}
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
  text-align: left; text-decoration: underline; }}
.key span {{ display: inline-block; padding: 0 .5rem; margin-right: .3rem; border-radius: 2px; color: #111; }}
footer {{ margin-top: 1rem; opacity: .8; }}
table {{ border-collapse: collapse; width: 100%; }}
.wide {{ overflow-x: auto; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .25rem .5rem .25rem 0; text-align: left;
  vertical-align: top; }}
th, .kind {{ white-space: nowrap; }}
.size {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
summary {{ padding: .4rem 0; cursor: pointer; }}
</style>
<h1>{title}</h1>
{summary}{changes}<details id="figure"{is_open}><summary>Map</summary>
<p class="key">{key}</p>
<noscript><p>The map needs JavaScript; the tables below have the same data.</p></noscript>
<nav id="trail" aria-label="Position in the map"></nav>
<div id="map" role="group" aria-label="Map of the contents: areas are sizes"></div>
</details>
{sections}<footer>{footer}</footer>
<script type="application/json" id="tree">{tree}</script>
<script>{script}</script>
</html>
"""

_SCRIPT = """
"use strict";
const root = JSON.parse(document.getElementById("tree").textContent);
const map = document.getElementById("map"), trail = document.getElementById("trail");
const text = size => size < 1e5 ? (size / 1e3).toFixed(1) + " kB"
  : size < 1e9 ? (size / 1e6).toFixed(1) + " MB" : (size / 1e9).toFixed(2) + " GB";
const sum = nodes => nodes.reduce((total, node) => total + node.size, 0);

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
function box(item, x, y, width, height, to, open) {
  if (width < 3 || height < 3) return;
  const button = document.createElement("button");
  button.className = item.kind + (item.children.length ? "" : " leaf");
  button.style.cssText = `left:${x}px;top:${y}px;width:${width}px;height:${height}px`;
  button.title = item.label + ", " + text(item.size);
  button.setAttribute("aria-label", button.title);
  if (width > 40 && height > 16) button.textContent = button.title;
  else button.style.padding = 0;
  if (open) button.style.whiteSpace = "nowrap";
  if (item.children.length) button.onclick = () => go(to);
  map.append(button);
}
function draw() {
  map.replaceChildren();
  const here = path[path.length - 1];
  for (const [item, x, y, width, height] of place(here.children, 0, 0, map.clientWidth, map.clientHeight)) {
    const to = [...path, item];
    const open = here === root && item.children.length && width > 60 && height > 50;
    box(item, x, y, width, height, to, open);
    if (open)
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
document.getElementById("figure").addEventListener("toggle", draw);
draw();
"""


@dataclass(frozen=True)
class MapNode:
    """A rectangle in the map. `kind` is a CSS class. `size` is in bytes, and includes the children."""

    label: str
    kind: str
    size: int
    children: Sequence[MapNode] = field(default=())

    def data(self) -> dict[str, Any]:
        """Return the rectangle and its children as JSON data for the script."""
        children = [child.data() for child in self.children]
        return {"label": self.label, "kind": self.kind, "size": self.size, "children": children}


def document(
    title: str,
    summary: Iterable[str],
    kinds: Mapping[str, str],
    tree: MapNode,
    sections: Iterable[str],
    *,
    changes: str = "",
    documentation: str,
    date: str | None = None,
) -> str:
    """Return an HTML page. `title` and `summary` are text; `changes` and `sections` are HTML.

    `kinds` maps CSS classes in the map to labels. `documentation` is the page that explains the report. `date` is the
    creation time of the build's outputs.
    """
    footer = [f"rules_bento {VERSION}", *([date] if date and not date.startswith(_UNSTAMPED) else [])]
    return _PAGE.format(
        title=escape(title),
        summary="".join(f"<p>{escape(text)}</p>\n" for text in summary),
        key="".join(f'<span class="{kind}">{name}</span>' for kind, name in kinds.items()),
        changes=heading("Changes", changes) if changes else "",
        is_open=" open" * (_leaves(tree) > _FEW),
        sections="".join(sections),
        footer=escape(" · ".join([*footer, f"For an explanation of this report, see {documentation}."])),
        # So that the data cannot end the element.
        tree=json.dumps(tree.data(), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        script=_SCRIPT,
    )


def _leaves(node: MapNode) -> int:
    return sum(map(_leaves, node.children)) or 1


def section(title: str, body: str, *, is_open: bool = False) -> str:
    """Return a collapsible HTML section. `body` is HTML."""
    return f"<details{' open' * is_open}><summary>{escape(title)}</summary>\n{body}</details>\n"


def heading(title: str, body: str) -> str:
    """Return an HTML section that is always open. `body` is HTML."""
    return f"<h2>{escape(title)}</h2>\n{body}"


def paragraph(text: str) -> str:
    """Escape `text`, and return it as an HTML paragraph."""
    return f"<p>{escape(text)}</p>\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, last: str = "size") -> str:
    """Return a table as HTML. `last` is the CSS class of the last column; use `size` for numbers.

    If the title of the first column is "Kind", text in this column isn't wrapped.
    """
    return '<div class="wide"><table>\n' + "".join(_lines(titles, rows, last)) + "</table></div>\n"


def _lines(titles: Sequence[str], rows: Iterable[Sequence[str]], last: str) -> Iterator[str]:
    classes = ["kind" if titles[0] == "Kind" else "", *[""] * (len(titles) - 2), last]
    styles = [f' class="{name}"' if name else "" for name in classes]
    heads = (f'<th scope="col"{style}>{escape(title)}</th>' for title, style in zip(titles, styles, strict=True))
    yield "<tr>" + "".join(heads) + "</tr>\n"
    for row in rows:
        cells = (f"<td{style}>{escape(cell)}</td>" for cell, style in zip(row, styles, strict=True))
        yield "<tr>" + "".join(cells) + "</tr>\n"


def size(count: int) -> str:
    """Format a number of bytes with a unit, such as `4.0 kB`, `12.3 MB`, or `2.00 GB`."""
    if count < 100_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"


def difference(count: int) -> str:
    """Format a difference in bytes with a sign and a unit, such as `+4.0 kB`."""
    return f"{'+' if count >= 0 else '-'}{size(abs(count))}"


def versions(before: str | None, after: str | None) -> str:
    """Return a description of a version change. Shortens long versions. None represents a missing version."""
    if before is None:
        return f"new {_short(after or '')}".strip()
    if after is None:
        return f"gone {_short(before)}".strip()
    return _short(after) if before == after else f"{_short(before)} → {_short(after)}"


def _short(version: str) -> str:
    """Shorten a long version, such as a digest, so that other columns fit on a phone."""
    return version if len(version) <= _MAX_VERSION else f"{version[:12]}…"
