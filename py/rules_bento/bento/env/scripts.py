"""`env/docker/script__...`: scripts that an image build runs."""

from __future__ import annotations

from rules_bento.errors import BentoError


def script_path(path: str, content: bytes) -> str:
    """Return the path of a script in the Bento.

    It has a hash of the path in the build context and the content. BentoML hashes the absolute path, so its Bentos
    depend on the location of the project.
    """
    import hashlib

    digest = hashlib.sha256(path.encode() + b"\0" + content).hexdigest()
    return f"env/docker/script__{digest[:32]}"


def script_command(script: str) -> str:
    """Return the command of bento.yaml that runs a script of the Bento."""
    return f"chmod +x ./{script} && ./{script}"


def check_script(path: str, content: bytes, place: str) -> None:
    """Raise BentoError for a script that can't be executed; without a shebang, it must be a shell script."""
    first = content.partition(b"\n")[0]
    if first.startswith(b"#!"):
        if first.endswith(b"\r"):
            raise BentoError(f"{place}: {path} has CRLF line ends, so its shebang is invalid. Save it with LF.")
        return
    if path.endswith((".py", ".pl", ".rb", ".js")):
        example = "/usr/bin/env python3" if path.endswith(".py") else "/bin/sh"
        raise BentoError(f"{place}: {path} has no shebang. Add '#!{example}' as its first line.")
