"""Adds a version to the list that the site's version selector reads: `versions.py DIRECTORY VERSION`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_REDIRECT = '<!doctype html><meta http-equiv="refresh" content="0; url=latest/"><a href="latest/">latest</a>\n'


def with_version(listed: list[dict[str, object]], version: str) -> list[dict[str, object]]:
    """Return the versions, newest first, with the alias `latest` for the new one."""
    others = [{**each, "aliases": []} for each in listed if each["version"] != version]
    return [{"version": version, "title": version, "aliases": ["latest"]}, *others]


def main() -> None:
    """Update versions.json and the page at the root."""
    directory, version = Path(sys.argv[1]), sys.argv[2]
    file = directory / "versions.json"
    listed = json.loads(file.read_text("utf-8")) if file.exists() else []
    file.write_text(json.dumps(with_version(listed, version), indent=1) + "\n", "utf-8")
    (directory / "index.html").write_text(_REDIRECT, "utf-8")


if __name__ == "__main__":
    main()
