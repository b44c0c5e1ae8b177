"""Accesses OCI registries, and reads and writes OCI image layouts. Uses only the standard library."""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_json


class RegistryError(BentoError):
    """Raised for an error response. Contains the HTTP status, and OCI error codes such as `BLOB_UNKNOWN`, if any."""

    def __init__(
        self, problem: str, status: int, codes: tuple[str, ...] = (), *, place: str = "", remedy: str = ""
    ) -> None:
        super().__init__(problem, place=place, remedy=remedy)
        self.status = status
        self.codes = codes


_REMEDIES = {
    401: "Log in with `bento login {host}`, `docker login {host}`, or the program of your cloud.",
    403: "Request access to the repository, or log in as a user with access: `bento login {host}`.",
    404: "Check the repository name and the tag, or log in if the repository is private: `bento login {host}`.",
    413: "Raise the upload limit of the registry or of its reverse proxy.",
    429: "The registry limits the rate of requests. Log in, or try again later.",
}


def response_error(status: int, body: bytes, what: str, host: str) -> RegistryError:
    """Return the error for a response. `what` names the repository and the requested resource."""
    codes, words = _error_codes(body)
    remedy = _REMEDIES.get(status, "").format(host=host)
    if status == 403 and re.search(r"(?i)\bquota\b|storage limit", words):
        remedy = "Remove images from the registry, or raise its quota."
    if status >= 500:
        remedy = "Several attempts failed. Try again later, or check the registry's log."
    reason = f" ({words})" if words else ""
    return RegistryError(f"the registry returned {status}{reason}.", status, codes, place=what, remedy=remedy)


def _error_codes(body: bytes) -> tuple[tuple[str, ...], str]:
    """Return the codes and the joined messages of an error response. Both are empty if the format is unknown."""
    try:
        errors = read_json(body, "the response")["errors"]
        codes = tuple(str(error.get("code", "")) for error in errors)
        words = "; ".join(text for error in errors for text in _texts(error))
    except (FormatError, KeyError, TypeError, AttributeError):
        return (), ""
    return codes, "".join(character for character in words[:300] if character.isprintable())


def _texts(error: dict[str, object]) -> list[str]:
    """Return the message or code of an error, and its detail if that is a string, as from GitLab."""
    detail = error.get("detail")
    texts = [str(error.get("message") or error.get("code") or ""), detail if isinstance(detail, str) else ""]
    return [text for text in texts if text]
