"""Writes of what an image or a Bento is made: the half of SLSA's provenance that is the same wherever it is built."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from rules_bento.archives.digests import sha256_of
from rules_bento.arguments import read_text
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.models.model import ModelDescription
from rules_bento.signing.provenance import definition, dependency
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = {
    "--base-config": 1,
    "--bento-digest": 1,  # file
    "--built-wheel": 3,  # name, version, file
    "--exclude": 2,  # name of a wheel, pattern of its files that the image leaves out; both are texts
    "--index": 1,  # of Debian packages in the base or in a layer
    "--kind": 1,  # bento or image
    "--layer": 1,  # description of a layer that the image takes as it is
    "--locked": 1,  # the requirements of a Bento, with hashes among them
    "--model": 1,  # description
    "--output": 1,
    "--platform": 1,
    "--python-version": 1,
    "--tag": 1,  # file
    "--target": 1,
    "--wheel": 3,  # name, version, SHA-256
}


def run(arguments: Arguments) -> None:
    """Write SLSA's `buildDefinition`, as JSON."""
    tag = read_text(arguments.required("--tag")).strip()
    parameters: dict[str, Any] = {
        "target": arguments.required("--target"),
        "bento": tag,
        "platform": arguments.optional("--platform"),
        "pythonVersion": arguments.optional("--python-version"),
        # "stated": without a lock, only the Bento's own requirements name the packages.
        "packages": "locked" if arguments.has("--locked") or arguments.has("--wheel") else "stated",
        "exclude": _excluded(arguments),
    }
    document = definition(
        arguments.required("--kind"),
        {name: value for name, value in parameters.items() if value},
        [
            dependency(f"bento:{tag}", read_text(arguments.required("--bento-digest")).strip()),
            *_dependencies(arguments),
        ],
    )
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    Path(arguments.required("--output")).write_text(f"{text}\n", "utf-8")


def _excluded(arguments: Arguments) -> dict[str, list[str]]:
    """Return by wheel the patterns of files that the image has not, although the wheel with its hash has them."""
    excluded: dict[str, list[str]] = {}
    for name, pattern in arguments.tuples("--exclude"):
        excluded.setdefault(json.loads(name), []).append(json.loads(pattern))
    return excluded


def _dependencies(arguments: Arguments) -> Iterator[dict[str, Any]]:
    for name, version, sha256 in arguments.tuples("--wheel"):
        yield dependency(_package(name, version), f"sha256:{sha256}")
    for name, version, file in arguments.tuples("--built-wheel"):
        yield dependency(_package(name, version), f"sha256:{sha256_of(file)}")
    for path in arguments.repeated("--locked"):
        yield from _locked(json.loads(read_text(path))["pinned_with_hashes"])
    for path in arguments.repeated("--model"):
        model = ModelDescription.loads(read_text(path))
        yield dependency(f"model:{model.tag}", f"blake3:{model.blake3}")
    for path in arguments.repeated("--layer"):
        digest = json.loads(read_text(path))["digest"]
        yield dependency(f"layer:{digest}", digest)
    for path in arguments.repeated("--base-config"):
        config = read_object(read_file(path), "the base's config")
        yield from _base(config)
        for index in arguments.repeated("--index"):
            yield from _debian(json.loads(read_text(index))["packages"], config["architecture"])


def _locked(text: str) -> Iterator[dict[str, Any]]:
    """Yield each file that a lock of ours allows: `name==version`, and the hashes of its files on the lines below."""
    package = ""
    for word in text.split():
        if word.startswith("--hash="):
            yield dependency(package, word.removeprefix("--hash="))
        elif "==" in word:
            package = _package(*word.split("==", 1))


def _base(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the image that a base is, if it is one: its layers are told by it."""
    digest, origin = config.get("digest"), config.get("origin")
    if digest:
        name = str(origin).rpartition("/")[2]
        where = f"?repository_url={quote(str(origin), safe='/:')}" if origin else ""
        yield dependency(f"pkg:oci/{quote(name or 'base')}@{quote(digest)}{where}", digest)


def _debian(versions: dict[str, str], architecture: str) -> Iterator[dict[str, Any]]:
    """Yield packages of dpkg's: their bytes are those of the layers."""
    for name, version in versions.items():
        yield {"uri": f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"}


def _package(name: str, version: str) -> str:
    return f"pkg:pypi/{quote(name)}@{quote(version)}"
