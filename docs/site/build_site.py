"""Builds the documentation site from the repository's documents: `build_site.py SETTINGS OUTPUT DOCUMENT...`.

Pages keep the directories of docs/. README.md is the landing page, docs/reference.md becomes one page for each rule,
extension, provider, and command. Links between documents follow their pages. A link to another file of the repository
becomes plain text, because a site has no source files. The output is a tar archive with equal bytes for equal input.
"""

from __future__ import annotations

import io
import logging
import os
import posixpath
import re
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "SECURITY.md": "reporting.md",
    "docs/contributing/adr/README.md": "contributing/adr/index.md",
    "docs/reference.md": "reference/index.md",
}
# The site has no Mermaid, which renders in the browser with a script from elsewhere.
_DIAGRAMS = {
    "contributing/architecture.md": "![Inputs of a Bento, the actions that read them, and outputs](../dataflow.svg)\n",
}
# Sections of the reference: the directory of their pages, and the heading of the list in each page.
_SECTIONS = {
    "Rules": ("rules", "Attributes"),
    "Macros and functions": ("functions", "Parameters"),
    "Module extensions": ("extensions", "Attributes"),
    "Flags": ("", ""),
    "Providers": ("providers", "Fields"),
    "Commands": ("commands", "Options"),
}
_EPOCH = "315532800"


def page_of(document: str) -> str:
    """Return the path of the page for a document of the repository."""
    if document in _PAGES:
        return _PAGES[document]
    if match := re.fullmatch(r"examples/(\w+)/README\.md", document):
        return f"examples/{match[1]}.md"
    return document.removeprefix("docs/")


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as in Markdown files of the repository."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def split_reference(text: str) -> dict[str, tuple[str, str, str]]:
    """Return the pages of the reference: anchor to page, title, and text."""
    pages = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        directory, heading = _SECTIONS[name]
        for part in re.split(r"^### ", body, flags=re.MULTILINE)[1:]:
            title, _, content = part.partition("\n")
            slug = re.sub(r"[^\w-]+", "-", title).strip("-")
            content = re.sub(r"^(?=- `)", f"## {heading}\n\n", content.strip(), count=1, flags=re.MULTILINE)
            pages[anchor_of(title)] = (f"reference/{directory}/{slug}.md", title, content + "\n")
    return pages


class Site:
    """The pages of the documents."""

    def __init__(self, documents: dict[str, str]) -> None:
        self._reference = split_reference(documents["docs/reference.md"])
        self._paths = {document: page_of(document) for document in documents}
        self.pages: dict[str, str] = {}
        for document, text in documents.items():
            if document == "docs/reference.md":
                self._add_reference(text)
            else:
                self.pages[self._paths[document]] = self._linked(text, document, self._paths[document])
        for page, diagram in _DIAGRAMS.items():
            self.pages[page] = re.sub(r"```mermaid\n.*?```\n", diagram, self.pages[page], flags=re.DOTALL)
        home = self.pages["index.md"].replace("](docs/pictures/", "](pictures/")
        self.pages["index.md"] = f"---\nhide: [navigation]\n---\n\n{home}"

    def _add_reference(self, text: str) -> None:
        head = text.partition("## Rules")[0].replace("# Reference", "# Reference of rules and commands")
        index = [re.sub(r"^\[Rules\].*?\n\n", "", head, flags=re.DOTALL | re.MULTILINE)]
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            name, _, body = section.partition("\n")
            intro, *parts = re.split(r"^### ", body, flags=re.MULTILINE)
            index.append(f"## {name}\n\n{intro.strip()}\n")
            rows = []
            for part in parts:
                title, _, content = part.partition("\n")
                page, _, _ = self._reference[anchor_of(title)]
                rows.append(f"| [{title}]({page.removeprefix('reference/')}) | {_summary(content)} |")
            if rows:
                index.append("| name | description |\n|---|---|\n" + "\n".join(rows) + "\n")
        page = "reference/index.md"
        self.pages[page] = self._linked("\n".join(index), "docs/reference.md", page)
        for path, title, content in self._reference.values():
            self.pages[path] = self._linked(f"# {title}\n\n{content}", "docs/reference.md", path)

    def _linked(self, text: str, document: str, page: str) -> str:
        """Return the text with links that lead from its page to other pages."""

        def replaced(match: re.Match[str]) -> str:
            label, link = match[1], match[2]
            if re.match(r"\w+://", link) or link.removeprefix("./").startswith(
                ("rules/", "functions/", "extensions/", "providers/", "commands/")
            ):
                return match[0]
            file, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(document), file)) if file else document
            if target == "docs/reference.md" and anchor in self._reference:
                path, anchor = self._reference[anchor][0], ""
            elif target in self._paths:
                path = self._paths[target]
            else:
                return label
            relative = "" if path == page else posixpath.relpath(path, posixpath.dirname(page) or ".")
            return f"[{label}]({relative}{'#' + anchor if anchor else ''})"

        return _outside_of_code(text, lambda part: re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", replaced, part))

    def navigation(self, nav: list[object]) -> list[object]:
        """Return the navigation with the pages of the reference and the decisions."""
        for entry in nav:
            if isinstance(entry, dict) and "Reference" in entry:
                for name, (directory, _) in _SECTIONS.items():
                    listed = [
                        {title: path}
                        for path, title, _ in self._reference.values()
                        if path.startswith(f"reference/{directory}/")
                    ]
                    if directory and listed:
                        entry["Reference"].append({name: listed})
            if isinstance(entry, dict) and "Contributing" in entry:
                decisions = sorted(path for path in self.pages if re.match(r"contributing/adr/\d", path))
                entry["Contributing"].append({"Decisions": ["contributing/adr/index.md", *decisions]})
        return nav


def _summary(content: str) -> str:
    """Return the first sentence of a part of the reference, without the signature of a function or a command."""
    paragraphs = [each for each in content.strip().split("\n\n") if not re.fullmatch(r"`[^`]*`", each.strip())]
    sentence = re.split(r"(?<=\.)\s", " ".join(paragraphs[0].split()))[0] if paragraphs else ""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", sentence).replace("|", "\\|") if not sentence.startswith("-") else ""


def _outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """Return the text after a change of everything except code, which can be in the label of a link."""
    code: list[str] = []

    def mark(match: re.Match[str]) -> str:
        code.append(match[0])
        return f"\x00{len(code) - 1}\x00"

    marked = re.sub(r"^ *```.*?^ *```$|`[^`\n]+`", mark, text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\x00(\d+)\x00", lambda match: code[int(match[1])], change(marked))


def archive(directory: Path) -> bytes:
    """Return a tar archive of the directory's files, without times and owners."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(path.relative_to(directory).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                tar.addfile(member, file)
    return packed.getvalue()


def _run_mkdocs(settings: Path) -> None:
    """Build the site; a warning, such as a link to a missing anchor, is an error."""
    logging.basicConfig(format="%(levelname)s: %(message)s")  # warnings to stderr
    # MkDocs reads both variables when it is imported.
    os.environ |= {"NO_MKDOCS_2_WARNING": "1", "SOURCE_DATE_EPOCH": _EPOCH}
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(settings))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    config.plugins.on_shutdown()


def main() -> None:
    """Build the site."""
    settings, output, *paths = sys.argv[1:]
    documents = {path: Path(path).read_text("utf-8") for path in paths if path.endswith(".md")}
    site = Site(documents)
    with tempfile.TemporaryDirectory() as scratch:
        pages, built, config = Path(scratch, "pages"), Path(scratch, "site"), Path(scratch, "mkdocs.yml")
        for path, text in site.pages.items():
            pages.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            pages.joinpath(path).write_text(text, "utf-8")
        for path in paths:
            if path.endswith((".css", ".png", ".svg")):
                target = pages / path.removeprefix("docs/").removeprefix("site/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(path).read_bytes())
        options = yaml.safe_load(Path(settings).read_text("utf-8"))
        options |= {"docs_dir": str(pages), "site_dir": str(built), "nav": site.navigation(options["nav"])}
        config.write_text(yaml.safe_dump(options, sort_keys=False), "utf-8")
        _run_mkdocs(config)
        Path(output).write_bytes(archive(built))


if __name__ == "__main__":
    main()
