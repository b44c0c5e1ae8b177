"""SFTP, by the machine's `ssh`."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.programs import which
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.transports.openssh import OpenSsh

if TYPE_CHECKING:
    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Remote


def open(address: Address) -> Remote:  # noqa: A001 - each transport has it
    """Return what speaks to the address. Raises BentoError if there is no `ssh`."""
    program = which("ssh")
    if not program:
        raise BentoError(
            f"{address}: SFTP needs OpenSSH's program ssh, which is not on PATH. Install it: Debian's package is "
            f"openssh-client, Alpine's openssh-client-default; macOS has it."
        )
    return OpenSsh(address, program)
