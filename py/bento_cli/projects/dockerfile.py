"""Reads a Dockerfile of a uv project, and translates it to keys of `[tool.bento.image]`.

The Dockerfile is a stranger's: nothing of it runs, and no file that it names is opened. What has no certain translation
is returned by line. https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from itertools import pairwise
from posixpath import basename, dirname, join, normpath, relpath

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json
from rules_bento.base.typing_lite import Any, Callable, Iterator, Mapping, Sequence
from rules_bento.images.plan import APP

MAIN = f"{APP}/_main"  # the directory of a project's files, as for python_image
NAMES = ("Dockerfile", "Containerfile")
MAX_SIZE = 1 << 18  # characters of a file
MAX_TEXT = 1 << 14  # characters of an instruction or a command, also after variables are replaced: shlex is quadratic
_HEREDOC = re.compile(r"<<-?[ ]?(['\"]?)([A-Za-z_]\w*)\1")
_FLAGS = re.compile(r"^(--\S+\s+)+")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^{}$]*))?\}|(\w+))")
_SHELL_TEXT = re.compile(r"[;&|<>$`*?(){}~]|\b(?:cd|export|source|if|while)\s")
_SHELL = re.compile(r"(?:\S*/)?(?:ba|da)?sh$")
_VENV = r"(?<![\w./-])(?:[\w./-]*/)?\.?venv/bin/(?=\w)"
_TESTS = re.compile(r"(?<![\w./-])(?:[\w./-]*/)?(?:nox|pytest|tox|unittest)(?![\w.-])")  # programs
_PORT = re.compile(r"\$(?:PORT\b|\{PORT\})")
# What adds a repository of a vendor to apt.
_VENDOR = re.compile(
    r"(?!sed |rm |ls ).*(?:/sources\.list|trusted\.gpg|keyrings/|apt-key|add-apt|setup_\w+\.x|\.deb\.sh)"
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[0-9A-Za-z][0-9A-Za-z.+~:-]*)?")
_PROBE = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::[^/\s\"']*)?(/[^\s\"'`)|;,\]]*)?")
# Directories that a base or every image has.
_OF_BASE = re.compile(rf"/(?:tmp|home|root|run|proc|dev|sys|etc|usr|bin)(?:/.*)?|{MAIN}|.*\.?venv(?:/.*)?|/|/opt")
# Libraries of packages for builds, and the Python packages whose wheels lack them.
_LIBRARIES = {
    "default-libmysqlclient-dev": ("libmariadb3", "mysqlclient"),
    "libcairo2-dev": ("libcairo2", "cairocffi"),
    "libmagic-dev": ("libmagic1", "python-magic"),
    "libpango1.0-dev": ("libpangoft2-1.0-0", "weasyprint"),
    "libpq-dev": ("libpq5", "psycopg", "psycopg2"),
    "portaudio19-dev": ("libportaudio2", "pyaudio", "sounddevice"),
}
# Packages that only a build or a person needs, or that Dockerfiles install for one.
_BUILD_PACKAGE = re.compile(
    r".*-dev|apt-(?:transport-https|utils)|auto(?:conf|make)|build-essential|ca-certificates|clang|cmake|curl|emacs|"
    r"g\+\+|gcc|gnupg2?|htop|less|libtool|lsb-release|make|man-db|nano|netbase|ninja-build|pkg-config|"
    r"python3(?:\.\d+)?(?:-pip|-venv)?|software-properties-common|sudo|tree|tzdata|unzip|vim(?:-tiny)?|wget"
)
# Variables of builds, and those that images have.
_OWN_VARIABLE = re.compile(
    r"(?s)(?:(?:UV|PIP|POETRY)_\w+|PYTHON(?:DONTWRITEBYTECODE|UNBUFFERED)|PATH|VIRTUAL_ENV|DEBIAN_FRONTEND|HOME)=.*|"
    r"\w+=(?i:C\.UTF-?8)"
)
# Commands of RUN that need no counterpart. An image has a user, and its files belong to root.
_HARMLESS = re.compile(
    r"(?:\S*/)?(?:\[|\.|:|add(?:group|user)|cat|cd|ch(?:mod|own)|do|done|echo|el(?:if|se)|esac|exit|export|false|fi|for|"
    r"groupadd|if|install -d|ldconfig|ls|mkdir|printf|rm|rmdir|set|sh|test|then|touch|true|update-ca-certificates|"
    r"useradd|usermod|which|python3? (?:-m compileall|--version)|"
    r"uvx? (?:--version|build|cache|export|lock|python|self|venv|version))(?!\S)|"
    r"pip3? (?!install)|uvx?$|.*(?:astral\.sh/uv|/uvx?\b)"
)
_TOOL = re.compile(r"[-.]|(?:uv|pip|setuptools|wheel|poetry|hatch)\b|.*\.(?:txt|toml)$|$")
_PIP_VALUE = re.compile(
    r" (?:-i|--(?:(?:extra-)?index-url|trusted-host|progress-bar|(?:default-)?timeout|retries)) \S+"
)
_OF_UV = re.compile(r"(?:.*/)?(?:uv\.lock|pyproject\.toml|\.python-version)\*?")  # files that an image doesn't need
_ACTIVATE = re.compile(r"(?:\.|source) (?:\S*/)?activate\s*(?:&&|;)\s*")
_UV_RUN = re.compile(
    r"(?<![\w./-])(?:[\w./-]*/)?uv run (?:(?:-p|--(?:(?:no-|only-)?group|(?:no-)?extra|package|with(?:-\w+)?|"
    r"python(?:-platform)?|project|directory|env-file|(?:default-)?index(?:-url)?|link-mode)) \S+ |"
    r"-(?!-?m(?:odule)?\b)\S+ )*(?:(--?m(?:odule)?) |(?=([\w./-]+\.py)(?!\S)))?"
)
# What Dockerfiles run, and the row of "Instead of RUN" (docs/uv-projects.md#instead-of-run).
_BEFORE = "run it before, and add what it writes to files"
_INSTEAD = {
    r"(npm|pnpm|yarn|bun|npx|node)\b": _BEFORE,
    r".*\b(collectstatic|compilemessages)\b": _BEFORE,
    r".*\bplaywright install": 'add apt = ["chromium"], and set executable_path="/usr/bin/chromium"',
    r".*\blocale": 'LANG is C.UTF-8; for others, add apt = ["locales-all"]',
    r"(uv )?pip3? install|uv (tool|add)|uvx": "run `uv add`, because the image has the packages of the lock",
    r"(apk|dnf|yum|microdnf|zypper) ": "add the Debian packages to apt, with a base of Debian",
    r"(curl|wget|gpg|tar|git|unzip|dpkg|add-apt-repository|tee)\b": "use Docker for a base, and --base",
}
_ELSE = f"{_BEFORE}, or use Docker for a base, and --base"


class Step(NamedTuple):
    """An instruction, with its arguments in one line, and the lines of its here-documents."""

    line: int
    word: str
    text: str
    body: str = ""


class _Stage(NamedTuple):
    base: str  # can be the name of an earlier stage
    name: str
    steps: list[Step]


@dataclass
class Translation:
    """Keys of `[tool.bento.image]`, and what isn't in them."""

    base: str = ""  # of the last stage
    table: dict[str, Any] = field(default_factory=dict)
    line: int = 0  # of the command
    start: str = ""  # the path that HEALTHCHECK requests
    left: list[tuple[int, str, str]] = field(default_factory=list)  # lines, what they have, and what to do instead


_NONE = Step(0, "", "")


def steps(text: str) -> Iterator[Step]:
    """Yield the instructions of a Dockerfile."""
    lines, at = [each.strip() for each in text.split("\n")], 0
    escape = "`" if re.match(r"(?:#[^\n]*\n)*#[ \t]*escape[ \t]*=[ \t]*`", text, re.I) else "\\"
    while at < len(lines):
        parts: list[str] = []
        first, more = at, True
        while at < len(lines) and more:
            part, at = lines[at], at + 1
            more = part.endswith(escape) or part.startswith("#") or (not part and bool(parts))
            if part and not part.startswith("#"):
                first = first if parts else at - 1
                parts.append(part.removesuffix(escape).strip())
        word, _, rest = " ".join(parts).partition(" ")
        body: list[str] = []
        for match in _HEREDOC.finditer(rest) if word.upper() in ("RUN", "COPY", "ADD") else ():
            end = next((number for number in range(at, len(lines)) if lines[number] == match[2]), len(lines))
            body += [line for line in lines[at:end] if not line.startswith("#")]
            at = end + 1
        if word:
            yield Step(first + 1, word.upper(), rest.strip(), "\n".join(body))


def copies_from(text: str, directory: str) -> bool:
    """Return whether a Dockerfile copies or mounts a path in a directory of its build context."""
    given = [(step.word, word) for step in steps(text) for word in step.text.split()[:-1]]  # the last one is the target
    sources = [word for name, word in given if name in ("ADD", "COPY") or word.startswith("--mount=")]
    paths = [word.rpartition("source=")[2].lstrip('["').removeprefix("./") for word in sources]
    return any(f"{path}/".startswith(f"{directory}/") for path in paths)


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace variables. Raises KeyError for an unknown one, or quotes, and ValueError for a long result."""
    if "$" in text and ("'" in text or "\\" in text):
        raise KeyError(text)

    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[4], match[2] or "", match[3] or ""
        if operator.endswith("+"):
            return word if values.get(name) else ""
        return values.get(name) or word if operator else values[name]

    result = _VARIABLE.sub(value, text)
    if len(result) > MAX_TEXT:
        raise ValueError(text)
    return result


def _words(text: str) -> list[str] | None:
    """Return the words of the exec form, or None for another form."""
    with suppress(BentoError):
        found = read_json(text, "") if text.startswith("[") else None
        return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None
    return None


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell's script. Raises ValueError for an open quote."""
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word.strip("();&|"):
            words += [word] if words or not re.fullmatch(r"\w+=.*", word, re.DOTALL) else []
        elif words:
            yield words
            words = []


class Translator:
    """Translates the last stage of a Dockerfile, with the stages that it is built from.

    `kind` returns `file`, `directory`, or "" for a path in the build context, in which `home` is the project. `names`
    has the extras and groups of the project, as `extra` and `group`, and the packages of its lock, as `package`.
    """

    def __init__(
        self, text: str, kind: Callable[[str], str], names: Mapping[str, Sequence[str]], home: str, *, is_package: bool
    ) -> None:
        self.kind, self.is_package, self.names, self.home = kind, is_package, names, f"/{home}"
        packages = {*names.get("package", ())}
        self.libraries = {each: name for each, (name, *users) in _LIBRARIES.items() if packages & {*users}}
        self.found, self.stages = Translation(), list[_Stage]()
        self.files: dict[str, str] = {}  # of COPY
        self.writable: dict[str, bool] = {}  # directories, and whether their paths are absolute
        self.values: dict[str, str] = {}  # of ARG and ENV
        self.copies: dict[str, str] = {}  # directories of the project, by their places in the image
        self.given: dict[str, Step] = {}  # the last CMD, ENTRYPOINT, and USER
        self.workdir, self.has_vendor = "/", False  # whether apt has another repository than Debian's
        for step in steps(text):
            if step.word == "FROM":
                match = re.fullmatch(r"(?:--platform=\S+\s+)?(\S+)(?:\s+as\s+(\S+))?", step.text, re.I)
                base, name = (match[1], match[2] or "") if match else ("", "")
                self.stages.append(_Stage(base, name.lower() or str(len(self.stages)), []))
            elif self.stages:
                self.stages[-1].steps.append(step)
            elif step.word == "ARG":
                self.attempt(step, is_last=True)

    def stage(self, name: str, before: int) -> int:
        """Return the number of the stage with a name or number, or -1."""
        known = {str(number): number for number in range(before)}
        known |= {each.name: number for number, each in enumerate(self.stages[:before])}
        return known.get(name.lower(), -1)

    def last(self) -> int:
        """Return the number of the stage that is the image, or -1 without one.

        It is the last one, as for Docker. If its command runs tests, it is the one before with another command.
        """
        steps = [[each for each in stage.steps if each.word in ("CMD", "ENTRYPOINT")] for stage in self.stages]
        commands = [each[-1] if each else _NONE for each in steps]
        found = [number for number, each in enumerate(commands) if each.text and not _TESTS.search(each.text)]
        if not found or not _TESTS.search(commands[-1].text):
            return len(commands) - 1
        instead = f"it runs tests: the image is of the stage {self.stages[found[-1]].name}, as with --target"
        self.leave(commands[-1], commands[-1].text, instead)
        return found[-1]

    def leave(self, step: Step, text: str, instead: str = "") -> None:
        """Note what isn't in the table."""
        short = " ".join(text.split())
        instead = instead or next((row for each, row in _INSTEAD.items() if re.match(each, short)), _ELSE)
        self.found.left.append((step.line, f"{step.word} {short}"[:300], instead))

    def run(self, number: int, *, is_last: bool, seen: set[int]) -> None:
        """Translate a stage, and before, the stages from which it takes files."""
        if number in seen:
            return
        seen.add(number)
        stage = self.stages[number]
        base = self.stage(stage.base, number)
        for name in [each for step in stage.steps for each in re.findall(r"\bfrom=([\w.-]+)", step.text)]:
            if (other := self.stage(name, number)) not in (-1, base):
                self.run(other, is_last=False, seen=seen)
        if base >= 0:
            self.run(base, is_last=is_last, seen=seen)
        else:
            self.workdir = "/"
            with suppress(KeyError, ValueError):
                self.found.base = expand(stage.base, self.values)
        for step in stage.steps:
            if step.word == "ENTRYPOINT" and self.given.get("CMD") not in stage.steps:  # Docker forgets a base's CMD
                self.given.pop("CMD", None)
            self.attempt(step, is_last=is_last)

    def attempt(self, step: Step, *, is_last: bool) -> None:
        """Translate an instruction, or note it."""
        try:
            if len(step.text) + len(step.body) > MAX_TEXT:
                raise ValueError(step.word)
            self.instruct(step, is_last=is_last)
        except KeyError:
            if is_last and step.word != "ARG":
                self.leave(step, step.text, "a variable has no known value: write the line without it")
        except ValueError:
            self.leave(step, step.text)

    def instruct(self, step: Step, *, is_last: bool) -> None:
        """Translate an instruction. Raises KeyError for an unknown variable, and ValueError for an open quote."""
        match step.word:
            case "ARG":
                name, equals, value = step.text.partition("=")
                if equals:
                    self.values[name] = expand(value.strip("\"'"), self.values)
            case "ENV":
                pair = re.fullmatch(r"(\w+)\s+([^=]*)", step.text)
                text = expand(step.text, {"PATH": "", **self.values})
                for word in [f"{pair[1]}={expand(pair[2], self.values)}"] if pair else shlex.split(text):
                    name, _, value = word.partition("=")
                    self.values[name] = value
                    if is_last and not _OWN_VARIABLE.fullmatch(f"{name}={value}"):
                        self.found.table.setdefault("env", {})[name] = value
            case "WORKDIR":
                self.workdir = normpath(join(self.workdir, expand(step.text.strip("\"'"), self.values)))
            case "COPY" | "ADD":
                self.has_vendor |= is_last and "/etc/apt/" in step.text
                self.copy(step, is_last=is_last)
            case "RUN":
                text = _FLAGS.sub("", step.text)
                for words in _commands(step.body or shlex.join(_words(text) or ()) or text):
                    self.command(step, words, is_last=is_last)
            case "CMD" | "ENTRYPOINT" | "USER" if is_last:
                self.given[step.word] = step
            case "VOLUME" if is_last:
                given = _words(step.text) or shlex.split(expand(step.text, self.values))
                self.writable |= {normpath(join(self.workdir, each)): each[:1] == "/" for each in given}
            case "HEALTHCHECK" if is_last and (probe := _PROBE.search(step.text)):
                self.found.start = probe[1] or "/"
            case "STOPSIGNAL" | "ONBUILD" if is_last:
                self.leave(step, step.text, "set it in the deployment")

    def command(self, step: Step, words: list[str], *, is_last: bool) -> None:
        """Translate a command of RUN."""
        text, program = " ".join(words), basename(words[0])
        given = [each for each in words[1:] if not each.startswith("-")]
        self.has_vendor |= is_last and bool(_VENDOR.match(text))
        if program in ("apt", "apt-get"):
            names = given[1:] if is_last and given[:1] == ["install"] else []
            rest = names if self.has_vendor else [each for each in names if not _PACKAGE.fullmatch(each)]
            wanted = dict.fromkeys(self.libraries.get(each, each) for each in names if each not in rest)
            dropped = [each for each in wanted if _BUILD_PACKAGE.fullmatch(each.partition("=")[0])]
            apt = self.found.table.setdefault("apt", [])
            apt += [each for each in wanted if each not in {*apt, *dropped}]
            if rest:
                self.leave(step, f"apt: {', '.join(rest)}", "add Debian's to apt, and a vendor's to a base of Docker")
            if dropped:
                self.leave(step, f"apt: {', '.join(dropped)}", "left out: for what the program needs, add it to apt")
        elif text.startswith("uv sync"):
            self.select(step, words[2:], is_new=True)
        elif program == "mkdir" and is_last:
            self.writable |= {normpath(join(self.workdir, each)): each[:1] == "/" for each in given if "$" not in each}
        elif "install" in words and re.match(r"(uv pip|pip3?) ", text):
            if any(not _TOOL.match(each) for each in _PIP_VALUE.sub("", text).partition("install")[2].split()):
                self.leave(step, text)
        elif (is_last and not _HARMLESS.match(text)) or (re.match(r"\S+ (run )?build\b", text) and not is_last):
            self.leave(step, text)

    def select(self, step: Step, words: Sequence[str], *, is_new: bool) -> None:
        """Translate the extras and groups of `uv sync` or `uv run`. The last `uv sync` counts."""
        flags = [part for each in words for part in each.split("=", 1)]
        for key in ("extra", "group"):
            given = [value for option, value in pairwise(flags) if option == f"--{key}"]
            given += self.names.get(key, ()) if f"--all-{key}s" in flags else ()
            self.found.table[key] = [*dict.fromkeys([*(() if is_new else self.found.table.get(key, ())), *given])]
        text = f"uv: {shlex.join(words)}"
        for flag in sorted({"--package", "--only-group", "--no-group", "--all-packages", "--with"} & {*flags}):
            if flag == "--no-group" and {value for option, value in pairwise(flags) if option == flag} == {"dev"}:
                continue  # as in images
            self.leave(step, text, "run `uv add`" if flag == "--with" else f"add {flag} to `bento image`")

    def own(self, path: str) -> str:
        """Return the path in our image for a path of the Dockerfile's image."""
        path = normpath(join(self.workdir, path))
        copies = self.copies or ({self.workdir: "."} if self.workdir != "/" else {})
        for place in sorted(copies, key=len, reverse=True):
            if f"{path}/".startswith(f"{place.rstrip('/')}/"):
                return normpath(join(MAIN, copies[place], relpath(path, place)))
        return path

    def paths(self, text: str) -> str:
        """Replace absolute paths of the project in a string."""
        places = sorted({*self.copies, self.workdir} - {"/"}, key=len, reverse=True) or [MAIN]
        pattern = rf"(?<![\w./-])(?:{'|'.join(map(re.escape, places))})(?=[/\s'\":;]|$)"
        return re.sub(pattern, lambda match: self.own(match[0]), text)

    def copy(self, step: Step, *, is_last: bool) -> None:
        """Translate COPY or ADD: the places of the project's directories, and files elsewhere."""
        rest = _FLAGS.sub("", step.text)
        *sources, target = _words(rest) or shlex.split(expand(rest, self.values)) or [""]
        if origin := re.search(r"--from=(\S+)", step.text):
            number = self.stage(origin[1], len(self.stages))
            stage = self.stages[number] if number >= 0 else _Stage("", "", [])
            made = " ".join([origin[1], stage.base, *(each.text + each.body for each in stage.steps)])
            if not re.search(r"\b(uv|pip)\b", made) or re.search(r"\b(npm|pnpm|yarn|bun)\b", made):
                self.leave(step, step.text, _BEFORE)
            return
        if step.body:
            self.leave(step, step.text, "write the file into the project, and add it to files")
        for source in sources if not step.body else ():
            path, place = normpath(source.lstrip("/") or "."), normpath(join(self.workdir, target))
            own = relpath(f"/{path}", self.home)  # in the project
            if own == "." or {*own.split("/")} == {".."}:
                own, place = ".", normpath(join(place, relpath(self.home, f"/{path}")))
            match "of uv" if _OF_UV.fullmatch(path) else self.kind(path):
                case "directory" if not own.startswith(".."):
                    inside = {each: normpath(join(path, relpath(each, place))) for each in self.files}
                    self.files = {each: self.files[each] for each, name in inside.items() if self.kind(name) != "file"}
                    while own != "." and basename(own) == basename(place):
                        own, place = dirname(own) or ".", dirname(place)
                    self.copies.setdefault(place, own)
                case "directory" | "file" as kind if is_last and (target[:1] == "/" or self.workdir != "/"):
                    is_inside = target.endswith("/") or len(sources) > 1 or place == self.workdir
                    place = join(place, basename(path)) if kind == "file" and is_inside else place
                    self.files[place] = own
                case "" if is_last:
                    self.leave(step, source, "the project doesn't have it: add the file to files")

    def translate(self) -> Translation:
        """Return the translation."""
        if (last := self.last()) >= 0:
            self.run(last, is_last=True, seen=set())
        table = self.found.table
        files = {self.own(place): source for place, source in self.files.items()}
        # The image has the files of the project in their places.
        self.files = table["files"] = {place: each for place, each in files.items() if place != f"{MAIN}/{each}"}
        entry, cmd, user = (self.given.get(word, _NONE) for word in ("ENTRYPOINT", "CMD", "USER"))
        step = entry if entry.text and (_words(entry.text) is None or not cmd.text) else cmd
        if step is not _NONE:
            self.found.line, words = step.line, _words(step.text)
            before = (_words(entry.text) or []) if step is cmd else []
            try:
                self.entrypoint(step, before + (["/bin/sh", "-c", step.text] if words is None else words))
            except ValueError:  # an open quote
                self.leave(step, step.text, "set entrypoint")
        env = {name: self.paths(value) for name, value in table.get("env", {}).items()}
        table["env"] = {name: value for name, value in env.items() if (name, value) != ("PYTHONPATH", MAIN)}
        kept = [each for each in self.writable if not _OF_BASE.fullmatch(self.own(each))]
        table["writable"] = sorted({*map(self.own, kept), *filter(self.writable.get, kept)})
        if user.text.partition(":")[0] in ("", "root", "0") and step is not _NONE and MAIN not in table["writable"]:
            self.leave(step, "as root", f'if it writes next to its code, add writable = ["{MAIN}"] (--writable {MAIN})')
        self.found.table = {key: value for key, value in table.items() if value}
        return self.found

    def entrypoint(self, step: Step, words: list[str]) -> None:
        """Translate the words of the container's command, without uv, the environment's path, and `sh -c "exec …"`."""
        shells = [at for at, (shell, flag) in enumerate(pairwise(words)) if flag == "-c" and _SHELL.match(shell)]
        at = shells[0] + 2 if shells else 0
        if 0 < at < len(words):
            text = self.without_uv(step, _ACTIVATE.sub("", words[at]))
            text = text if "PORT" in self.values else _PORT.sub("${PORT:-8000}", text)
            simple = text.removeprefix("exec ")
            is_simple = (at, len(words)) == (2, 3) and not _SHELL_TEXT.search(simple)
            shell = ["sh", "-c"] if at == 2 else shlex.split(self.without_uv(step, shlex.join(words[:at])))
            words = shlex.split(simple) if is_simple else [*shell, text, *words[at + 1 :]]
        else:
            words = shlex.split(self.without_uv(step, shlex.join(words)))
        venvs = filter(None, map(self.values.get, ("UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV")))
        pattern = "|".join(
            [_VENV, r"^/usr/local/bin/(?=python)", *(rf"{re.escape(each.rstrip('/'))}/bin/" for each in venvs)]
        )
        words = [self.paths(re.sub(pattern, "", each)) for each in words if each != "--reload"]
        home = relpath(self.own(self.workdir), MAIN) if self.own(self.workdir).startswith(MAIN) else "."
        if not words or re.match(r"-|(?:uvx?)?$", words[0]):
            self.leave(step, step.text, "set entrypoint to a program of the lock or the base")
        elif self.is_package and any(
            MAIN in each or (each.endswith((".py", ".sh")) and each not in self.files) for each in words
        ):
            self.leave(step, step.text, "the image has the package, not its directory: name the module")
        else:
            self.scripts(step, words[:2], home)
            if home != "." and not self.is_package:
                text = words[2] if words[:2] == ["sh", "-c"] and len(words) == 3 else f"exec {shlex.join(words)}"
                words = ["sh", "-c", f"cd {shlex.quote(home)} && {text}"]
            self.found.table["entrypoint"] = shlex.join(words)

    def without_uv(self, step: Step, text: str) -> str:
        """Return a command without `uv run`, whose options are translated."""
        for match in _UV_RUN.finditer(text):
            self.select(step, match[0].split()[2:], is_new=False)
        return _UV_RUN.sub(lambda match: f"python {'-m ' * bool(match[1])}" if match[1] or match[2] else "", text)

    def scripts(self, step: Step, words: Sequence[str], home: str) -> None:
        """Note the scripts of a shell among words. `home` is the directory in which they start."""
        for word in (each for each in words if each.endswith((".sh", ".bash"))):
            place = normpath(join(MAIN, home, word))
            own = relpath(place, MAIN) if place.startswith(f"{MAIN}/") else ""
            path = self.files.get(place) or self.files.get(f"/usr/local/bin/{word}") or own
            if path and self.kind(normpath(join(self.home, path))[1:]) == "file":
                self.leave(step, f"{path} isn't read", "it can't use uv, and must be executable for Git")
            else:
                self.leave(step, f"{word} isn't in the project", "add it to files, or write the command")
