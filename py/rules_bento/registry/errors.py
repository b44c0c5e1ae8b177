"""The errors for what a registry refuses."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json


class RegistryError(BentoError):
    """Reports a registry's refusal.

    `status` is HTTP's; `codes` are the distribution specification's (`BLOB_UNKNOWN`, …), perhaps none.
    """

    def __init__(self, message: str, status: int, codes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.codes = codes


_REMEDIES = {
    401: "Log in: `docker login {host}`, or another tool that keeps credentials in docker's config.json.",
    403: "Ask for access to the repository, or log in as someone who has it: `docker login {host}`.",
    404: "Look at the spelling; some registries also say so of what one may not see: `docker login {host}`.",
    413: "The registry, or a proxy before it, limits what is uploaded: raise its limit.",
    429: "The registry limits how often it is asked: log in, or try again later.",
}


def refusal(status: int, body: bytes, what: str, host: str) -> RegistryError:
    """Return the error for a response; `what` is what was asked for, and of which repository."""
    codes, words = _read(body)
    remedy = _REMEDIES.get(status, "").format(host=host)
    if status >= 500:
        remedy = "It was tried several times; try again later, or look at the registry's log."
    reason = f" ({words})" if words else ""
    return RegistryError(f"{what}: the registry answers {status}{reason}. {remedy}".rstrip(), status, codes)


def _read(body: bytes) -> tuple[tuple[str, ...], str]:
    """Return the codes and the message of an error response (distribution specification), or empty ones."""
    try:
        errors = read_json(body, "the answer")["errors"]
        codes = tuple(str(error.get("code", "")) for error in errors)
        words = "; ".join(filter(None, (str(error.get("message") or error.get("code") or "") for error in errors)))
    except (FormatError, KeyError, TypeError, AttributeError):
        return (), ""
    return codes, "".join(character for character in words[:300] if character.isprintable())
