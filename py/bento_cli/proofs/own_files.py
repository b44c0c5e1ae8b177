"""Lists the files that rules_bento itself adds to images: an environment, and the program that starts containers."""

from __future__ import annotations

from hashlib import sha256

from rules_bento.base.typing_lite import TYPE_CHECKING

from bento_cli.proofs.expected import Expected

if TYPE_CHECKING:
    from bento_cli.proofs.wheel_proof import Environment
    from bento_cli.sharing.native_base import BaseImageContents

ENVIRONMENT, HOME = "app/.venv", "home/bentoml"
OWNER = (1034, 1034)
DIRECTORIES = tuple(f"{HOME}/{name}" for name in ("bentos", "envs", "models", "tmp"))
START = ("/app/.venv/bin/python", "-I", "-S", "/app/.venv/bin/entrypoint.py")
"""The beginning of each container's command: the program starts the rest."""
PROGRAM = "f4c40a4bcdfdf64fb4b4337368f0417acfba6ed72b7c0b37d3427eeaa975e32e"
"""SHA-256 of the program that starts containers, in this release. A test compares it with the program."""
_SOURCE, _ORIGIN = "rules_bento", "this release of rules_bento"


def environment(base: BaseImageContents, environment: Environment) -> dict[str, Expected]:
    """Return the files of the environment, which follow from the base's interpreter."""
    version = base.python_version
    settings = f"home = {base.python.rpartition('/')[0]}\ninclude-system-site-packages = false\nversion = {version}\n"
    text = settings.encode()
    top = environment.prefix

    def link(target: str) -> Expected:
        return Expected(_SOURCE, _ORIGIN, "link", 0o777, OWNER, link=target)

    return {
        f"{top}/pyvenv.cfg": Expected(_SOURCE, _ORIGIN, "file", 0o644, OWNER, sha256(text).hexdigest()),
        f"{top}/bin/entrypoint.py": Expected(_SOURCE, _ORIGIN, "file", 0o644, OWNER, PROGRAM),
        f"{top}/bin/python": link(base.python),
        f"{top}/bin/python3": link("python"),
        f"{top}/bin/python{version}": link("python"),
    }
