"""The command of a project's container: what starts, and what a build can know to be dead, in each Python for `bento`."""

import platform
import shlex
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.sharing import base_syntax, native_bytecode, project_command, unprovided_imports
from bento_cli.sharing.base_syntax import BaseSyntax
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import OwnDirectory
from rules_bento.bentos.service.metadata import SourceTree

from tests.sharing.image_support import start_own

GREETING = 'def main():\n    print("Hello from web!")\n\n\nif __name__ == "__main__":\n    main()\n'  # of `uv init`
APP = "from fastapi import FastAPI\n\napp = FastAPI()\n"
FACTORY = "def create_app() -> FastAPI:\n    return build()\n\napp = create_app()\n"
WSGI = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
HIDDEN = "if DEBUG:\n    app = FastAPI(debug=True)\nelse:\n    app = FastAPI()\napp.include_router(router)\n"
WEB = ["fastapi", "uvicorn"]
DJANGO = ["django", "gunicorn"]
PYTHON = platform.python_version().rpartition(".")[0]


@pytest.fixture(scope="module")
def syntax(tmp_path_factory):
    """The syntax of a base with this version of Python, in another process."""
    directory = tmp_path_factory.mktemp("syntax")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(base_syntax, "find", start_own)
        build = SimpleNamespace(cache=directory, stack=stack, scratch=OwnDirectory(directory))
        yield BaseSyntax(build, base_of(directory))


def base_of(directory):
    image = SimpleNamespace(digest=f"sha256:{'0' * 64}", layers=[], config={"architecture": "amd64"})
    layout = SimpleNamespace(blob=lambda _: directory / "none")
    return SimpleNamespace(image=image, layout=layout, python_version=PYTHON, name="base")


def decide(files, packages, entrypoint, syntax, directory):
    """Return the command, or the message of the error, and notes, as the plan of an image does."""
    contents = {path: text.encode() for path, text in files.items()}
    tree = SourceTree(contents, contents.__getitem__, parse=syntax.parse)
    project = SimpleNamespace(directory=directory, fields={"name": "web"}, others=[], adding="add {}".format)
    try:
        command, _ = project_command.find_command(project, entrypoint, tree, None, {*packages}, PYTHON)
        placed = {f"{project_command.MAIN}/{path}": partial(contents.get, path) for path in contents}
        project_command.check_line_ends(command, placed)
        return command, base_syntax.check(unprovided_imports.started_modules(command, {}, tree), tree, PYTHON)
    except BentoError as error:
        return str(error), []


@pytest.mark.parametrize(
    ("files", "origin", "expected"),
    [
        ({"Procfile": "worker: x\nweb: gunicorn a:b --bind 0.0.0.0:$PORT\n", "Dockerfile": "FROM x\nCMD y\n"}, "Procfile", "sh -c 'gunicorn a:b --bind 0.0.0.0:${PORT:-8000}'"),
        ({"Procfile": "worker: x\n", "Dockerfile": "FROM x\nCMD y\n"}, "Dockerfile:2", "y"),
        ({"Containerfile": "FROM x\nRUN true\nENTRYPOINT z\n"}, "Containerfile:3", "z"),
        ({"Dockerfile": "FROM x\nCMD uvx z\n"}, "Dockerfile:2", None),
        ({}, "", None),
    ],
)  # fmt: skip
def test_what_a_project_states(files, origin, expected, tmp_path):
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    project = SimpleNamespace(directory=tmp_path, document={}, fields={}, is_package=False, lock={"package": []})
    found, translation = project_command.stated(project)
    assert (found, translation.table.get("entrypoint")) == (origin, expected)


@pytest.mark.parametrize(
    ("files", "packages", "entrypoint", "expected"),
    [
        ({"main.py": APP}, WEB, "", "uvicorn main:app --host 0.0.0.0"),
        ({"main.py": "print(1)\n"}, ["tiny"], "", "/app/.venv/bin/python /app/_main/main.py"),
        ({"main.py": "import uvicorn\n\nif __name__ == '__main__':\n    uvicorn.run('x.y:app')\n"}, WEB, "", "/app/.venv/bin/python /app/_main/main.py"),
        ({"main.py": "from mcp import Server\nserver = Server()\nserver.run()\n"}, ["mcp", "uvicorn"], "", "/app/.venv/bin/python /app/_main/main.py"),
        ({"main.py": HIDDEN + "if __name__ == '__main__':\n    uvicorn.run(app)\n"}, WEB, "", "/app/.venv/bin/python /app/_main/main.py"),
        ({"app/main.py": "import fastapi\n" + FACTORY.replace("-> FastAPI", "").replace("build()", "fastapi.FastAPI()")}, WEB, "", "uvicorn app.main:app --host 0.0.0.0"),
        ({"app/main.py": FACTORY}, WEB, "", "uvicorn app.main:app --host 0.0.0.0"),
        ({"main.py": GREETING, "core/wsgi.py": WSGI, "manage.py": ""}, DJANGO, "", "gunicorn core.wsgi:application"),
        ({"web/core/wsgi.py": WSGI, "web/manage.py": ""}, DJANGO, "", "gunicorn --chdir web core.wsgi:application"),
        ({"a.py": "", "t/x.py": "(\n"}, WEB, "python -u a.py t/x.py", "python -u a.py t/x.py"),
        ({"my job.py": "(\n", "b.py": ""}, ["tiny"], "python 'my job.py'", "python 'my job.py'"),
        ({"start.sh": "#!/bin/sh\nexec x\r\n"}, ["tiny"], "./start.sh", "./start.sh"),
        ({}, WEB, """sh -c "exec uvicorn x:app --port ${PORT:-8000}" """, "sh -c 'exec uvicorn x:app --port ${PORT:-8000}'"),
        ({}, WEB, """python -c 'import os; print("$HOME" > "")' "a;b" \\$X""", """python -c 'import os; print("$HOME" > "")' 'a;b' '$X'"""),
        ({"main.py": APP, "old/x.py": "print 1\n"}, WEB, "", "uvicorn main:app --host 0.0.0.0"),
        ({"main.py": "import sys\nif sys.version_info < (3,):\n    import old\n" + APP, "old.py": "print 1\n"}, WEB, "", "uvicorn main:app --host 0.0.0.0"),
        ({"main.py": "try:\n    import old\nexcept SyntaxError: pass\n" + APP, "old.py": "print 1\n"}, WEB, "", "uvicorn main:app --host 0.0.0.0"),
        ({"main.py": APP + "def f():\n    if app.old:\n        import old\n", "old.py": "print 1\n"}, WEB, "", "uvicorn main:app --host 0.0.0.0"),
    ],
)  # fmt: skip
def test_a_container_that_starts(files, packages, entrypoint, expected, syntax, tmp_path):
    command, notes = decide(files, packages, entrypoint, syntax, tmp_path)
    assert isinstance(command, list), command
    assert shlex.join(command) == expected
    invalid = next((path for path, text in files.items() if text in ("print 1\n", "(\n")), "")
    assert notes == ([f"Python {PYTHON} can't compile {invalid}:1."] if invalid else [])


UNKNOWN = "the container's command is unknown: "


@pytest.mark.parametrize(
    ("files", "packages", "entrypoint", "message"),
    [
        ({"main.py": APP + "def f()\n    pass\n"}, WEB, "", f"main.py:4: Python {PYTHON}, which the base has, can't"),
        ({"main.py": "from own import part\n" + APP, "own/part.py": "x = (\n"}, WEB, "", "own/part.py:1: Python"),
        ({"main.py": APP + "def late():\n    import own\n", "own.py": "return 1\n"}, WEB, "", "own.py:1: Python"),
        ({"main.py": APP + "async def late():\n    import own\n", "own.py": "x = (\n"}, WEB, "", "own.py:1: Python"),
        ({"main.py": "if __name__ == '__main__':\n    import own\n", "own.py": "x = (\n"}, [], "", "own.py:1: Python"),
        ({"jobs/run.py": "import other\n", "jobs/other.py": "x = [\n"}, WEB, "python jobs/run.py", "jobs/other.py:1: "),
        ({"main.py": HIDDEN}, WEB, "", f"{UNKNOWN}main.py creates app. Set --entrypoint"),
        ({"main.py": ""}, WEB, "", f"{UNKNOWN}found no script"),
        ({"main.py": "import os\nNAME = os.getenv('NAME')\ndef main(): pass\n"}, DJANGO, "", f"{UNKNOWN}found no"),
        ({"main.py": GREETING, "core/wsgi.py": WSGI}, ["django"], "", f"{UNKNOWN}core/wsgi.py creates Django's"),
        ({"main.py": GREETING.replace("()", "() -> None", 1)}, ["tiny"], "", f"{UNKNOWN}found no script"),
        ({"a/wsgi.py": WSGI, "b/wsgi.py": WSGI}, DJANGO, "", f"{UNKNOWN}a/wsgi.py creates"),
        ({"start.sh": "#!/bin/sh\r\nexec x\r\n"}, [], "./start.sh", "./start.sh: the first line ends with CR LF"),
        ({"start.sh": "#!/bin/sh\r\n"}, [], 'sh -c "exec ./start.sh"', "./start.sh: the first line ends with CR LF"),
        ({}, WEB, "uvicorn x:app --port ${PORT:-8000}", "--entrypoint: ${PORT:-8000} requires a shell"),
        ({}, WEB, 'uvicorn "$APP"', "--entrypoint: $APP requires a shell"),
        ({}, WEB, "alembic upgrade head && uvicorn x:app", "--entrypoint: && requires a shell"),
        ({}, WEB, "python x.py > /dev/null", "--entrypoint: > requires a shell"),
        ({}, WEB, "cd web; gunicorn x", "--entrypoint: ; requires a shell"),
        ({}, WEB, "a b | c", "--entrypoint: | requires a shell"),
    ],
)  # fmt: skip
def test_a_container_that_a_build_knows_to_be_dead(files, packages, entrypoint, message, syntax, tmp_path):
    told, _ = decide(files, packages, entrypoint, syntax, tmp_path)
    assert isinstance(told, str), told
    assert told.removeprefix(f"{tmp_path}: ").startswith(message)


@pytest.mark.parametrize(
    "entrypoint", ["uvicorn x:app --port ${PORT:-8000}", "a && b 'c d'", 'a "$X"', "a $X '\"' \\\\", "a;b"]
)
def test_the_advice_for_a_shell_is_a_command_that_works(entrypoint, tmp_path):
    """`sh`, which reads the advice, gives `sh -c` the words of the entry point."""
    with pytest.raises(BentoError) as caught:
        project_command.split_command(entrypoint)
    [_, value] = shlex.split(
        str(caught.value.remedy)
        .partition("base: ")[2]
        .removesuffix(" Servers such as uvicorn and gunicorn read PORT without an option.")
        .removesuffix(".")
    )
    assert project_command.split_command(value)[:2] == ["sh", "-c"]
    assert project_command.split_command(value)[2].removeprefix("exec ") == entrypoint


# Modules for which other versions of Python have other trees, or none.
MODULES = {
    3.12: ["type Names = list[str]\n" + APP, "def f[T](x: T) -> T: ...\n" + APP, "x = f'{'a' + \"b\"}'\n" + APP],
    3.11: ["try:\n    app = FastAPI()\nexcept* ValueError as group:\n    import x\n"],
    3.10: ["match x:\n    case [FastAPI(y=1), *_] if z:\n        import q\n    case _: import r\n" + FACTORY],
    3.8: ["async def create_app(): await Flask()\nclass A:\n    import a.b as c\n", "x: int\nfrom . import é\né = 1\n",
          "with a() as b, c[0]: import d\nfor x in y:\n  import e\nelse: import f\nwhile 1: import g\n",
          "if a: import b\nelif c: import d\nelse: import e\ntry: import f\nfinally: import g\nx().y().app = 1\n",
          "#é\n" + "if x: import y\n" * 300, "x = 1" + " + 1" * 5000, "x = " + "a." * 900 + "b()\n"],
}  # fmt: skip


@pytest.mark.parametrize("source", [text for minimum, texts in MODULES.items() for text in texts])
def test_an_outline_is_the_same_in_each_python(source, others):
    """Of all versions that can compile a module. Each version can parse the outlines of others."""
    found = {version: compiler.compile("x.py", source.encode()) for version, compiler in others.items()}
    outlines = {text for text in found.values() if not text.startswith(b"!")}
    assert len(outlines) == 1
    rows = [line.split(" ", 2) for line in outlines.pop().decode("ascii").splitlines()]
    again = "\n".join(text for _, _, text in rows).encode()
    assert not any(compiler.compile("x.py", again).startswith(b"!") for compiler in others.values())


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """The versions of Python that are here, as parsers."""
    directory = tmp_path_factory.mktemp("parsers")
    with ExitStack() as stack:
        build = SimpleNamespace(scratch=OwnDirectory(directory))
        found = {PYTHON: sys.executable}
        for minor in range(9, 15):
            for path in Path("~").expanduser().glob(f".pyenv/versions/3.{minor}.*/bin/python3"):
                found[f"3.{minor}"] = str(path)
        yield {name: stack.enter_context(native_bytecode._start(path, build, "syntax")) for name, path in found.items()}


def test_the_lines_of_statements_are_those_of_the_source(syntax):
    source = b"'''Text\n'''\nif x:\n    from a import (\n        b,\n        c,\n    )\n\napp = FastAPI(\n)\n"
    [condition, assignment] = syntax.parse(source).body
    assert [(each.lineno, each.end_lineno) for each in (condition.body[-1], assignment)] == [(4, 7), (9, 10)]


@pytest.mark.parametrize(
    "answer", ["1 1 import os\nimport sys", "1 1 import os\x00", "!1 é", "1 1 " + "x" * 9999, "a b import os", "1 1 (("]
)
def test_a_hostile_interpreter_gives_no_statements(answer, syntax, monkeypatch, tmp_path):
    hostile = SimpleNamespace(compile=lambda *_: answer.encode())
    monkeypatch.setattr(base_syntax, "find", lambda *_: hostile)
    base = base_of(tmp_path)
    with pytest.raises((BentoError, SyntaxError)):
        BaseSyntax(SimpleNamespace(cache=tmp_path), base).parse(b"import os\n", "x.py")


def test_an_interpreter_starts_only_for_new_modules(syntax, monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(base_syntax, "find", lambda *words: found.append(1) or start_own(*words))
    with ExitStack() as stack:
        build = SimpleNamespace(cache=tmp_path, stack=stack, scratch=OwnDirectory(tmp_path))
        for sources in ([b"a = 1\n", b"b = 1\n", b"("], [b"a = 1\n", b"("], [b"c = 1\n"]):
            one = BaseSyntax(build, base_of(tmp_path))
            for source in sources:
                if source == b"(":
                    with pytest.raises(SyntaxError):
                        one.parse(source)
                else:
                    assert len(one.parse(source).body) == 1
        assert len(found) == 2


def test_without_an_interpreter_it_says_what_to_do(monkeypatch, tmp_path):
    """Only for another version than this one, which a base for another machine can have."""
    monkeypatch.setattr(base_syntax, "find", native_bytecode.find)
    monkeypatch.setattr(native_bytecode, "_runs_here", lambda _: False)
    base = base_of(tmp_path)
    build = SimpleNamespace(settings={}, cache=tmp_path, stack=ExitStack(), scratch=OwnDirectory(tmp_path))
    with build.stack:
        assert BaseSyntax(build, base).parse(b"a = 1\n").body
    base.python_version = "3.77"

    def find_none(*_):
        raise BentoError("none")

    monkeypatch.setattr(native_bytecode.uv, "find_python", find_none)
    message = r"the command's syntax for base requires .* Python 3\.77, .*\. Run `uv python install 3\.77`"
    with pytest.raises(native_bytecode.NoInterpreterError, match=message):
        BaseSyntax(build, base).parse(b"b = 1\n")
