"""Makes a Python program see another machine and another day.

A service is imported a second time so: values from the clock, the host, or its processors differ then.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import gc
import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LATER = 400 * 24 * 3600 + 3723  # seconds
_NAME = "another-host"


def shift_environment() -> None:
    """Change what this process sees of host name, processors, and time."""
    processors = (os.cpu_count() or 1) * 2 + 1
    uname = os.uname()
    os.cpu_count = lambda: processors
    if hasattr(os, "sched_getaffinity"):
        os.sched_getaffinity = lambda _pid, /: set(range(processors))
    os.uname = lambda: os.uname_result((uname.sysname, _NAME, *uname[2:]))
    socket.gethostname = lambda: _NAME
    now, now_ns, formatted = time.time, time.time_ns, time.strftime
    time.time = lambda: now() + _LATER
    time.time_ns = lambda: now_ns() + _LATER * 10**9
    for name in ("ctime", "gmtime", "localtime"):
        _shift_default(name)
    time.strftime = lambda text, *moment: formatted(text, *(moment or (time.localtime(),)))
    # In place: pydantic compares the classes by identity.
    for cls, name in ((dt.date, "today"), (dt.datetime, "now"), (dt.datetime, "utcnow")):
        gc.get_referents(cls.__dict__)[0][name] = _shifted(vars(cls)[name])
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))


def _shift_default(name: str) -> None:
    real = getattr(time, name)
    setattr(time, name, lambda moment=None: real(time.time() if moment is None else moment))


def _shifted(real: Any) -> Any:
    later = dt.timedelta(seconds=_LATER)
    return classmethod(lambda cls, *args, **kwargs: real.__get__(None, cls)(*args, **kwargs) + later)
