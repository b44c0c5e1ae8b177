"""With stand-ins, the import of a service gives what it gives with all packages, or it fails; it never differs."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.comparison_program import differences

from tests.conftest import Answering, locked_wheels
from tests.service.closures import copy_closure

PY = Path(__file__).parents[2] / "py"
REMEDY = 'Add import_requirements = ["@pypi//{}"]'


class Imports:
    """A process that imports services in an environment: `importing_all.py`."""

    def __init__(
        self, directory: Path, roots: list[Path], packages: dict[str, list[str] | None], helper: Path = PY
    ) -> None:
        self._packages, self._directory, self._count = packages, directory, itertools.count()
        self._program = Answering(
            directory, Path(__file__).with_name("importing_all.py"), roots=tuple(roots), helper=helper
        )

    def __call__(self, files: dict[str, str]) -> tuple[dict, list[dict]]:
        """The answer of the first import, and the differences of the second one."""
        directory = self._directory / str(next(self._count))
        for path, text in files.items():
            (directory / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / "src" / path).write_text(text, "utf-8")
        answers = []
        for elsewhere in (False, True):
            answer = directory / f"{elsewhere}.json"
            order: dict[str, object] = {
                "service": "service:Svc",
                "source": str((directory / "src").resolve()),
                "arguments": {},
                "aliases": {},
                "elsewhere": elsewhere,
                "packages": self._packages,
                "bentoml_users": ["serving"],
                "remedy": REMEDY,
                "seconds": 60,
                "answer": str(answer),
                "trace": str(directory / "trace"),
            }
            assert self._program.ask({"order": order, "variables": {"PATH": os.defpath}}) == "0\n"
            answers.append(json.loads(answer.read_text("utf-8")))
        varied = [answer.pop("varied") for answer in answers][-1]
        for answer in answers:
            del answer["missing"], answer["sought"]  # stand-ins read the project's source
        found = [] if "problem" in answers[0] else [*differences(*answers)]
        return answers[0], [(field, *varied) for field, _, _ in found]

    def close(self) -> None:
        self._program.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    imports = Imports(tmp_path_factory.mktemp("real"), locked_wheels(), {})
    yield imports
    imports.close()


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stand_ins")
    site = copy_closure(directory / "site", locked_wheels(), "bentoml")
    packages: dict[str, list[str] | None] = dict.fromkeys(["pandas", "pillow", "scikit-learn", "fastapi", "serving"])
    packages |= {"lib": ["lib"], "torch": ["torch", "torchgen"], "python-dotenv": ["dotenv"]}
    helper = directory / "helper.zip"  # as actions run it
    modules = [str(path) for path in (PY / "rules_bento").rglob("*.py")]
    subprocess.run([sys.executable, str(PY / "compile.py"), str(helper), str(PY / "main.py"), *modules], check=True)
    imports = Imports(directory, [site], packages, helper)
    yield imports
    imports.close()


SERVICE = """\
@bentoml.service(labels={"a": str(X)}, resources={"gpu": 1})
class Svc:
    @bentoml.api
    def predict(self, text: str = "x") -> str:
        return text
"""
# What modules do with packages, and whether the import can do it without them.
USES = {
    "import pandas\nX = 1": True,
    "import pandas as pd\nFRAME = pd.DataFrame({'a': [1]})\nX = 1": True,
    "import pandas as pd\nFRAME = pd.DataFrame({'a': [1]})\nX = len(FRAME)": False,
    "import pandas as pd\nX = pd.DataFrame({'a': [1]}).shape[0]": False,
    "import pandas as pd\nX = pd.NA is None": False,
    "import pandas as pd\nX = type(pd.NA).__name__": False,
    "import pandas as pd\nX = isinstance(1, pd.DataFrame)": False,
    "import pandas as pd\nC = {'a': 1}\nFRAME = pd.DataFrame(C, index=[0])\nX = 1": True,
    "try:\n    import pandas\n    X = 1\nexcept ImportError:\n    X = 2": True,
    "import pandas, sklearn.base\ntry:\n    import pandas, sklearn.base\n    X = 1\nexcept ImportError:\n    X = 2": True,
    "try:\n    import not_locked\n    X = 1\nexcept ImportError:\n    X = 2": False,
    "import contextlib, pandas as pd\nX = 1\nwith contextlib.suppress(AttributeError):\n    pd.nothing\n    X = 2": False,
    "from PIL import Image\nX = 1\ndef show(image: Image.Image) -> None: ...": True,
    "from PIL import Image\nclass Mine(Image.Image):\n    SIZE = 3\nX = Mine.SIZE": False,
    "from sklearn.linear_model import LogisticRegression\nMODEL = LogisticRegression()\nX = 1": True,
    "from sklearn.linear_model import LogisticRegression\nX = LogisticRegression().max_iter": False,
    "from sklearn import *\nX = 1": False,
    "import typing\nfrom sklearn.base import BaseEstimator as B\nT = typing.Optional[B] | list[B]\nX = 1": True,
    "import pydantic, pandas as pd\nclass M(pydantic.BaseModel):\n    x: int = pydantic.Field(1, le=pd.Timestamp.max.year)\nX = 1": True,
    "import annotated_types, pandas as pd\nX = hash(annotated_types.Le(pd.Timestamp.max.year)) % 2": False,
    "import fastapi\napp = fastapi.FastAPI()\n@app.get('/a')\ndef a(): ...\nX = 1": True,
}
APIS = {
    "def predict(self, image: PIL.Image.Image) -> PIL.Image.Image: ...": True,
    "def predict(self, images: typing.List[PIL.Image.Image]) -> typing.List[PIL.Image.Image]: ...": True,
    "def predict(self, image: 'PIL.Image.Image') -> str: ...": True,
    "def predict(self, image: PIL.Image.Image | None = None) -> str: ...": False,
    "def predict(self, frame: pandas.Series | None = None) -> str: ...": False,
    "def predict(self, frame: pandas.DataFrame) -> pandas.DataFrame: ...": True,
    "def predict(self, x: typing.Annotated[pandas.DataFrame, bentoml.validators.DataframeSchema(orient='records')]) -> str: ...": True,
    "def predict(self, frames: typing.Dict[str, pandas.DataFrame]) -> str: ...": True,
    "def predict(self, x: int = pandas.NA) -> str: ...": False,
    "def predict(self, x: int = pydantic.Field(1, le=pandas.LIMIT)) -> str: ...": False,
    "async def predict(self, x: pathlib.Path) -> typing.AsyncGenerator[str, None]:\n        yield ''": True,
    "def predict(self, x: pandas.Nothing) -> str: ...": False,
}
OTHERS = {
    "@bentoml.service(workers=pandas.N)\nclass Svc: ...": False,
    "@bentoml.service(labels={'a': pandas.N})\nclass Svc: ...": False,
    "@bentoml.service(envs=pandas.ENVS)\nclass Svc: ...": False,
    "@bentoml.service(image=bentoml.images.Image(python_version=pandas.V))\nclass Svc: ...": False,
    "@bentoml.service(**pandas.CONFIG)\nclass Svc: ...": False,
    "@bentoml.service\nclass Svc:\n    model = bentoml.models.HuggingFaceModel(pandas.MODEL)": False,
    "@bentoml.service\nclass Svc:\n    other = bentoml.depends(pandas.Service)": False,
    "@bentoml.service\nclass Svc:\n    frame = pandas.DataFrame()": False,
    "@bentoml.service\n@pandas.decorate\nclass Svc: ...": False,
    "@bentoml.service\nclass Svc:\n    @bentoml.api(route=pandas.ROUTE)\n    def predict(self) -> str: ...": False,
    "@bentoml.asgi_app(fastapi.FastAPI(), path='/a')\n@bentoml.service\nclass Svc: ...": False,
    "@bentoml.service\nclass Svc: ...\npandas.patch(Svc)": False,
}
IMPORTS = "import pathlib, typing\nimport bentoml, numpy, pandas, PIL.Image, pydantic, sklearn.base, starlette.applications, fastapi\n"
# Services as projects write them: the import with stand-ins gives their metadata.
WHOLE = [
    "from sklearn.pipeline import make_pipeline\nfrom sklearn.svm import SVC\nPIPE = make_pipeline(SVC(C=2.0))\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def fit(self, x: list[float]) -> float:\n        return PIPE.predict([x])[0]",
    "SERIES = pandas.Series([1, 2]).rolling(2).mean()\n@bentoml.service(traffic={'timeout': 9})\nclass Svc:\n    @bentoml.api(batchable=True)\n    def sums(self, x: list[int]) -> list[int]:\n        return x",
    "class In(pydantic.BaseModel):\n    model_config = {'arbitrary_types_allowed': True}\n    a: int = pydantic.Field(2, ge=1, description='count')\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: In) -> In:\n        return x",
    "from sklearn.base import BaseEstimator, TransformerMixin\nclass Own(BaseEstimator, TransformerMixin):\n    def __init__(self, a=1):\n        self.a = a\n    def transform(self, x):\n        return x\n@bentoml.service\nclass Svc: ...",
    "@bentoml.service\nclass One:\n    @bentoml.api\n    def embed(self, x: list[str]) -> numpy.ndarray: ...\n@bentoml.service\nclass Svc:\n    one = bentoml.depends(One)\n    @bentoml.api\n    def f(self, x: str) -> float: ...",
    "import logging\nlogging.getLogger('a').addFilter(lambda record: isinstance(record, pandas.DataFrame))\n@bentoml.service(logging={'access': {'enabled': False}})\nclass Svc: ...",
    "import enum\nclass Color(enum.Enum):\n    RED = 'r'\n    BLUE = 'b'\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, color: Color = Color.RED) -> PIL.Image.Image: ...",
    "T = typing.TypeVar('T', bound=pandas.DataFrame)\nclass Box(typing.Generic[T]):\n    item: T\nBOX: Box[pandas.DataFrame] = Box()\n@bentoml.service\nclass Svc:\n    @bentoml.task\n    def f(self, x: str = 'a') -> str: ...",
    "import threading\nLOCK = threading.Lock()\nwith LOCK:\n    MODEL = sklearn.base.BaseEstimator()\n@bentoml.service(resources={'cpu': '2', 'memory': '1Gi'})\nclass Svc: ...",
    "def build(kind, *args, **kwargs):\n    return kind(*args, **kwargs)\nFRAME = build(pandas.DataFrame, index=[1])\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: dict[str, int]) -> dict[str, int]: ...",
    "@bentoml.service(traffic={'concurrency': 3, 'max_concurrency': 5})\nclass Svc:\n    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=8, max_latency_ms=50)\n    def f(self, x: numpy.ndarray) -> numpy.ndarray:\n        return pandas.DataFrame(x).to_numpy()",
    "class Middle:\n    def __init__(self, app, frame=pandas.DataFrame): ...\n    async def __call__(self, scope, receive, send): ...\n@bentoml.service\nclass Svc: ...\nSvc.add_asgi_middleware(Middle)",
    "N = {'a': 1}.get('a', 2)\nif N == 1:\n    from sklearn.svm import SVC as Model\nelse:\n    from sklearn.linear_model import Ridge as Model\nMODEL = Model(C=1)\n@bentoml.service(labels={'n': str(N)})\nclass Svc: ...",
    "frames = []\nframes.append(pandas.DataFrame())\nNAMES = ['a', 'b']\n@bentoml.service(labels={name: name for name in NAMES})\nclass Svc: ...",
    "Size = typing.Literal['s', 'm']\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, image: typing.Annotated[pathlib.Path, bentoml.validators.ContentType('image/png')], size: Size = 's') -> PIL.Image.Image: ...",
    "from typing_extensions import TypedDict\nclass Rows(TypedDict):\n    a: int\n    b: str\nREAD = lambda path: pandas.read_parquet(path)\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: Rows) -> Rows: ...",
    "import sklearn.pipeline as pipeline\nSTEPS = [('a', sklearn.base.BaseEstimator())]\nPIPE = pipeline.Pipeline(STEPS)\n@bentoml.service(name='pipe')\nclass Svc: ...",
    "import os\nos.environ.setdefault('OWN', '1')\nFRAME = pandas.DataFrame()\n@bentoml.service(labels={'own': os.environ['OWN']})\nclass Svc: ...",
]
CASES = {
    **{f"import bentoml\n{use}\n{SERVICE}": can for use, can in USES.items()},
    **{f"{IMPORTS}@bentoml.service\nclass Svc:\n    @bentoml.api\n    {api}\n": can for api, can in APIS.items()},
    **{f"{IMPORTS}{service}\n": can for service, can in OTHERS.items()},
    **{f"{IMPORTS}{service}\n": True for service in WHOLE},
}


@pytest.mark.parametrize("service", CASES, ids=lambda text: text.partition("\n")[2][:70])
def test_with_stand_ins_it_is_the_same_or_fails(real, stand_ins, service):
    found, varied = stand_ins({"service.py": service})
    is_rejected = "problem" in found or bool(varied)
    assert is_rejected != CASES[service], (found, varied)
    if not is_rejected:
        truth, _ = real({"service.py": service})
        assert [*differences(found, truth)] == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("X = 1 if torch.cuda.is_available() else 2", "importing the service requires the value of torch.cuda.is_available(), but a stand-in replaces the package:\n  service.py:3: X = 1 if torch.cuda.is_available() else 2"),
        ("X = {torch.a: 1, torch.b: 2}", "importing the service requires the value of torch.a, "),
        ("D = {1: 2}\nX = D.get(torch.a, 3)", "importing the service requires the value of torch.a, "),
        ("X = torch.x + 1", "importing the service requires the value of torch.x, "),
        ("X = 3 in torch.x", "importing the service requires the value of torch.x, "),
        ("X = int(torch.x)", "importing the service requires the value of torch.x, "),
        ("X = torch.__spec__ is None", "importing the service requires the identity or attributes of torch.__spec__, "),
        ("X = torch.__name__", "importing the service requires the value of torch.__name__, "),
        ("X = torch.x.__class__", "importing the service requires the type of torch.x, "),
        ("X = torch.x.__module__", "importing the service requires the value of torch.x.__module__, "),
        ("import operator; X = operator.is_(torch.x, None)", "importing the service requires the identity or attributes of torch.x, "),
        ("import typing; X = typing.Optional[torch.a] == typing.Optional[torch.b]", "importing the service requires the value of torch.a, "),
        ("class S(torch.S):\n    A = 3\nX = S().A", "importing the service requires the value of torch.S:S().A, "),
        ("from torch import *\nX = 1", "importing the service requires the value of torch.__all__, "),
        ("import dotenv\ndotenv.load_dotenv()\nX = 1", "importing the service requires the environment variables of dotenv, but a stand-in replaces the package:\n  service.py:3: import dotenv"),
    ],
)  # fmt: skip
def test_the_line_and_the_package_of_a_value_that_is_needed(stand_ins, lines, problem):
    found, _ = stand_ins({"service.py": f"import bentoml\nimport torch\n{lines}\n{SERVICE}"})
    assert found["problem"].startswith(problem), found
    assert found["remedy"] == REMEDY.replace("{}", "python_dotenv" if "dotenv" in lines else "torch")


def test_a_package_that_requires_bentoml_has_no_stand_in(stand_ins):
    found, _ = stand_ins({"service.py": f"import bentoml\nX = 1\nfrom serving import endpoint\n{SERVICE}"})
    problem = "importing the service requires the objects of BentoML of serving, but a stand-in replaces the package:"
    assert found["problem"] == f"{problem}\n  service.py:3: from serving import endpoint"


@pytest.mark.parametrize(
    ("lines", "problem", "remedy"),
    [
        ("import torch\nX = str.lower(torch.NAME)", "TypeError: descriptor 'lower' for 'str' objects", "Add the package to import_requirements"),
        ("from services import X", "service.py:2: from services import X\n  ModuleNotFoundError: No module named 'services'", "the file or library of the module to the Bento (check include)"),
        ("import lib.missing", "No module named 'lib.missing'", ""),
    ],
    ids=["function in C", "module", "module of the project"],
)  # fmt: skip
def test_an_import_that_a_stand_in_cannot_help(stand_ins, lines, problem, remedy):
    found, _ = stand_ins({"service.py": f"import bentoml\n{lines}\n{SERVICE}", "lib/__init__.py": ""})
    assert problem in found["problem"]
    assert remedy in found["remedy"]


DECORATED = """\
import bentoml
import torch
class Base:
    @torch.compile
    def base(self): ...
@bentoml.service
class Svc(Base):
    @torch.no_grad()
    def _run(self, x: int) -> int: ...
    @torch.jit.script
    def _script(self): ...
    @property
    @torch.inference_mode()
    def size(self) -> int: ...
    @bentoml.api
    @torch.inference_mode()
    async def f(self, x: int) -> str: ...
    @bentoml.task
    @torch.no_grad()
    def g(self, x: list[float]) -> str: ...
"""


def test_decorators_of_missing_packages_leave_the_methods_of_a_service(real, stand_ins):
    """The reference implementation imports the service without the decorators, which don't change the metadata."""
    found, varied = stand_ins({"service.py": DECORATED})
    assert "problem" not in found, found
    assert not varied
    plain = "\n".join("" if "torch" in line else line for line in DECORATED.split("\n"))
    truth, _ = real({"service.py": plain})
    assert [*differences(found, truth)] == []


@pytest.mark.parametrize(
    ("methods", "problem"),
    [
        ("@bentoml.api\n    @torch.compile\n    def f(self, x: int) -> int: ...", "the signature of torch.compile(), "),
        ("@bentoml.api\n    @lib.a\n    @torch.no_grad()\n    def f(self): ...", "the signature of lib.a(), "),
        ("@lib.a\n    def f(self): ...", "the effect on the method 'f' of lib.a(), "),
        ("@lib.a('/v1')\n    async def _f(self): ...", "the effect on the method '_f' of lib.a()(), "),
        ("@bentoml.api\n    @keep\n    @lib.a\n    def f(self): ...", "the signature of lib.a(), "),
        ("@torch.compile\n    def n(): return 3\n    @bentoml.api(route=f'/{n()}')\n    def f(self): ...", "the value of torch.compile(), "),
    ],
)  # fmt: skip
def test_a_decorator_of_a_missing_package_on_an_api_requires_the_package(stand_ins, methods, problem):
    keep = "def keep(function):\n    return functools.wraps(function)(lambda *a: function(*a))"
    imports = "import functools\nimport bentoml\nimport lib\nimport torch"
    found, _ = stand_ins({"service.py": f"{imports}\n{keep}\n@bentoml.service\nclass Svc:\n    {methods}\n"})
    assert f"importing the service requires {problem}" in found.get("problem", ""), found
