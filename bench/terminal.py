"""Records `bento image` and `bento verify` in a terminal, and draws README's picture: `terminal.py [BASE REGISTRY]`.

Without arguments, draws docs/pictures/terminal.svg from the recording, docs/pictures/terminal.txt. With a base and an
empty registry, such as localhost:5000/python:3.13-slim and localhost:5000, records a new project without caches first.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDING, PICTURE = "docs/pictures/terminal.txt", "docs/pictures/terminal.svg"
COLUMNS, WIDTH, LINE, TOP = 102, 8.4, 19, 40
MAIN = """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/greet")
def greet(name: str) -> str:
    return f"Hello, {name}!"
"""
SETUP = "uv init -q --no-package . && uv add -q fastapi uvicorn pandas && cat > main.py"
IMAGE = "bento image . -t {registry}/api:v1 --push"
VERIFY = "bento verify {registry}/api:v1 --rebuild --source ."
COMMANDS = (IMAGE, "sed -i s/Hello/Hi/ main.py", f"{IMAGE} --explain", VERIFY)
STYLES = {"": "fill:#c5c8c6", "1": "fill:#c5c8c6;font-weight:bold", "2": "fill:#868887", "32": "fill:#98a84b"}
STYLES |= {"36": "fill:#68a0b3", "31": "fill:#cc555a", "33": "fill:#d9b263"}
# A frame of a progress bar: the one that is nearest to SHARE is shown.
BAR, SHARE, MOST = re.compile(r"━.* (\d+) %"), 60, 90


def run(command: str, directory: Path, variables: dict[str, str]) -> str:
    """Run a command in a terminal. Returns what `screen` returns."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    words = {"cwd": directory, "env": variables, "stdin": subprocess.DEVNULL, "stdout": other, "stderr": other}
    with subprocess.Popen(["sh", "-c", command], **words) as process:
        os.close(other)
        received = b""
        while True:
            try:
                received += os.read(main, 1 << 16)
            except OSError:  # the process closed the terminal
                break
    assert process.returncode == 0, received.decode()
    return screen(received.decode())


def screen(text: str) -> str:
    """Return a frame of a bar, and what a terminal shows in the end."""
    lines = [line.split("\r") for line in text.replace("\r\n", "\n").replace("\x1b[K", "").split("\n")]
    bars = [(int(match[1]), frame) for line in lines for frame in line if (match := BAR.search(frame))]
    _, frame = min(((abs(share - SHARE), frame) for share, frame in bars if share <= MOST), default=(0, ""))
    return "\n".join([*filter(None, [frame]), *(line[-1] for line in lines)]).rstrip("\n")


def record(base: str, registry: str) -> str:
    """Run the commands in a new project, with empty caches."""
    with tempfile.TemporaryDirectory() as name:
        (project := Path(name) / "api").mkdir()
        variables = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": name, "UV_CACHE_DIR": f"{name}/uv"}
        variables |= {"XDG_CACHE_HOME": f"{name}/cache", "UV_LINK_MODE": "copy"}
        subprocess.run(SETUP, shell=True, cwd=project, env=variables, check=True, input=MAIN.encode())
        with (project / "pyproject.toml").open("a") as file:
            file.write(f'\n[tool.bento.image]\nbase = "{base}"\n')
        shown = []
        for command in (each.format(registry=registry) for each in COMMANDS):
            shown += [f"\x1b[32m$\x1b[0m {command}", run(command, project, variables)]
    return "\n".join(filter(None, shown)) + "\n"


def rows(recording: str) -> list[list[tuple[str, str]]]:
    """Return the lines of a terminal with COLUMNS columns: strings with their styles."""
    result = []
    for line in recording.splitlines():
        row, column, style = list[tuple[str, str]](), 0, ""
        for part in re.split(r"(\x1b\[\d*m)", line):
            if part.startswith("\x1b"):
                style = part[2:-1].strip("0")
                continue
            while part:
                row.append((style, part[: COLUMNS - column]))
                column, part = column + len(row[-1][1]), part[COLUMNS - column :]
                if column == COLUMNS and part:
                    result.append(row)
                    row, column = [], 0
        result.append(row)
    return result


def draw(recording: str) -> str:
    """Return the picture of a recording."""
    lines = rows(recording)
    width, height = round(COLUMNS * WIDTH) + 24, len(lines) * LINE + TOP + 8
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        '     font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">',
        f'  <rect width="{width}" height="{height}" fill="#292929" rx="8"/>',
        *(
            f'  <circle cx="{20 + 22 * n}" cy="20" r="6" fill="{c}"/>'
            for n, c in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        ),
    ]
    for number, row in enumerate(lines):
        column = 0
        for style, text in row:
            if text.strip():
                place = (
                    f'x="{12 + column * WIDTH:.1f}" y="{TOP + LINE * number + 12}" textLength="{len(text) * WIDTH:.1f}"'
                )
                # Browsers collapse rows of spaces, and ignore xml:space in the root.
                svg.append(f'  <text {place} style="{STYLES[style]}">{escape(text).replace(" ", chr(160))}</text>')
            column += len(text)
    return "\n".join([*svg, "</svg>", ""])


def main() -> None:
    """Record, if a registry is named, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", metavar="BASE", help="record with this base image")
    parser.add_argument("registry", nargs="?", metavar="REGISTRY", help="push to this registry")
    chosen = parser.parse_args()
    if chosen.registry:
        (ROOT / RECORDING).write_text(record(chosen.base, chosen.registry), "utf-8")
    (ROOT / PICTURE).write_text(draw((ROOT / RECORDING).read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
