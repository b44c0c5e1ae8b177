"""The Python that syntax requires, compared with the parser of this interpreter, and with the Bento's Python."""

import ast
import sys

import pytest
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service import SourceTree, python_syntax
from rules_bento.bentos.service.loaded_modules import survey
from rules_bento.bentos.service.python_syntax import NewSyntax

THIS = sys.version_info.minor
# Checked with CPython 3.9 to 3.13.
SYNTAX = {
    9: [
        *("x = 1", "match = type = 1\nmatch[0]\ntype (x)", "with (a as b, c as d): pass", "@x[0].y\ndef f(): pass"),
        *("a[(*b, c)]", "a[(x := 1)]", "{x := 1}", "x[b:(c := 1)]", "def f(*args: int): pass", "lambda *a: 0"),
        *("try: pass\nexcept (A, B): pass", "x = 1  # type of match", "x = 'class A[T]:'"),
        *("f'{a[\"b\"]}'", "f\"{'a' 'b'}\"", "f'{f\"{x}\"}'", 'f"{x!r:^{w}}"', "rf'{x}\\d'", "f'a\\n{x}'"),
        "f'{x}' '\\n'",
        *("f'{{\"a\"}}'", "f'{x!r}' f\"{y}\"", "f'{x:\\n}'", "f'{x:\"}'", "f'{x = }'", "f'{ {1:2}[1] }'"),
        "f'{x}\\\n{y}'",
        *("f'''{\nx}'''", 'f"""{x["a"]}"""', "f'{\"{\"}'", "f'{x:%H:%M}'", 'x = {"a": f"{x}"}'),
    ],
    10: ["match x:\n case 1: pass", "a[x := 1]"],
    11: ["try: pass\nexcept* E: pass", "a[*b]", "a[b, *c]", "x: tuple[*Ts]", "def f(*a: *b): pass"],
    12: [
        *("type X = int", "def f[T](): pass", "class A[T]: pass", "class A[*Ts]: pass", "type A[T] = list[T]"),
        *('f"{x["a"]}"', 'f"{"\\n".join(x)}"', 'f"{\nx\n}"', "f'{f'{x}'}'", "f'{x # a\n}'", 'f"{x:{"a"}}"'),
        *('f"""{"\\n".join(x)}"""', "f'''{d['''a''']}'''", "f'{f\"\\n\"}'", "f'''{x\n# c\n}'''", 'f"{x:{y:{z}}}"'),
    ],
    13: ["class A[T=int]: pass", "type A[T=int] = list[T]"],
    14: ["try: pass\nexcept A, B: pass", "t'{x}'"],
}


def newest_syntax(service: str, files: dict[str, bytes]) -> tuple[str, NewSyntax] | None:
    return survey(service, SourceTree(files.keys(), files.__getitem__), "").syntax


@pytest.mark.parametrize("minor", SYNTAX)
def test_python_that_syntax_requires(minor):
    for text in SYNTAX[minor]:
        data = f"def later():\n    {text}\n".encode() if "\n" not in text else text.encode()
        if minor > THIS:
            with pytest.raises(SyntaxError):
                ast.parse(data)
        else:
            found = [*python_syntax.new_syntax(data, ast.parse(data))]
            assert max([syntax.minor for syntax in found], default=9) == minor, text
            assert all(0 < syntax.line <= len(data.splitlines()) for syntax in found), text


SERVICE = """\
import bentoml
from lib.used import helper

with bentoml.importing():
    from lib.deferred import other

if 1 > 2:
    import conditional


def later():
    import late


@bentoml.service
class Svc:
    @bentoml.api
    def ask(self, text: str) -> str:
        return text
"""


@pytest.mark.parametrize("name", ["service", "lib/__init__", "lib/used", "lib/deeper", "lib/deferred"])
@pytest.mark.parametrize(
    ("options", "declared"),
    [
        ({}, ""),
        ({"docker": {"python_version": "3.10"}}, ""),
        ({}, "image=bentoml.images.Image(python_version='3.10')"),
        ({"docker": {"python_version": "3.10"}, "conda": {"channels": ["x"], "dependencies": ["y"]}}, ""),
    ],
)
@pytest.mark.skipif(THIS < 11, reason="needs an interpreter that supports the syntax")
def test_bentos_whose_python_lacks_the_syntax(tmp_path, name, options, declared):
    """Whichever option determines the Bento's Python, in each module that an import of the service loads."""
    files = dict.fromkeys(("lib/__init__", "lib/deferred", "lib/deeper"), "other = 1\n")
    files |= {"service": SERVICE.replace("@bentoml.service", f"@bentoml.service({declared})")}
    files |= {"lib/used": "from . import deeper\nhelper = 1\n"}
    files[name] = "try:\n    pass\nexcept* ValueError:\n    pass\n" + files[name]
    for path, text in files.items():
        (tmp_path / f"{path}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{path}.py").write_text(text)
    extra = ExtraOptions(python_version="3.10", store=tmp_path)
    message = rf"^{name}.py:1: the Bento's Python 3.10 doesn't support this line \(`except\*` requires Python 3.11\)\. "
    with pytest.raises(BentoError, match=f"{message}Set a newer python_version"):
        build(build_ctx=tmp_path, extra=extra, **options)
    newer = ExtraOptions(python_version="3.11", store=tmp_path)
    if not options and not declared:
        build(build_ctx=tmp_path, extra=newer)
    # The base image or conda determines the version.
    if not declared:
        conda = {"conda": {"channels": ["x"], "dependencies": ["y"]}, "docker": {"base_image": "own:1"}}
        build(build_ctx=tmp_path, extra=extra, **conda)


def test_syntax_of_modules_that_might_not_be_loaded():
    files = {"service.py": SERVICE, "conditional.py": "x = = 1", "late.py": "x = = 1", "lib/used.py": "helper = 1"}
    files |= {"lib/deferred.py": "other = 1"}
    texts = {path: text.encode() for path, text in files.items()}
    assert newest_syntax("service:Svc", texts) is None
    path, syntax = newest_syntax("service:Svc", texts | {"lib/used.py": b"\nx = = 1\n"})
    assert (path, syntax.minor, syntax.line) == ("lib/used.py", THIS + 1, 2)
    with pytest.raises(BentoError, match=rf"^lib/used.py:2: the Bento's Python 3.{THIS} doesn't .* \(invalid syntax\)"):
        python_syntax.check(path, syntax, f"3.{THIS}")
    python_syntax.check(path, syntax, f"3.{THIS + 1}")
