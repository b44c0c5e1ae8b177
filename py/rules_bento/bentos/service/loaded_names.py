"""Names of the modules that BentoML loads, and of packages that provide modules.

`bench/bentoml_modules.py` prints the first two tables from real BentoML.
"""

from __future__ import annotations

import re

from rules_bento.base.typing_lite import Collection
from rules_bento.bentos.service.sdk_names import words

LOADED = words(
    "abc annotated_types anyio array ast asyncio atexit attr attrs base64 bentoml_cli binascii bisect builtins bz2 "
    "calendar cattr cattrs certifi click click_option_group cloudpickle codecs collections colorsys concurrent "
    "configparser contextlib contextvars copy copyreg csv ctypes cython_runtime dataclasses datetime dateutil decimal "
    "difflib dis email encodings enum errno faulthandler fcntl fnmatch fractions fsspec functools gc genericpath "
    "gettext glob grp gzip h11 hashlib heapq hmac html http httpcore httpx httpx_ws idna importlib inspect io "
    "ipaddress itertools jinja2 json keyword linecache locale logging lzma markupsafe marshal math mimetypes mmap "
    "ntpath numbers opcode operator optparse os packaging packaging_legacy_version pathlib pathspec pickle "
    "pip_requirements_parser platform posix posixpath psutil pwd pydantic pydantic_core pygments python_multipart "
    "queue quopri random re reprlib resource rich schema secrets select selectors shlex shutil signal simple_di site "
    "socket socketserver ssl starlette stat string struct subprocess sys sysconfig tarfile tempfile textwrap "
    "threading time token tokenize traceback types typing typing_extensions typing_inspection unicodedata urllib uuid "
    "v1 warnings weakref webbrowser wsproto yaml zipfile zipimport zlib zoneinfo"
)
"""Modules that each tested BentoML and Python load before the service, or that break `bentoml build`."""
SOMETIMES = words(
    "a2wsgi exceptiongroup multiprocessing pkgutil runpy six sre_compile sre_constants sre_parse tomli tomllib uu "
    "uvicorn watchfiles"
)
"""Modules that only some load before the service, or only the process that serves."""
PROVIDED = words(
    "_yaml a2wsgi aiohappyeyeballs aiohttp aiohttp_asgi_connector aiosignal aiosqlite asgiref bentoml_io circus "
    "deepmerge deprecated dotenv exceptiongroup filetype frozenlist fs google importlib_metadata inflection "
    "inquirerpy kantoku markdown_it mdurl multidict multipart numpy opentelemetry pkg_resources prometheus_client "
    "propcache pydantic_settings pynvml pyparsing pythonjsonlogger questionary rich_toolkit setuptools six sniffio "
    "tomli tomli_w tornado uv uvicorn watchfiles wcwidth wrapt yarl zipp zmq"
)
"""Other modules of bentoml and of the packages that it requires, in any version since 1.3."""
WELL_KNOWN = words(
    "accelerate altair anthropic bokeh boto3 botocore bs4 catboost celery cv2 dask datasets diffusers django duckdb "
    "fastapi flask gensim gradio huggingface_hub jax joblib langchain librosa lightgbm matplotlib mlflow nltk onnx "
    "openai openpyxl pandas peft PIL plotly polars psycopg2 pyarrow pymongo ray redis requests safetensors scipy "
    "seaborn sentence_transformers sentencepiece shap skimage sklearn spacy sqlalchemy statsmodels streamlit timm "
    "tokenizers torch torchaudio torchvision transformers ultralytics vllm wandb xgboost"
)
"""Modules that only packages with the same name, or the name in `DISTRIBUTIONS`, as a part of their names provide."""
WITH_EFFECTS = ("dotenv", "environs", "truststore")
"""Modules that change the environment of the process, which the code after them might read."""
# Modules whose names differ from the names of their packages; a package that ends in `-` is a family.
_RENAMED = (
    "attr=attrs bs4=beautifulsoup4 Crypto=pycryptodome cv2=opencv- dateutil=python-dateutil docx=python-docx "
    "faiss=faiss- fitz=pymupdf jwt=pyjwt OpenSSL=pyopenssl PIL=pillow pkg_resources=setuptools serial=pyserial "
    "dotenv=python-dotenv skimage=scikit-image sklearn=scikit-learn whisper=openai-whisper yaml=pyyaml zmq=pyzmq"
)
DISTRIBUTIONS = dict(pair.split("=") for pair in _RENAMED.split())


def find_package(module: str, packages: Collection[str] | None) -> str:
    """Return the one of `packages` that provides a top-level module, or an empty string if none is known.

    If `packages` is None, returns the likely name of the package.
    """
    name = re.sub(r"[-_.]+", "-", DISTRIBUTIONS.get(module, module)).lower()
    if packages is None:
        return name.rstrip("-")
    names = (name, f"python-{name}", f"{name}-python", f"py{name}")
    exact = [package for package in packages if package in names]
    prefixed = [package for package in packages if package.startswith(f"{name.rstrip('-')}-")]
    return (exact or sorted(prefixed) or [""])[0]
