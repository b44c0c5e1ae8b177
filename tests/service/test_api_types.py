"""Signatures of APIs: real BentoML accepts what static analysis accepts."""

import importlib.util
import sys
import warnings

import pytest
from rules_bento.bentos.service import read_service

HEAD = """\
{future}
import abc, asyncio, collections.abc, dataclasses, datetime, enum, io, logging, pathlib, re, threading, types, typing, uuid
from typing import *

import attrs
import bentoml
import numpy as np
import numpy.typing as npt
import pydantic
import typing_extensions
from bentoml.validators import ContentType, DType, Shape

{library}

class Plain: ...
class Text(str): ...
class Table(dict): ...
class Failure(Exception): ...
class Abstract(abc.ABC): ...
class Shaped(Protocol):
    a: int
class Box(Generic[TypeVar("T")]): ...
class Hooked:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return handler(int)
class Color(enum.Enum):
    RED = "red"
class Inner(pydantic.BaseModel):
    a: int
class Model(pydantic.BaseModel):
    a: Inner
    b: Optional["Inner"] = None
    _hidden: Plain
class Derived(Model):
    c: ClassVar[Plain] = None
class Described(bentoml.IODescriptor):
    a: Annotated[np.ndarray, Shape((1, 2))]
class Open(pydantic.BaseModel):
    model_config = {{"arbitrary_types_allowed": True}}
    path: pathlib.Path
class Both(Plain, Model): ...
class Old(typing.TypedDict):
    a: int
class Partial(typing.TypedDict, total=False):
    a: int
class New(typing_extensions.TypedDict):
    a: int
class Named(NamedTuple):
    a: int
class NamedPlain(NamedTuple):
    a: Plain
@dataclasses.dataclass
class Data:
    a: int
    b: ClassVar[Plain] = None
@dataclasses.dataclass
class DataPlain:
    a: Plain
@attrs.define
class Attrs:
    a: int
Alias = List[int]
PlainAlias = Optional[Plain]
""".replace(
    "from typing import *",
    "from typing import (Annotated, Any, AsyncGenerator, AsyncIterator, Awaitable, Callable, ClassVar, Dict, Generator, Generic,"
    " Hashable, Iterable, Iterator, IO, List, Literal, Mapping, NamedTuple, NoReturn, Optional, Protocol, Sequence, Tuple, Type, TypeVar, Union)",
)

VALID = [
    *("int", "str", "Any", "None", "bytes", "list", "dict[str, Any]", "tuple[int, ...]", "Optional[int]"),
    *("int | None", "Model"),
    *("Color", "Data", "Alias", "Open", "Literal['a b']", "Derived"),
    "'int'",
    *("np.ndarray", "Optional[np.ndarray]", "List[np.ndarray]", "dict[str, np.ndarray]"),
    *("Annotated[np.ndarray, Shape((1, 2)), DType('float32')]", "Annotated[pathlib.Path, ContentType('image/*')]"),
    *("Annotated[str, 'a text']", "datetime.datetime", "uuid.UUID"),
    *("Iterable[str]", "Mapping[str, int]"),
    *("Sequence[Model]", "pydantic.BaseModel", "object"),
]
# BentoML supports some of these.
UNSUPPORTED = [
    *("Hooked", "Both", "New", "Named", "List[New]", "Type[int]", "Annotated[list[np.ndarray], 'a']", "re.Pattern"),
    *("pydantic.PositiveInt", "type(None)", "Old", "list[Old]", "np.ndarray | None"),
    *("dict[str, list[np.ndarray] | int]", "AsyncGenerator[str]", "collections.abc.Generator[str]"),
    *("Plain", "Text", "Table", "Failure", "Abstract", "Shaped", "Box", "Box[int]", "Attrs", "DataPlain"),
    *("NamedPlain", "PlainAlias"),
    *("Optional[Plain]", "list[Plain]", "Dict[str, Plain]", "Tuple[Plain, ...]", "int | Plain", "'Plain'"),
    "list['Plain']",
    *("Annotated[Plain, ContentType('a/b')]", "Sequence[Plain]", "list[Optional[Plain]]", "Undefined", "'Undefined'"),
    "'a b'",
    *("np.float32", "npt.ArrayLike", "np", "np.array", "tuple[np.ndarray, int]"),
    "list[Annotated[list[np.ndarray], 'a']]",
    *("any", "dict[str, any]", "callable", "bytearray", "slice", "type", "Exception", "Callable"),
    *("Callable[[int], str]", "Hashable"),
    *("io.BytesIO", "logging.Logger", "threading.Lock", "asyncio.Queue", "re.Match", "types.ModuleType"),
    "datetime.tzinfo",
    *("IO", "IO[bytes]", "NoReturn", "Awaitable[str]", "bentoml.Context", "bentoml.Tag", "bentoml.images.Image"),
    "abc.ABC",
    *("1", "list[1]", "[int]", "(int, str)", "{'a': int}", "typing"),
    "Annotated[AsyncGenerator[str, None], ContentType('a/b')]",
    *("Optional[AsyncGenerator[str, None]]", "list[AsyncGenerator[str, None]]", "AsyncGenerator", "Iterator"),
]
OUTPUTS = [
    ("Generator[str, None, None]", True), ("AsyncGenerator[str, None]", True), ("Iterator[str]", True),
    ("AsyncIterator[np.ndarray]", True), ("AsyncGenerator[Model, None]", True),
    ("Generator[Plain, None, None]", False), ("Iterator[any]", False),
]  # fmt: skip
SIGNATURES = [
    ("@bentoml.api", "def f(self): ...", True),
    ("@bentoml.api", "def f(self, x, /): ...", True),
    ("@bentoml.api", "def f(self, /, y: int): ...", True),
    ("@bentoml.api", "def f(self, ctx): ...", True),
    ("@bentoml.api", "def f(self, context: 'bentoml.Context'): ...", True),
    ("@bentoml.api", "def f(self, *a: int, **_kw: Plain): ...", True),
    ("@bentoml.api", "def f(self, json: str, model_name: str = 'x'): ...", True),
    ("@bentoml.api(input_spec=Model, output_spec=Model)", "def f(self, x: int) -> int: ...", True),
    ("@bentoml.api(input_spec=Described)", "def f(self, **kw) -> int: ...", True),
    ("@bentoml.api(max_batch_size=1.5, name='x', max_latency_ms=1)", "def f(self, x: int): ...", True),
    ("@bentoml.task", "def f(self, x: int): return lambda: (yield)", True),
    ("@bentoml.task", "def f(self, x: int) -> Generator[str, None, None]: return iter(())", True),
    ("@bentoml.task", "def f(self, x: int): yield 1", False),
    ("@bentoml.task()", "async def f(self, x: int): yield 1", False),
    ("@bentoml.task", "def f(self, x: int): return (yield)", False),
    ("@bentoml.api", "def f(): ...", False),
    ("@bentoml.api", "def f(self, x: int, /, y: int): ...", False),
    ("@bentoml.api", "def f(self, x: int, y: int, /): ...", False),
    ("@bentoml.api", "def f(self, x: int, /, **kw): ...", False),
    ("@bentoml.api", "def f(self, _x: int): ...", False),
    ("@bentoml.api", "def f(self, model_dump: int): ...", False),
    ("@bentoml.api", "def f(self, *a: Plain): ...", False),
    ("@bentoml.api", "def f(self, c: bentoml.Context): ...", False),
    ("@bentoml.api(max_batch_size=1)", "def f(self, x: int): ...", False),
    ("@bentoml.api(max_batch_size=None)", "def f(self, x: int): ...", False),
    ("@bentoml.api(batchabel=True)", "def f(self, x: int): ...", False),
    ("@bentoml.api(output_spec=str)", "def f(self, x: int): ...", False),
    ("@bentoml.api(input_spec=1)", "def f(self, x: int): ...", False),
]
CASES = [("@bentoml.api", f"def f(self, x: {text}): ...", True) for text in VALID]
CASES += [("@bentoml.api", f"def f(self) -> {text}: ...", True) for text in VALID]
CASES += [("@bentoml.api", f"def f(self, x: {text}): ...", False) for text in UNSUPPORTED]
CASES += [("@bentoml.api", f"def f(self) -> {text}: ...", False) for text in UNSUPPORTED]
CASES += [("@bentoml.api", f"def f(self) -> {text}: yield 1", is_valid) for text, is_valid in OUTPUTS]
CASES += SIGNATURES
CASES = [case for case in CASES if "-> 'a b'" not in case[1]]  # BentoML ignores this string


def source(decorator: str, function: str, *, future: bool = False, library: str = "") -> str:
    head = HEAD.format(future="from __future__ import annotations" if future else "", library=library)
    return f"{head}\n\n@bentoml.service\nclass Svc:\n    {decorator}\n    {function}\n"


def rejection(text: str) -> str:
    """Return why static analysis rejects a service, or an empty string."""
    return "".join(each.what for each in read_service("service:Svc", {"service.py": text.encode()}).unknowns)


def is_valid_for_bentoml(text: str, directory) -> bool:
    (directory / "service.py").write_text(text)
    spec = importlib.util.spec_from_file_location("api_types_service", directory / "service.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
            module.Svc.schema()
            assert module.Svc.openapi_spec
    except Exception:
        return False
    finally:
        del sys.modules[spec.name]
    return True


@pytest.mark.parametrize("part", range(8))
def test_signatures_that_static_analysis_supports(tmp_path, part):
    pytest.importorskip("bentoml")
    for decorator, function, is_valid in CASES[part::8]:
        text = source(decorator, function)
        message = rejection(text)
        assert (message == "") is is_valid, f"{function}: {message}"
        assert not is_valid or is_valid_for_bentoml(text, tmp_path), function


@pytest.mark.parametrize(
    "text", ["Plain", "list[Plain]", "np.float32", "int", "Model", "Optional[np.ndarray]", "Undefined"]
)
def test_future_annotations(tmp_path, text):
    """BentoML evaluates them in the module."""
    service = source("@bentoml.api", f"def f(self, x: {text}): ...", future=True)
    pytest.importorskip("bentoml")
    assert (rejection(service) == "") is is_valid_for_bentoml(service, tmp_path)


@pytest.mark.parametrize(
    ("library", "text", "is_valid"),
    [
        ("import pandas as pd", "pd.DataFrame", True),
        ("import pandas as pd", "pd.Series", False),
        ("import pandas", "Optional[pandas.Timestamp]", False),
        ("import PIL.Image", "PIL.Image.Image", True),
        ("import PIL.Image", "Optional[PIL.Image.Image]", True),
        ("from PIL import Image", "Image", False),
        ("from PIL.Image import Image", "Image", True),
        ("from PIL.Image import Image", "tuple[Image, int]", False),
        ("import fastapi", "fastapi.Request", False),
        ("import fastapi", "fastapi.UploadFile", False),
        ("from starlette.responses import JSONResponse", "JSONResponse", False),
        ("import torch", "torch.Tensor", True),
        ("import torch", "torch.nn.Module", False),
    ],
)
def test_types_of_libraries(tmp_path, library, text, is_valid):
    service = source("@bentoml.api", f"def f(self, x: {text}): ...", library=library)
    assert (rejection(service) == "") is is_valid
    pytest.importorskip(library.split()[1].partition(".")[0])
    pytest.importorskip("bentoml")
    assert not is_valid or is_valid_for_bentoml(service, tmp_path)
