"""Which modules only extend `__path__`."""

import sys
from types import SimpleNamespace

import pytest
from rules_bento.bentos.packages.namespace_modules import MAX_SIZE, extension

from tests.helpers.namespace_spellings import SPELLINGS

ONE = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
OTHERS = {  # they do more, less, nothing, or don't run with each version of Python
    "empty": "",
    "docstring": '"""Namespace."""\n',
    "version": f"{ONE}__version__ = '1'\n",
    "other name": "__path__ = __import__('pkgutil').extend_path(__path__, 'other')\n",
    "import": "from pkgutil import extend_path\n",
    "line after a comment": f"# \rimport os\n{ONE}",
    "codec": f"# coding: utf-7\n{ONE}",
    "codec with a prefix": f"# coding: utf-8x\n{ONE}",
    "Latin-1": ONE + "# é",
    "escape": f'"""\\N{{no}}"""\n{ONE}',
    "f-string": f"f'{{1}}'\n{ONE}",
    "second statement": f"'''a'''; import os\n{ONE}",
    "code in a docstring's line": f"'a' + 'b'\n{ONE}",
    "quotes": ONE.replace("'pkgutil'", "'pkgutil\""),
    "indented": "import pkgutil\n    __path__ = pkgutil.extend_path(__path__, __name__)\n",
    "indented twice": f"try:\n __import__('pkg_resources').declare_namespace(__name__)\nexcept ImportError:\n  {ONE}",
    "not indented": f"try:\n __import__('pkg_resources').declare_namespace(__name__)\nexcept ImportError:\n{ONE}",
    "form feed": f"\f{ONE}",
    "NUL": f"{ONE}\0",
    "large": "#" * MAX_SIZE + f"\n{ONE}",
}


@pytest.mark.parametrize(("how", "source"), [(how, each) for how, several in SPELLINGS.items() for each in several])
def test_all_spellings_have_one_effect(how, source, monkeypatch):
    assert extension(source.encode()) == how
    declared = []
    monkeypatch.setitem(sys.modules, "pkg_resources", SimpleNamespace(declare_namespace=declared.append))
    names = {"__path__": ["there"], "__name__": "made"}
    code = compile(source.encode(), "__init__.py", "exec")
    exec(code, names)
    assert (declared, names["__path__"]) == ([] if how == "pkgutil" else ["made"], ["there"])
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    if how == "pkg_resources":
        with pytest.raises(ImportError):
            exec(code, {"__name__": "made"})
    else:
        exec(code, {"__path__": ["there"], "__name__": "made"})


@pytest.mark.parametrize("name", OTHERS)
def test_modules_with_another_effect_are_others(name):
    assert extension(ONE.encode()) == "pkgutil"
    assert extension(OTHERS[name].encode("latin-1")) == ""
