"""Fixtures for all tests of bento-proof."""

from tests.helpers.store_support import bento
from tests.proofs.image_attacks import case
from tests.sharing.debian_support import mirror, project
from tests.sharing.image_support import local, machine, wheels
from tests.sharing.support import store

__all__ = ["bento", "case", "local", "machine", "mirror", "project", "store", "wheels"]
