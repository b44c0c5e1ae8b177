"""Resolves revisions on Hugging Face Hub to commits, and determines the SHA-256 of each file.

The API provides the digests of files that the Hub stores outside of git. The other files are small, and are downloaded
to compute their digests.
"""

from __future__ import annotations

import hashlib
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file, schema
from rules_bento.formats.json import read_json
from rules_bento.net.host_settings import is_loopback
from rules_bento.net.transport import display_url
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Sequence, TypeVar

from bento_cli.transports import address as addresses
from bento_cli.transports.address import MissingError
from bento_cli.transports.http import Http

if TYPE_CHECKING:
    _Taken = TypeVar("_Taken")

_MODEL = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_MOST_BYTES = 16 << 20  # maximum size of an API response in bytes
_ANSWER = {"sha": str, "siblings": [{"rfilename": str, "lfs?": {"sha256?": str}}]}


@dataclass(frozen=True)
class Snapshot:
    """A commit of a model on Hugging Face Hub. `files` maps paths to SHA-256 digests."""

    model_id: str
    revision: str
    files: dict[str, str]  # path to SHA-256 digest


def pin(
    model_id: str,
    revision: str = "main",
    *,
    endpoint: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Snapshot:
    """Resolve a revision to a commit, and return the commit's files that match the patterns.

    By default, `endpoint` is the value of HF_ENDPOINT. Raises BentoError for an invalid argument or response, or if no
    file matches.
    """
    if not _MODEL.fullmatch(model_id) or ".." in model_id:
        raise BentoError(
            f"invalid model ID {model_id!r}. Use ORGANIZATION/NAME, with letters, digits, '_', '.', and '-', but "
            "without '..'."
        )
    if not revision.isprintable():
        raise BentoError(f"revision {revision!r} contains an unprintable character. Remove the character.")
    hub = _Hub(endpoint or os.environ.get("HF_ENDPOINT", ""))
    answer = hub.answer(f"/api/models/{model_id}/revision/{quote(revision, safe='')}?blobs=true")
    commit = answer["sha"]
    if not _COMMIT.fullmatch(commit):
        raise BentoError(
            f"{hub}: the server resolved {model_id}@{revision} to {commit!r}, which isn't a commit. Check --endpoint."
        )
    files = {}
    for file in answer["siblings"]:
        path = file["rfilename"]
        if not _passes(path, include, exclude):
            continue
        if path.startswith("/") or not {".", "..", ""}.isdisjoint(path.split("/")):
            raise BentoError(f"{model_id}: the path {path!r} is absolute or not normalized. Exclude it with --exclude.")
        if not path.isprintable() or "\\" in path:
            problem = f"the path {path!r} contains a backslash or an unprintable character"
            raise BentoError(f"{model_id}: {problem}. Exclude the file with --exclude.")
        declared = file.get("lfs", {}).get("sha256", "")
        is_hash = re.fullmatch("[0-9a-f]{64}", declared)
        files[path] = declared if is_hash else hub.sha256(f"/{model_id}/resolve/{commit}/{quote(path)}")
    if not files:
        raise BentoError(f"{model_id}: no file in commit {commit} matches the patterns. Change --include or --exclude.")
    return Snapshot(model_id, commit, dict(sorted(files.items())))


def _passes(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Return whether the patterns select a path. As in `huggingface_hub`, `DIR/` matches all files in the directory."""

    def named(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)

    return (not include or named(include)) and not named(exclude)


class _Hub:
    """Client for Hugging Face Hub that sends the user's token. `str()` returns the endpoint without secrets."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        if not self._endpoint:
            raise BentoError("--endpoint: the URL of the Hugging Face Hub is missing. Set --endpoint or HF_ENDPOINT.")
        if not self._endpoint.startswith(("https://", "http://")):
            raise BentoError(
                "--endpoint: expected a URL that begins with https:// or http://. Correct --endpoint or HF_ENDPOINT."
            )
        if "?" in self._endpoint or "#" in self._endpoint:
            raise BentoError(f"--endpoint: {self} contains a query or a fragment. Change --endpoint or HF_ENDPOINT.")
        self._token = _token()

    def __str__(self) -> str:
        return display_url(self._endpoint)

    def answer(self, path: str) -> dict[str, Any]:
        """Request a JSON object from the API. Returns the object. Raises BentoError for an invalid response."""
        try:
            value: dict[str, Any] = read_json(self._read(path, _bounded), str(self))
        except FormatError:
            raise BentoError(f"{self}: the response isn't valid JSON. Check --endpoint.") from None
        schema.validate(value, _ANSWER, str(self), "Check --endpoint.")
        return value

    def sha256(self, path: str) -> str:
        """Download a file, and return its hexadecimal SHA-256 digest."""
        return self._read(path, _hashed)

    def _read(self, path: str, take: Callable[[Iterable[memoryview]], _Taken]) -> _Taken:
        """Request `path`, and return the result of calling `take` with the content. Retries after interruptions.

        Raises BentoError if all attempts fail, or if a token is set and the endpoint is an http URL of another machine.
        """
        address = addresses.parse(self._endpoint + path)
        if address is None:
            raise AssertionError
        if self._token and address.scheme == "http" and not is_loopback(address.host):
            raise BentoError(
                f"{self}: the token would be sent without encryption. Use an https URL. To send no token, unset "
                "HF_TOKEN and HUGGING_FACE_HUB_TOKEN, and remove the token file (HF_TOKEN_PATH, or `token` in HF_HOME)."
            )
        try:
            with Http(address, f"Bearer {self._token}" if self._token else "") as client:
                return client.read(take)
        except MissingError:
            raise BentoError(
                f"{address}: not found on the Hugging Face Hub. Check the model ID and the revision."
            ) from None


def _bounded(pieces: Iterable[memoryview]) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _MOST_BYTES:
            raise BentoError(
                f"The response from the Hugging Face Hub exceeds {_MOST_BYTES >> 20} MiB. Check --endpoint."
            )
    return bytes(content)


def _hashed(pieces: Iterable[memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _token() -> str:
    """Return the token that the library huggingface_hub would use, or "" if no variable or file contains a token.

    Requests no token from CI systems (HF_OIDC_RESOURCE). Raises BentoError for a read error.
    """
    # HUGGING_FACE_HUB_TOKEN is the former name.
    if token := (os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN", "")).strip():
        return token
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    name = os.environ.get("HF_TOKEN_PATH") or f"{home}/token"
    file = Path(os.path.expandvars(name)).expanduser()
    try:
        return read_file(file).decode().strip() if file.is_file() else ""
    except OSError as error:
        raise BentoError(f"{file}: cannot read the token: {error.strerror}. Check the file's permissions.") from None
    except UnicodeDecodeError:
        raise BentoError(
            f"{file}: the Hugging Face token isn't valid UTF-8. Log in again with `hf auth login`."
        ) from None
