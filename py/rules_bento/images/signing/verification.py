"""Creates SLSA verification summaries (VSA, version 1), and decides whether one is sufficient.

A summary states that `bento verify --rebuild` proved an image, and from what. It is a statement that someone signs, and
that a policy accepts without sources, packages, or a base. The format is https://slsa.dev/verification_summary/v1;
fields of our own begin with `rules_bento_`, as SLSA recommends.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.formats.times import normalize_time, parse_time
from rules_bento.base.typing_lite import Any, Mapping, Sequence
from rules_bento.images.signing import SignatureError, to_json

PREDICATE = "https://slsa.dev/verification_summary/v1"
VERIFIER = "urn:rules-bento:verify-rebuild:v1"
COMPLETE = "RULES_BENTO_ALL_FILES_PROVEN"
PARTIAL = "RULES_BENTO_SOME_FILES_NOT_PROVEN"

_FORM = "%Y-%m-%dT%H:%M:%SZ"
_SKEW = 300  # seconds that the clock of a verifier can be ahead


def summary(
    resource: str,
    images: Sequence[Mapping[str, Any]],
    inputs: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the predicate for an image without findings.

    `resource` is `oci://HOST/REPOSITORY`. `images` has, for each platform, the digest, and files and bytes by origin.
    `inputs` are SLSA resource descriptors of what was trusted, and `versions` the versions of the programs. Only the
    time isn't a function of these.
    """
    is_complete = not any(image["unproven_bytes"] or image["unproven_files"] for image in images)
    digest = hashlib.sha256(to_json(options)).hexdigest()
    return {
        "verifier": {"id": VERIFIER, "version": dict(versions)},
        "timeVerified": datetime.now(timezone.utc).strftime(_FORM),
        "resourceUri": resource,
        "policy": {"uri": VERIFIER, "digest": {"sha256": digest}},
        "verificationResult": "PASSED",
        "verifiedLevels": [COMPLETE if is_complete else PARTIAL],
        "slsaVersion": "1.1",
        "rules_bento_inputs": list(inputs),
        "rules_bento_options": dict(options),
        "rules_bento_images": list(images),
    }


class Conditions(NamedTuple):
    """What a policy requires of a summary: the age in days, levels, `URI[@ALGORITHM:HEX]` of inputs, the repository."""

    max_age: int | None = None
    levels: tuple[str, ...] = (COMPLETE,)
    inputs: tuple[str, ...] = ()
    repository: str = ""

    def check(self, predicate: Mapping[str, Any], repository: str) -> None:
        """Raise SignatureError if a summary isn't sufficient for an image in a repository ("" for a layout)."""
        verifier = predicate.get("verifier")
        if not isinstance(verifier, dict) or verifier.get("id") != VERIFIER:
            raise SignatureError("the verification is of another program")
        if predicate.get("verificationResult") != "PASSED":
            raise SignatureError("the verification didn't pass")
        if repository and predicate.get("resourceUri") != (expected := f"oci://{self.repository or repository}"):
            raise SignatureError(f"the verification is for {predicate.get('resourceUri')!r:.300}, not {expected}")
        levels = predicate.get("verifiedLevels")
        if missing := set(self.levels) - set(_texts(levels)):
            raise SignatureError(f"the verification lacks the level {min(missing)}")
        self._check_time(predicate.get("timeVerified"))
        found = predicate.get("rules_bento_inputs")
        named = {name for each in (found if isinstance(found, list) else ()) for name in _names(each)}
        if absent := [each for each in self.inputs if each not in named]:
            raise SignatureError(f"the verification doesn't name the input {absent[0]}")

    def _check_time(self, text: Any) -> None:
        try:
            age = datetime.now(timezone.utc) - parse_time(normalize_time(str(text)))
        except ValueError:
            raise SignatureError("the verification has no time") from None
        if age.total_seconds() < -_SKEW:
            raise SignatureError(f"the time of the verification, {text}, is in the future")
        if self.max_age is not None and age.days >= self.max_age:
            raise SignatureError(f"the verification is {age.days} days old; the policy allows {self.max_age}")


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _names(resource: Any) -> list[str]:
    """Return the URI of a resource descriptor, and the URI with each digest."""
    uri, digests = (resource.get("uri"), resource.get("digest")) if isinstance(resource, dict) else ("", {})
    return [
        str(uri),
        *(f"{uri}@{name}:{text}" for name, text in (digests if isinstance(digests, dict) else {}).items()),
    ]
