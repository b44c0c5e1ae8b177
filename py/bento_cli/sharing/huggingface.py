"""Resolves revisions on Hugging Face Hub to commits, and determines the SHA-256 of each file.

The API provides the digests of files that the Hub stores outside of git. The other files are small, and are downloaded
to compute their digests.
"""

from __future__ import annotations

import hashlib
import os
import re

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError, missing_package
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_json
from rules_bento.base.net import limits
from rules_bento.base.net.secret_hosts import accepts_secrets
from rules_bento.base.net.urls import Origin, display_url
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Sequence
from rules_bento.bentos.assembly.model_refs import HUB

if TYPE_CHECKING:
    from typing import Literal

_COMMIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")
_REMEDY = "Check --endpoint or HF_ENDPOINT."
_TIMEOUT = 60  # seconds
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
_MAX_SHOWN = 200  # characters of a response in a message


@dataclass(frozen=True)
class Snapshot:
    """A commit of a model on Hugging Face Hub. `files` maps paths to SHA-256 digests, and `sizes` to bytes."""

    model_id: str
    revision: str
    files: dict[str, str]  # path to SHA-256 digest
    sizes: dict[str, int]  # as the Hub states them


class Hub(NamedTuple):
    """A server, the user's token if the server may get it, and whether it may."""

    endpoint: str
    token: str | None
    is_trusted: bool

    @staticmethod
    def of_user(endpoint: str = "") -> Hub:
        """Return the server at `endpoint`, by default at the value of HF_ENDPOINT.

        Only this server and the Hub get the user's token, because a project can select another endpoint. Raises
        BentoError for an invalid endpoint, or if the token would be sent without encryption.
        """
        try:
            import huggingface_hub
        except ModuleNotFoundError:
            raise missing_package("Reading models of the Hugging Face Hub", "huggingface-hub") from None
        place = "--endpoint" if endpoint else "HF_ENDPOINT"
        endpoint = _checked_endpoint(endpoint or os.environ.get("HF_ENDPOINT", ""), place)
        origin = Origin.from_url(endpoint)
        is_trusted = origin in (Origin.from_url(HUB), Origin.from_url(os.environ.get("HF_ENDPOINT") or HUB))
        try:
            token = huggingface_hub.get_token() if is_trusted else None
        except (OSError, ValueError) as error:
            remedy = "Log in again with `hf auth login`."
            raise BentoError(f"cannot read the Hugging Face token: {error}", remedy=remedy) from None
        if token and not accepts_secrets(origin.scheme, origin.host):
            remedy = "Use an https URL. To send no token, unset HF_TOKEN and HUGGING_FACE_HUB_TOKEN, and remove the "
            remedy += "token file (HF_TOKEN_PATH, or `token` in HF_HOME)."
            raise BentoError("the token would be sent without encryption", place=display_url(endpoint), remedy=remedy)
        return Hub(endpoint, token, is_trusted)


def pin(
    model_id: str,
    revision: str = "main",
    *,
    endpoint: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    has_files: bool = True,
) -> Snapshot:
    """Resolve a revision to a commit, and return the commit's files that match the patterns.

    If `has_files` is false, makes a single request, and the result has no files.

    `endpoint` is as for `Hub.of_user`. Raises BentoError for an invalid argument or response, or if no file matches.
    """
    endpoint, token, is_trusted = Hub.of_user(endpoint)
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    where = display_url(endpoint)
    try:
        return _pin(model_id, revision, endpoint, token or False, include, exclude if has_files else None)
    except BentoError:
        raise
    except HFValidationError:
        remedy = "Use ORGANIZATION/NAME, with letters, digits, '_', '.', and '-', but without '..'."
        raise BentoError(f"invalid model ID {model_id!r}", remedy=remedy) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = "Check the model ID, the revision, and the token."
        if not is_trusted and status in (401, 403):
            remedy = f"The token is sent only to {HUB} and to the server in HF_ENDPOINT. If you trust {where}, set it."
        problem = f"the server responded with {status} to {model_id}@{revision}"
        raise BentoError(problem, place=where, remedy=remedy) from None
    except Exception as error:  # the library doesn't validate responses
        reason = f"{type(error).__name__}: {error}"[:_MAX_SHOWN]
        raise BentoError(f"invalid response ({reason})", place=where, remedy=_REMEDY) from None


def _checked_endpoint(endpoint: str, place: str) -> str:
    if not endpoint:
        remedy = "Set --endpoint or HF_ENDPOINT."
        raise BentoError("the URL of the Hugging Face Hub is missing", place="--endpoint", remedy=remedy)
    if not re.fullmatch("https?://[^?#]+", endpoint):
        problem = "expected a URL that begins with https:// or http://, without a query or a fragment"
        raise BentoError(problem, place=place, remedy="Correct the URL.")
    return endpoint.rstrip("/")


def _pin(
    model_id: str,
    revision: str,
    endpoint: str,
    token: str | Literal[False],
    include: Sequence[str],
    exclude: Sequence[str] | None,
) -> Snapshot:
    """Request the commit, and its files unless `exclude` is None.

    Raises an exception of huggingface_hub for a failed request.
    """
    from huggingface_hub import HfApi, get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, filter_repo_objects, hf_raise_for_status

    where = display_url(endpoint)
    session = get_session()
    session.event_hooks = {**session.event_hooks, "response": [lambda response: _read_document(response, where)]}
    api = HfApi(endpoint=endpoint, token=token, headers=_UNCOMPRESSED)
    info = api.model_info(model_id, revision=revision, files_metadata=exclude is not None, timeout=_TIMEOUT)
    commit = info.sha or ""
    if not _COMMIT.fullmatch(commit):
        problem = f"the server resolved {model_id}@{revision} to {commit[:_MAX_SHOWN]!r}, which isn't a commit"
        raise BentoError(problem, place=where, remedy=_REMEDY)
    if exclude is None:
        return Snapshot(model_id, commit, {}, {})
    files, sizes = {}, {}
    siblings = {file.rfilename: file for file in info.siblings or ()}
    for path in filter_repo_objects(siblings, allow_patterns=list(include) or None, ignore_patterns=list(exclude)):
        if not {".", "..", ""}.isdisjoint(path.split("/")) or not path.isprintable() or "\\" in path:
            problem = (
                f"the path {path[:_MAX_SHOWN]!r} isn't normalized, or contains a backslash or an unprintable character"
            )
            raise BentoError(problem, place=model_id, remedy="Exclude it with --exclude.")
        size, lfs = siblings[path].size, siblings[path].lfs
        most = size if type(size) is int and 0 <= size < limits.BODY else limits.BODY
        sizes[path] = 0 if most == limits.BODY else most
        if lfs and _SHA256.fullmatch(lfs.sha256):
            files[path] = lfs.sha256
            continue
        digest = hashlib.sha256()
        session.event_hooks["response"] = [lambda response, most=most: _limit(response, most, where)]
        url = hf_hub_url(model_id, path, revision=commit, endpoint=endpoint)
        headers = {**build_hf_headers(token=token), **_UNCOMPRESSED}
        with session.stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                digest.update(chunk)
        files[path] = digest.hexdigest()
    if not files:
        remedy = "Change --include or --exclude."
        raise BentoError(f"no file in commit {commit} matches the patterns", place=model_id, remedy=remedy)
    return Snapshot(model_id, commit, dict(sorted(files.items())), sizes)


def _read_document(response: Any, where: str) -> None:
    """Read a response of the API. Raises BentoError if the response, or its JSON, exceeds the limits."""
    _limit(response, limits.DOCUMENT, where)
    if response.is_success:
        try:
            read_json(response.read(), where)
        except FormatError as error:
            problem = error.problem.rstrip(".")
            raise BentoError(f"invalid response ({problem})", place=where, remedy=_REMEDY) from None


def _limit(response: Any, most: int, where: str) -> None:
    """Limit the bytes that can be read from a response. Raises BentoError for a compressed response."""
    source = response.stream
    limit = most if response.is_success else limits.REFUSAL
    # huggingface_hub imports httpx or httpx2, and requires its class for a stream
    base: Any = next(base for base in type(source).__mro__ if base.__name__ == "SyncByteStream")

    class Limited(base):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for piece in source:
                size += len(piece)
                if size > limit:
                    raise BentoError(f"a response exceeds the limit of {limit} bytes", place=where, remedy=_REMEDY)
                yield piece

        def close(self) -> None:
            source.close()

    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BentoError("the server compresses a response, which wasn't requested", place=where, remedy=_REMEDY)
    response.stream = Limited()
