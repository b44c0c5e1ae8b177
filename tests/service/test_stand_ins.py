"""With stand-ins, the import of a service gives what it gives with all packages, or it fails; it never differs."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.formats.differences import differences
from rules_bento.packages.virtualenv import make_environment

from tests.conftest import locked_wheels
from tests.service.closures import link_closure

PY = Path(__file__).parents[2] / "py"
REMEDY = 'Add import_requirements = ["@pypi//{}"]'


class Imports:
    """A process that imports services in an environment: `importing_all.py`."""

    def __init__(self, directory: Path, roots: list[Path], packages: list[str], helper: Path = PY) -> None:
        self._packages, self._directory, self._count = packages, directory, itertools.count()
        python = make_environment(directory / "environment", roots)
        here = Path(__file__).parent
        variables = {
            "BENTOML_DO_NOT_TRACK": "true",
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(helper),
        }
        self._readable = [str(root) for root in (*roots, *locked_wheels())]
        with (directory / "log").open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(python), str(here / "importing_all.py")],
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
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
                "remedy": REMEDY,
                "seconds": 60,
                "answer": str(answer),
                "trace": str(directory / "trace"),
            }
            self._process.stdin.write(json.dumps({"order": order, "variables": {"PATH": os.defpath}}) + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "0\n", (self._directory / "log").read_text("utf-8")
            answers.append(json.loads(answer.read_text("utf-8")))
        varied = [answer.pop("varied") for answer in answers][-1]
        for answer in answers:
            del answer["optional"]
        found = [] if "problem" in answers[0] else [*differences(*answers)]
        return answers[0], [(one.field, *varied) for one in found]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    imports = Imports(tmp_path_factory.mktemp("real"), locked_wheels(), [])
    yield imports
    imports.close()


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stand_ins")
    site = link_closure(directory / "site", locked_wheels(), "bentoml")
    packages = ["pandas", "pillow", "scikit-learn", "scipy", "fastapi", "lib", "torch", "python-dotenv"]
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
    "X = len([bentoml.sklearn.load_model])": True,  # BentoML imports scikit-learn
    "import pandas as pd\nFRAME = pd.DataFrame({'a': [1]})\nX = 1": True,
    "import pandas as pd\nX = 1\ndef load(path: str) -> pd.DataFrame: ...": True,
    "import pandas as pd\nFRAME = pd.DataFrame({'a': [1]})\nX = len(FRAME)": False,
    "import pandas as pd\nX = pd.DataFrame({'a': [1]}).shape[0]": False,
    "import pandas as pd\nX = pd.__version__": False,
    "import pandas as pd\nX = pd.NA is None": False,
    "import pandas as pd\nX = hasattr(pd, 'DataFrame')": False,
    "import pandas as pd\nX = type(pd.NA).__name__": False,
    "import pandas as pd\nX = isinstance(1, pd.DataFrame)": False,
    "import pandas as pd\nX = 1\nassert not isinstance(X, pd.DataFrame) or True": True,
    "import pandas as pd\nC = {'a': 1}\nFRAME = pd.DataFrame(C, index=[0])\nX = 1": True,
    "import pandas as pd\nC = {'a': 1}\nFRAME = pd.DataFrame(C, index=[0])\nX = C['a']": False,
    "try:\n    import pandas\n    X = 1\nexcept ImportError:\n    X = 2": True,
    "import pandas, sklearn.base\ntry:\n    import pandas, sklearn.base\n    X = 1\nexcept ImportError:\n    X = 2": True,
    "try:\n    from pandas import nothing\n    X = 1\nexcept ImportError:\n    X = 2": False,
    "try:\n    import not_locked\n    X = 1\nexcept ImportError:\n    X = 2": False,
    "try:\n    import not_locked\nexcept ImportError:\n    pass\nX = 1": True,
    "import contextlib, pandas as pd\nX = 1\nwith contextlib.suppress(AttributeError):\n    pd.nothing\n    X = 2": False,
    "from PIL import Image\nX = 1\ndef show(image: Image.Image) -> None: ...": True,
    "from PIL import Image\nclass Mine(Image.Image):\n    SIZE = 3\nX = 1": True,
    "from PIL import Image\nclass Mine(Image.Image):\n    SIZE = 3\nX = Mine.SIZE": False,
    "from PIL import Image\nX = Image.new('L', (1, 2)).size[1]": False,
    "from sklearn.linear_model import LogisticRegression\nMODEL = LogisticRegression()\nX = 1": True,
    "from sklearn.linear_model import LogisticRegression\nX = LogisticRegression().max_iter": False,
    "from sklearn.base import BaseEstimator\nclass Mine(BaseEstimator):\n    N = 3\nX = Mine().N": False,
    "from sklearn import *\nX = 1": False,
    "import sklearn\nwith sklearn.config_context(assume_finite=True):\n    X = 1": True,
    "import typing\nfrom sklearn.base import BaseEstimator as B\nT = typing.Optional[B] | list[B]\nX = 1": True,
    "import pydantic, pandas as pd\nclass M(pydantic.BaseModel):\n    x: int = pydantic.Field(1, le=pd.Timestamp.max.year)\nX = 1": True,
    "import typing, annotated_types, pandas as pd\nT = typing.Annotated[int, annotated_types.Le(pd.Timestamp.max.year)]\nX = 1": True,
    "import annotated_types, pandas as pd\nX = hash(annotated_types.Le(pd.Timestamp.max.year)) % 2": False,
    "import dataclasses, pandas as pd\n@dataclasses.dataclass\nclass C:\n    a: pd.DataFrame = None\n    n: int = 2\nX = C().n": True,
    "import fastapi\napp = fastapi.FastAPI()\n@app.get('/a')\ndef a(): ...\nX = 1": True,
}
APIS = {
    "def predict(self, image: PIL.Image.Image) -> PIL.Image.Image: ...": True,
    "def predict(self, images: typing.List[PIL.Image.Image]) -> typing.List[PIL.Image.Image]: ...": True,
    "def predict(self, image: typing.Optional[PIL.Image.Image] = None) -> str: ...": True,
    "def predict(self, image: 'PIL.Image.Image') -> str: ...": True,
    "def predict(self, image: PIL.Image.Image | None = None) -> str: ...": False,
    "def predict(self, frame: None | pandas.DataFrame = None) -> str: ...": False,
    "def predict(self, frame: pandas.Series | None = None) -> str: ...": False,
    "def predict(self, frame: pandas.DataFrame) -> pandas.DataFrame: ...": True,
    "def predict(self, array: numpy.ndarray) -> numpy.ndarray: ...": True,
    "def predict(self, x: typing.Annotated[pandas.DataFrame, bentoml.validators.DataframeSchema(orient='records')]) -> str: ...": True,
    "def predict(self, frames: typing.Dict[str, pandas.DataFrame]) -> str: ...": True,
    "def predict(self, frame: pandas.Series) -> str: ...": False,
    "def predict(self, x: int = pandas.NA) -> str: ...": False,
    "def predict(self, x: int = pydantic.Field(1, le=pandas.LIMIT)) -> str: ...": False,
    "def predict(self, x: str) -> typing.Iterator[pandas.Series]: ...": False,
    "async def predict(self, x: pathlib.Path) -> typing.AsyncGenerator[str, None]:\n        yield ''": True,
    "def predict(self, x: pandas.Nothing) -> str: ...": False,
    "def predict(self, x: sklearn.base.BaseEstimator) -> str: ...": False,
}
OTHERS = {
    "@bentoml.service(workers=pandas.N)\nclass Svc: ...": False,
    "@bentoml.service(name=pandas.N)\nclass Svc: ...": False,
    "@bentoml.service(labels={'a': pandas.N})\nclass Svc: ...": False,
    "@bentoml.service(envs=[{'name': 'A', 'value': pandas.N}])\nclass Svc: ...": False,
    "@bentoml.service(envs=pandas.ENVS)\nclass Svc: ...": False,
    "@bentoml.service(image=pandas.IMAGE)\nclass Svc: ...": False,
    "@bentoml.service(image=bentoml.images.Image(python_version=pandas.V))\nclass Svc: ...": False,
    "@bentoml.service(image=bentoml.images.Image().python_packages(pandas.V))\nclass Svc: ...": False,
    "@bentoml.service(**pandas.CONFIG)\nclass Svc: ...": False,
    "@bentoml.service\nclass Svc(pandas.DataFrame): ...": False,
    "@bentoml.service\nclass Svc:\n    model = bentoml.models.HuggingFaceModel(pandas.MODEL)": False,
    "@bentoml.service\nclass Svc:\n    model = bentoml.models.BentoModel(pandas.MODEL)": False,
    "@bentoml.service\nclass Svc:\n    other = bentoml.depends(pandas.Service)": False,
    "@bentoml.service\nclass Svc:\n    other = bentoml.depends(url=pandas.URL)": False,
    "@bentoml.service\nclass Svc:\n    frame = pandas.DataFrame()": False,
    "@bentoml.service\nclass Svc:\n    def __init__(self):\n        self.frame = pandas.DataFrame()": True,
    "@bentoml.service\n@pandas.decorate\nclass Svc: ...": False,
    "@bentoml.service\nclass Svc:\n    @bentoml.api\n    @pandas.decorate\n    def predict(self) -> str: ...": False,
    "@bentoml.service\nclass Svc:\n    @bentoml.api(route=pandas.ROUTE)\n    def predict(self) -> str: ...": False,
    "@bentoml.service\nclass Svc:\n    @bentoml.api(batchable=pandas.B)\n    def predict(self, x: list[str]) -> list[str]: ...": False,
    "@bentoml.asgi_app(fastapi.FastAPI(), path='/a')\n@bentoml.service\nclass Svc: ...": False,
    "@bentoml.service\n@bentoml.asgi_app(starlette.applications.Starlette(), path='/a')\nclass Svc: ...": True,
    "@bentoml.service\nclass Svc: ...\npandas.patch(Svc)": False,
}
IMPORTS = "import pathlib, typing\nimport bentoml, numpy, pandas, PIL.Image, pydantic, sklearn.base, starlette.applications, fastapi\n"
# Services as projects write them: the import with stand-ins gives their metadata.
WHOLE = [
    "from sklearn.pipeline import make_pipeline\nfrom sklearn.svm import SVC\nPIPE = make_pipeline(SVC(C=2.0))\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def fit(self, x: list[float]) -> float:\n        return PIPE.predict([x])[0]",
    "from scipy import stats\nDIST = stats.norm(0, 1)\n@bentoml.service(workers=2)\nclass Svc:\n    @bentoml.api\n    def draw(self, n: int = 1) -> list[float]:\n        return DIST.rvs(n).tolist()",
    "SERIES = pandas.Series([1, 2]).rolling(2).mean()\n@bentoml.service(traffic={'timeout': 9})\nclass Svc:\n    @bentoml.api(batchable=True)\n    def sums(self, x: list[int]) -> list[int]:\n        return x",
    "class Out(pydantic.BaseModel):\n    label: str\n    score: float = 0.5\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def classify(self, image: PIL.Image.Image) -> Out:\n        return Out(label='a')",
    "class In(pydantic.BaseModel):\n    model_config = {'arbitrary_types_allowed': True}\n    a: int = pydantic.Field(2, ge=1, description='count')\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: In) -> In:\n        return x",
    "@pandas.api.extensions.register_dataframe_accessor('own')\nclass Own:\n    def __init__(self, frame): ...\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: pandas.DataFrame) -> str: ...",
    "from sklearn.base import BaseEstimator, TransformerMixin\nclass Own(BaseEstimator, TransformerMixin):\n    def __init__(self, a=1):\n        self.a = a\n    def transform(self, x):\n        return x\n@bentoml.service\nclass Svc: ...",
    "app = fastapi.FastAPI(title='a')\n@app.get('/x')\ndef x() -> dict[str, str]: ...\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self) -> str: ...",
    "@bentoml.service\nclass One:\n    @bentoml.api\n    def embed(self, x: list[str]) -> numpy.ndarray: ...\n@bentoml.service\nclass Svc:\n    one = bentoml.depends(One)\n    @bentoml.api\n    def f(self, x: str) -> float: ...",
    "IMAGE = bentoml.images.Image(python_version='3.11').python_packages('pandas').run('true')\nLOADED = pandas.read_csv\n@bentoml.service(image=IMAGE, envs=[{'name': 'A', 'value': '1'}])\nclass Svc: ...",
    "import logging\nlogging.getLogger('a').addFilter(lambda record: isinstance(record, pandas.DataFrame))\n@bentoml.service(logging={'access': {'enabled': False}})\nclass Svc: ...",
    "import functools\n@functools.lru_cache\ndef load():\n    return sklearn.base.clone(None)\n@bentoml.service\nclass Svc:\n    @bentoml.on_startup\n    def up(self):\n        load()",
    "import enum\nclass Color(enum.Enum):\n    RED = 'r'\n    BLUE = 'b'\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, color: Color = Color.RED) -> PIL.Image.Image: ...",
    "from abc import ABC, abstractmethod\nclass Base(ABC):\n    @abstractmethod\n    def run(self, frame: pandas.DataFrame): ...\nclass Real(Base):\n    def run(self, frame): ...\nREAL = Real()\n@bentoml.service\nclass Svc: ...",
    "T = typing.TypeVar('T', bound=pandas.DataFrame)\nclass Box(typing.Generic[T]):\n    item: T\nBOX: Box[pandas.DataFrame] = Box()\n@bentoml.service\nclass Svc:\n    @bentoml.task\n    def f(self, x: str = 'a') -> str: ...",
    "class Own(pandas.DataFrame):\n    @property\n    def _constructor(self):\n        return Own\n@bentoml.service(name='own_name')\nclass Svc:\n    @bentoml.api(route='/own')\n    def f(self, x: int) -> int: ...",
    "import threading\nLOCK = threading.Lock()\nwith LOCK:\n    MODEL = sklearn.base.BaseEstimator()\n@bentoml.service(resources={'cpu': '2', 'memory': '1Gi'})\nclass Svc: ...",
    "SETTINGS = {'frame': pandas.DataFrame(), 'n': 3}\nN = 3\n@bentoml.service(workers=N, labels={'n': str(N)})\nclass Svc:\n    @bentoml.api\n    def f(self, x: numpy.ndarray) -> numpy.ndarray: ...",
    "def build(kind, *args, **kwargs):\n    return kind(*args, **kwargs)\nFRAME = build(pandas.DataFrame, index=[1])\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: dict[str, int]) -> dict[str, int]: ...",
    "def decorate(function):\n    return function\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    @decorate\n    def f(self, frame: pandas.DataFrame, n: int = 3) -> pandas.DataFrame: ...",
    "@bentoml.service(traffic={'concurrency': 3, 'max_concurrency': 5})\nclass Svc:\n    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=8, max_latency_ms=50)\n    def f(self, x: numpy.ndarray) -> numpy.ndarray:\n        return pandas.DataFrame(x).to_numpy()",
    "from fastapi import APIRouter\nrouter = APIRouter(prefix='/a')\n@router.post('/b')\nasync def b(request: fastapi.Request): ...\napp = fastapi.FastAPI()\napp.include_router(router)\n@bentoml.service\nclass Svc: ...",
    "class Middle:\n    def __init__(self, app, frame=pandas.DataFrame): ...\n    async def __call__(self, scope, receive, send): ...\n@bentoml.service\nclass Svc: ...\nSvc.add_asgi_middleware(Middle)",
    "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Settings:\n    size: int = 4\n    frame: pandas.DataFrame | None = dataclasses.field(default=None, repr=False)\nS = Settings()\n@bentoml.service(workers=S.size)\nclass Svc: ...",
    "N = {'a': 1}.get('a', 2)\nif N == 1:\n    from sklearn.svm import SVC as Model\nelse:\n    from sklearn.linear_model import Ridge as Model\nMODEL = Model(C=1)\n@bentoml.service(labels={'n': str(N)})\nclass Svc: ...",
    "class Loader:\n    reader = staticmethod(pandas.read_csv)\n    def __call__(self, path: pathlib.Path) -> 'pandas.DataFrame': ...\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, path: pathlib.Path) -> pathlib.Path: ...",
    "frames = []\nframes.append(pandas.DataFrame())\nNAMES = ['a', 'b']\n@bentoml.service(labels={name: name for name in NAMES})\nclass Svc: ...",
    "def rows() -> typing.Iterator[pandas.Series]:\n    yield pandas.Series()\nROWS = rows()\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    async def f(self, x: str) -> typing.AsyncGenerator[str, None]:\n        yield x",
    "Size = typing.Literal['s', 'm']\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, image: typing.Annotated[pathlib.Path, bentoml.validators.ContentType('image/png')], size: Size = 's') -> PIL.Image.Image: ...",
    "class Config(typing.NamedTuple):\n    n: int = 2\n    kind: type = pandas.DataFrame\n@bentoml.service(workers=Config().n)\nclass Svc: ...",
    "from typing_extensions import TypedDict\nclass Rows(TypedDict):\n    a: int\n    b: str\nREAD = lambda path: pandas.read_parquet(path)\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: Rows) -> Rows: ...",
    "import asyncio\nSEMAPHORE = asyncio.Semaphore(2)\nasync def load() -> pandas.DataFrame: ...\n@bentoml.service(metrics={'namespace': 'a'})\nclass Svc:\n    @bentoml.api\n    async def f(self, x: typing.Optional[int] = None) -> typing.Optional[int]: ...",
    "import sklearn.pipeline as pipeline\nSTEPS = [('a', sklearn.base.BaseEstimator())]\nPIPE = pipeline.Pipeline(STEPS)\n@bentoml.service(name='pipe')\nclass Svc: ...",
    "@bentoml.service(envs=[{'name': 'B', 'value': 'c'}], http={'cors': {'enabled': True}})\nclass Svc:\n    @bentoml.api\n    def f(self, x: pandas.DataFrame) -> numpy.ndarray: ...",
    "import os\nos.environ.setdefault('OWN', '1')\nFRAME = pandas.DataFrame()\n@bentoml.service(labels={'own': os.environ['OWN']})\nclass Svc: ...",
]
CASES = {
    **{f"import bentoml\n{use}\n{SERVICE}": can for use, can in USES.items()},
    **{f"{IMPORTS}@bentoml.service\nclass Svc:\n    @bentoml.api\n    {api}\n": can for api, can in APIS.items()},
    **{f"{IMPORTS}{service}\n": can for service, can in OTHERS.items()},
    **{f"{IMPORTS}{service}\n": True for service in WHOLE},
}


def test_enough_services_are_imported_in_both_ways():
    assert sum(CASES.values()) >= 60


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
        ("X = torch.x is None", "importing the service requires the identity or attributes of torch.x, "),
        ("X = {torch.a: 1, torch.b: 2}", "importing the service requires the value of torch.a, "),
        ("X = f'{torch.__version__}'", "importing the service requires the value of torch.__version__, "),
        ("D = {1: 2}\nX = D.get(torch.a, 3)", "importing the service requires the value of torch.a, "),
        ("X = [*torch.x]", "importing the service requires the value of torch.x, "),
        ("X = torch.x + 1", "importing the service requires the value of torch.x, "),
        ("X = 1 + torch.x", "importing the service requires the value of torch.x, "),
        ("X = 3 in torch.x", "importing the service requires the value of torch.x, "),
        ("X = [1, 2][torch.x]", "importing the service requires the value of torch.x, "),
        ("X = int(torch.x)", "importing the service requires the value of torch.x, "),
        ("X = getattr(torch, 'x', 1)", "importing the service requires the identity or attributes of torch, "),
        ("X = torch.__spec__ is None", "importing the service requires the identity or attributes of torch.__spec__, "),
        ("X = torch.__path__[0] + 'x'", "importing the service requires the value of torch.__path__[], "),
        ("X = torch.__name__", "importing the service requires the value of torch.__name__, "),
        ("X = callable(torch.x)", "importing the service requires the identity or attributes of torch.x, "),
        ("X = torch.x.__class__", "importing the service requires the type of torch.x, "),
        ("X = torch.x.__doc__", "importing the service requires the value of torch.x.__doc__, "),
        ("X = torch.x.__module__", "importing the service requires the value of torch.x.__module__, "),
        ("import inspect; X = inspect.isfunction(torch.x)", "importing the service requires the type of torch.x, "),
        ("import operator; X = operator.is_(torch.x, None)", "importing the service requires the identity or attributes of torch.x, "),
        ("import json; X = json.dumps(torch.x)", "importing the service requires the type of torch.x, "),
        ("import typing; X = typing.Optional[torch.a] == typing.Optional[torch.b]", "importing the service requires the value of torch.a, "),
        ("match torch.x:\n    case None:\n        X = 1\n    case _:\n        X = 2", "importing the service requires the identity or attributes of torch.x, "),
        ("class S(torch.S):\n    A = 3\nX = S().A", "importing the service requires the value of torch.S:S().A, "),
        ("from torch import *\nX = 1", "importing the service requires the value of torch.__all__, "),
        ("import dotenv\ndotenv.load_dotenv()\nX = 1", "importing the service requires the environment variables of dotenv, but a stand-in replaces the package:\n  service.py:3: import dotenv"),
    ],
)  # fmt: skip
def test_the_line_and_the_package_of_a_value_that_is_needed(stand_ins, lines, problem):
    found, _ = stand_ins({"service.py": f"import bentoml\nimport torch\n{lines}\n{SERVICE}"})
    assert found["problem"].startswith(problem), found
    assert found["remedy"] == REMEDY.replace("{}", "python_dotenv" if "dotenv" in lines else "torch")


def test_a_function_in_c_rejects_a_stand_in(stand_ins):
    found, _ = stand_ins({"service.py": f"import bentoml\nimport torch\nX = str.lower(torch.NAME)\n{SERVICE}"})
    assert "TypeError: descriptor 'lower' for 'str' objects" in found["problem"]
    assert "Add the package to import_requirements" in found["remedy"]


def test_a_module_that_no_package_has_is_missing(stand_ins):
    found, _ = stand_ins({"service.py": f"import bentoml\nfrom services import X\n{SERVICE}"})
    assert "service.py:2: from services import X\n  ModuleNotFoundError: No module named 'services'" in found["problem"]
    assert "the file or library of the module to the Bento (check include)" in found["remedy"]


def test_a_module_of_the_project_that_is_missing(stand_ins):
    service = f"import bentoml\nimport lib.missing\n{SERVICE}"
    found, _ = stand_ins({"service.py": service, "lib/__init__.py": ""})
    assert "No module named 'lib.missing'" in found["problem"]
