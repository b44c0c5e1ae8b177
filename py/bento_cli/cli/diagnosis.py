"""Implements the checks of `bento doctor`: what the `bento` command uses on a machine."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.programs import LOADERS, which
from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.bentos.packages.uv import find_uv
from rules_bento.images.registry.auth import searched_files

if TYPE_CHECKING:
    from bento_cli.store.home import Home

OK, WARNING, ERROR = "ok", "warning", "error"

_SMALL_DISK = 2 << 30  # bytes
# A module of each extra of rules-bento-cli.
_EXTRAS = {
    "dropbox": "dropboxdrivefs",
    "huggingface": "huggingface_hub",
    "keyless": "sigstore",
    "remote-cache": "h2",
    "s3, azure, gs": "obstore",
    "sftp": "paramiko",
    "signing": "cryptography",
}
_BENTOML = "lib/python3*/site-packages/bentoml/__init__.py"


@dataclass(frozen=True)
class Finding:
    """The result of a check, and a remedy if there is a problem."""

    about: str
    state: str
    text: str
    remedy: str = ""


def diagnose(home: Home) -> list[Finding]:
    """Check what the `bento` command uses, without starting another program."""
    from bento_cli.sharing.serving import interpreter

    findings, path = [], os.environ.get("PATH", "")
    program = which("bento", path)
    if program and Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        remedy = f"Change the order of PATH, or run `{sys.executable} -m bento_cli`."
        findings.append(Finding("bento", WARNING, f"{program} on PATH might be another program", remedy))
    uv = find_uv(path)
    remedy = "" if uv else "Install uv, for example with `pip install uv`. `bento build` locks packages with uv."
    findings.append(Finding("uv", OK if uv else WARNING, uv or "uv isn't installed", remedy))
    try:
        python = interpreter(has_bentoml=lambda each: any(each.parent.parent.glob(_BENTOML)))
        findings.append(Finding("bentoml", OK, str(python)))
    except BentoError:
        findings.append(Finding("bentoml", OK, "isn't installed; only serving, imports, and BentoCloud require it"))
    engines = ", ".join(name for name in LOADERS if which(name, path))
    remedy = "" if engines else f"To load or build images in a container engine, install {' or '.join(LOADERS)}."
    findings.append(Finding("containers", OK if engines else WARNING, engines or "no engine is on PATH", remedy))
    extras = ", ".join(name for name, module in _EXTRAS.items() if find_spec(module)) or "none is installed"
    findings += [Finding("extras", OK, extras), Finding("logins", OK, searched_files()), _store(home)]
    parent = next(path for path in (home.root, *home.root.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(parent).free
    is_small = free < _SMALL_DISK
    remedy = "Delete Bentos with `bento delete`, or caches with `bento cache clean`." if is_small else ""
    findings.append(Finding("disk", WARNING if is_small else OK, f"{free >> 30} GiB are free in {parent}", remedy))
    return findings


def _store(home: Home) -> Finding:
    """Check the names and sizes of the files in a store. The contents might be large."""
    from bento_cli.store.verification import verify_all

    verified = verify_all(home, by_size=True)
    text = f"{len(verified.damages)} damaged in {home.root}"
    if not verified.damages:
        return Finding("store", OK, text)
    remedy = "To list all damage, run `bento verify`. Then build, import, or pull the entries again."
    return Finding("store", ERROR, f"{text}, such as {verified.damages[0]}", remedy)
