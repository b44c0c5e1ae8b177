"""Writes the files of a release: `release.py DIRECTORY [COMMIT]`, in a clone of the repository.

    rules_bento-vX.Y.Z.tar.gz     the sources for users, with equal bytes from every clone of a commit
    modules/rules_bento/          the entry for a Bazel registry
    notes.md                      the release notes: how to depend on the release, and its changes

The version is the version in MODULE.bazel at the commit. GITHUB_REPOSITORY (`owner/name`) determines the URL of the
archive.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

_NAME = "rules_bento"
_TEMPLATES = ".bcr"
# Settings of a clone or a user that change the archives of git.
_NOTHING_LOCAL = ("tar.umask=0022", "core.attributesFile=/dev/null", "core.autocrlf=false", "core.eol=lf")


def main() -> int:
    """Write the files below a directory."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: release.py DIRECTORY [COMMIT]")
    directory, commit = Path(sys.argv[1]).absolute(), sys.argv[2] if len(sys.argv) > 2 else "HEAD"
    # `git archive` archives only the current directory.
    os.chdir(_git("rev-parse", "--show-toplevel").decode().removesuffix("\n"))
    module = _file("MODULE.bazel", commit)
    version = _version(module)
    archive = directory / f"{_NAME}-v{version}.tar.gz"
    notes = _notes(version, _absolute(_file("CHANGELOG.md", commit), f"v{version}"))
    directory.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(_archive(commit, version))
    _write_entry(directory / "modules" / _NAME, commit, module, archive)
    (directory / "notes.md").write_text(f"{notes}\nIntegrity of {archive.name}: `{_integrity(archive)}`\n", "utf-8")
    sys.stdout.write(f"{archive}\n")
    return 0


def _git(*words: str) -> bytes:
    settings = [word for setting in _NOTHING_LOCAL for word in ("-c", setting)]
    done = subprocess.run(["git", *settings, *words], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)} failed, see above. Run this in a clone, with one of its commits.")
    return done.stdout


def _file(path: str, commit: str) -> str:
    return _git("show", f"{commit}:{path}").decode()


def _version(module: str) -> str:
    match = re.search(r'^    version = "([^"]+)"', module, re.MULTILINE)
    if not match:
        raise SystemExit("MODULE.bazel: module() has no version. Give it one.")
    return match[1]


def _archive(commit: str, version: str) -> bytes:
    """Return the archive. git sorts its files and sets the time of the commit; .gitattributes excludes files."""
    packed = io.BytesIO()
    # Unlike gzip.compress, it writes the same header in all Python versions.
    with gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as stream:
        stream.write(_git("archive", "--format=tar", f"--prefix={_NAME}-{version}/", commit))
    return packed.getvalue()


def _write_entry(entry: Path, commit: str, module: str, archive: Path) -> None:
    version = _version(module)
    owner, _, repository = _repository().partition("/")
    values = {"OWNER": owner, "REPO": repository, "TAG": f"v{version}", "VERSION": version}
    source = json.loads(_filled(_file(f"{_TEMPLATES}/source.template.json", commit), values))
    source["integrity"] = _integrity(archive)
    metadata = json.loads(_filled(_file(f"{_TEMPLATES}/metadata.template.json", commit), values))
    metadata["versions"].append(version)
    (entry / version).mkdir(parents=True, exist_ok=True)
    (entry / version / "MODULE.bazel").write_text(module, "utf-8")
    (entry / version / "presubmit.yml").write_text(_file(f"{_TEMPLATES}/presubmit.yml", commit), "utf-8")
    (entry / version / "source.json").write_text(_document(source), "utf-8")
    (entry / "metadata.json").write_text(_document(metadata), "utf-8")


def _repository() -> str:
    return os.environ.get("GITHUB_REPOSITORY", f"{_NAME}/{_NAME}")


def _absolute(text: str, tag: str) -> str:
    """Return a document whose relative links work on the page of a release."""
    return re.sub(r"\]\((?!\w+:|#)", f"](https://github.com/{_repository()}/blob/{tag}/", text)


def _filled(template: str, values: dict[str, str]) -> str:
    return re.sub(r"\{([A-Z]+)\}", lambda found: values[found[1]], template)


def _document(value: object) -> str:
    return json.dumps(value, indent=4) + "\n"


def _integrity(archive: Path) -> str:
    return "sha256-" + base64.b64encode(sha256(archive.read_bytes()).digest()).decode()


def _notes(version: str, changelog: str) -> str:
    """Return the instructions to depend on the version, and the section of the changelog for the version."""
    section = re.search(rf"^## {re.escape(version)}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    changes = section[1].strip() if section else ""
    if not changes:
        raise SystemExit(f"CHANGELOG.md: the section '## {version}' is missing or empty. Describe the changes.")
    return f"""\
```starlark
bazel_dep(name = "{_NAME}", version = "{version}")
```

{changes}
"""


if __name__ == "__main__":
    sys.exit(main())
