"""Names of the modules that BentoML loads, and that it and its packages provide.

`bench/bentoml_modules.py` prints the first two tables from real BentoML.
"""

from __future__ import annotations

import re

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
    "_yaml a2wsgi aiohappyeyeballs aiohttp aiohttp_asgi_connector aiosignal aiosqlite appdirs asgiref async_timeout "
    "bentoml_io charset_normalizer circus deepmerge deprecated dotenv example exceptiongroup filetype frozenlist fs "
    "google importlib_metadata inflection inquirerpy kantoku markdown_it mdurl multidict multipart numpy "
    "opentelemetry pfzy pkg_resources prometheus_client prompt_toolkit propcache pydantic_settings pynvml pyparsing "
    "pythonjsonlogger questionary rich_toolkit setuptools six sniffio tomli tomli_w tornado tzdata uv uvicorn "
    "watchfiles wcwidth wrapt yarl zipp zmq"
)
"""Other modules of bentoml and of `CLOSURE`, in any version since 1.3."""
CLOSURE = words(
    "a2wsgi aiohappyeyeballs aiohttp aiohttp-asgi-connector aiosignal aiosqlite annotated-doc annotated-types anyio "
    "appdirs asgiref async-timeout attrs bentoml cattrs certifi charset-normalizer circus click click-option-group "
    "cloudpickle deepmerge deprecated exceptiongroup filetype frozenlist fs fsspec h11 httpcore httpx httpx-ws idna "
    "importlib-metadata inflection inquirerpy jinja2 kantoku markdown-it-py markupsafe mdurl multidict numpy "
    "nvidia-ml-py opentelemetry-api opentelemetry-instrumentation opentelemetry-instrumentation-aiohttp-client "
    "opentelemetry-instrumentation-asgi opentelemetry-sdk opentelemetry-semantic-conventions opentelemetry-util-http "
    "packaging pathspec pfzy pip-requirements-parser prometheus-client prompt-toolkit propcache psutil pydantic "
    "pydantic-core pydantic-settings pygments pyparsing python-dateutil python-dotenv python-json-logger "
    "python-multipart pyyaml pyzmq questionary rich rich-toolkit schema setuptools simple-di six sniffio starlette "
    "tomli tomli-w tornado typing-extensions typing-inspection tzdata uv uvicorn watchfiles wcwidth wrapt wsproto yarl "
    "zipp"
)
"""bentoml and the packages that it requires, whose modules are in the tables above."""
WITH_EFFECTS = ("dotenv", "environs", "truststore")
"""Modules that change the environment of the process, which the code after them might read."""
PROVIDED_ELSEWHERE = re.compile(rb"#\s*bento:\s*provided\b")
"""The comment on an import whose module a base image or a system package provides."""
STAND_IN, OPTIONAL = "stand-in", "optional"
"""How an import continued without a module: a stand-in replaced it, or the project handled the ImportError."""
