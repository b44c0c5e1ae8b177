"""Reads documents: code blocks, code spans, links, and headings."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/**/*.md", "examples/*/README.md"]


@dataclass(frozen=True)
class Block:
    """Describes a fenced code block and its position."""

    path: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def documents(root: Path) -> list[Path]:
    return sorted(path for pattern in DOCUMENTS for path in root.glob(pattern))


def blocks(path: Path) -> list[Block]:
    found = []
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        line = path.read_text("utf-8").count("\n", 0, match.start()) + 1
        indent, language, text = match.groups()
        text = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        found.append(Block(path.as_posix(), line, language, text))
    return found


def commands(block: Block) -> list[list[str]]:
    """Return the words of each command in a console block: lines that begin with `$ `, with continuation lines."""
    text = block.text.replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [words for line in lines for words in _simple_commands(shlex.split(line, comments=True))]


def _simple_commands(words: list[str]) -> list[list[str]]:
    """Split words at `|`, `&&`, `&`, and `;`. Removes leading variables and redirections from each command."""
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("|", "&&", "&", ";"):
            found.append([])
        elif not (not found[-1] and re.match(r"[A-Z_]+=", word)):
            found[-1].append(word)
    return [each[: each.index(">")] if ">" in each else each for each in found if each]


def prose(path: Path) -> str:
    """Return the text of a document without code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def spans(path: Path) -> list[str]:
    """Return the contents of code spans. A span can contain a line break."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(path))]


def links(path: Path) -> list[str]:
    text = re.sub(r"`[^`]+`", "", prose(path))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+://", link)]


def web_links(path: Path) -> list[str]:
    return re.findall(r"(?:\]\(|<)(\w+://[^)>]*)[)>]", re.sub(r"`[^`]+`", "", prose(path)))


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, in the same form as on GitHub."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lost(root: Path) -> list[str]:
    """Return the targets and files of this repository that documents name and that don't exist."""
    found = []
    for path in documents(root):
        text = path.read_text("utf-8")
        labels = re.findall(r"(?<![\w/:@])//([\w/]+):([\w.+-]*\w)", text)
        found += [f"{path.name}: no //{package}:{name}" for package, name in labels if is_lost(root / package, name)]
        files = re.findall(r"(?<![\w/.:])((?:tests|bench|e2e|py|rules|toolchains|tools|docs)/[\w./-]*\.\w+)", text)
        found += [f"{path.name}: no {name}" for name in files if not (root / name).exists()]
    return found


def is_lost(package: Path, target: str) -> bool:
    """Return whether a package has neither a file with this name nor a target whose name is a prefix (for macros)."""
    if not package.is_dir() or target == "all" or (package / target).is_file():
        return False
    build = package / "BUILD.bazel"
    names = re.findall(r'"(\w[\w.-]*)', build.read_text("utf-8")) if build.is_file() else []
    return not any(target.startswith(name) for name in names)
