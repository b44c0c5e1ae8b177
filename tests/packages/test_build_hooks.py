"""The scripts by which uv calls hooks, in the formats of its versions, with anything that a pyproject.toml can contain."""

from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.build_hooks import Hook

START = "import sys\n\nsys.path = [{path}] + sys.path\n\nimport {backend} as backend\n\n"
REQUIRES = "import json\n\nif get_requires_for_build:\n    requires = get_requires_for_build({{}})\nelse:\n    requires = []\n\n"
METADATA = (
    "if prepare:\n    dirname = prepare_metadata_for_build({output}, {{'a': 'b'}})\nelse:\n    dirname = None\n\n"
)
WHEEL = "\nwheel_filename = backend.build_wheel({output}, {{}}, {metadata})\n"
END = 'with open({result}, "w") as fp:\n    fp.write(x)\n'
OLD, NEW = '"{}"', '__import__("os").fsdecode(b"{}")'
HOSTILE = ("a", 'a as backend\nwith open("/evil", "w") as fp:\n    x\n#', 'a\nbackend.build_wheel("/evil", {})\n#')


@pytest.mark.parametrize("backend", HOSTILE)
@pytest.mark.parametrize("form", [OLD, NEW])
@pytest.mark.parametrize("hook", [REQUIRES, METADATA, WHEEL])
def test_only_the_end_of_a_script_decides_what_is_written(hook, form, backend):
    spelled = '/c \u00e9\\\\\\"/' if form == OLD else '/c \\xc3\\xa9\\\\\\"/'
    places = {name: form.format(f"{spelled}{name}") for name in ("output", "result", "metadata")}
    script = (START + hook + END).format(**places, path='"in"', backend=backend)
    found, directory = Hook(Path(), Path("/c"), script), '/c \u00e9\\"/'
    assert found.result == f"{directory}result"
    text, name = ("x-1.dist-info", "x-1.dist-info/METADATA") if hook == METADATA else ("x.whl", "x.whl")
    assert found.output(text) == ("" if hook == REQUIRES else f"{directory}output/{name}")
    new = {"output": "'/new/out'", "result": "'/new/result'", "metadata": "None"}
    assert found.moved("/new/out", "/new/result") == (START + hook + END).format(**new, path='"in"', backend=backend)


@pytest.mark.parametrize("text", ["", "import a", END.format(result='"/a"') + "more()"])
def test_another_script_is_an_error(text):
    with pytest.raises(BentoError, match="unknown version of uv"):
        _ = Hook(Path(), Path(), text).result
