"""`env/docker/script__...`: scripts that an image build runs."""

from __future__ import annotations

from rules_bento.errors import BentoError


def script_path(path: str, content: bytes) -> str:
    """Return where a script lies in the Bento.

    BentoML hashes the absolute path, so the same project has another Bento in another folder. This hashes the path
    in the build context and the content.
    """
    import hashlib

    digest = hashlib.sha256(path.encode() + b"\0" + content).hexdigest()
    return f"env/docker/script__{digest[:32]}"


def script_command(script: str) -> str:
    """Return the command of bento.yaml that runs a script of the Bento."""
    return f"chmod +x ./{script} && ./{script}"


def check_script(path: str, content: bytes, place: str) -> None:
    """Refuse what cannot be run as a program: without a first line that names another, a shell runs a script.

    Raises BentoError for one of another kind without such a line, and for a first line that ends as on Windows.
    """
    first = content.partition(b"\n")[0]
    if first.startswith(b"#!"):
        if first.endswith(b"\r"):
            raise BentoError(
                f"{place}: {path} has the line ends of Windows, so its program is not found. Save with LF."
            )
        return
    if path.endswith((".py", ".pl", ".rb", ".js")):
        example = "/usr/bin/env python3" if path.endswith(".py") else "/bin/sh"
        raise BentoError(f"{place}: {path} does not say what runs it. Let its first line be '#!{example}'.")
