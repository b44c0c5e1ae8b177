"""Sends a file of this machine to an address."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.transports.remote import opened
from bento_cli.transports.source import Source

if TYPE_CHECKING:
    from typing import BinaryIO

    from rules_bento.net.transfers import Counter

    from bento_cli.transports.address import Address


def upload(address: Address, file: BinaryIO, counter: Counter) -> Source:
    """Put an open file (of the disk) at an address. Raises BentoError, and then nothing new is there."""
    source = Source(file)
    counter.expect(source.size)
    with opened(address) as remote:
        remote.write(source, counter)
    return source
