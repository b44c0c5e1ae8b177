"""What documents say: blocks of code, code in a line, links and headings."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/**/*.md", "examples/*/README.md"]


@dataclass(frozen=True)
class Block:
    """A fenced block, and where it begins."""

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
    """The words of each command of a console block: what stands behind `$ `, with lines that a backslash continues."""
    text = block.text.replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [words for line in lines for words in _simple_commands(shlex.split(line, comments=True))]


def _simple_commands(words: list[str]) -> list[list[str]]:
    """Commands between `|`, `&&` and `&`, without variables before them and without redirections."""
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("|", "&&", "&", ";"):
            found.append([])
        elif not (not found[-1] and re.match(r"[A-Z_]+=", word)):
            found[-1].append(word)
    return [each[: each.index(">")] if ">" in each else each for each in found if each]


def prose(path: Path) -> str:
    """The text without its blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def spans(path: Path) -> list[str]:
    """What stands between backticks in a line or two."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(path))]


def links(path: Path) -> list[str]:
    text = re.sub(r"`[^`]+`", "", prose(path))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+://", link)]


def web_links(path: Path) -> list[str]:
    return re.findall(r"(?:\]\(|<)(\w+://[^)>]*)[)>]", re.sub(r"`[^`]+`", "", prose(path)))


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lost(root: Path) -> list[str]:
    """Targets and files of this repository that documents name and that are not there."""
    found = []
    for path in documents(root):
        text = path.read_text("utf-8")
        labels = re.findall(r"(?<![\w/:@])//([\w/]+):([\w.+-]*\w)", text)
        found += [f"{path.name}: no //{package}:{name}" for package, name in labels if is_lost(root / package, name)]
        files = re.findall(r"(?<![\w/.:])((?:tests|bench|e2e|py|rules|toolchains|tools|docs)/[\w./-]*\.\w+)", text)
        found += [f"{path.name}: no {name}" for name in files if not (root / name).exists()]
    return found


def is_lost(package: Path, target: str) -> bool:
    """Whether a package of this repository has neither a file of the name nor a target that begins like it, as a macro's do."""
    if not package.is_dir() or target == "all" or (package / target).is_file():
        return False
    build = package / "BUILD.bazel"
    names = re.findall(r'"(\w[\w.-]*)', build.read_text("utf-8")) if build.is_file() else []
    return not any(target.startswith(name) for name in names)
