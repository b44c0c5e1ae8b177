"""Fixtures for all tests of proofs by the command."""

from tests.helpers.store_support import bento
from tests.proofs.image_attacks import case
from tests.sharing.debian_support import mirror, project
from tests.sharing.hub_support import hub, served
from tests.sharing.image_support import local, machine, wheels
from tests.sharing.support import registry_binary, server, store

__all__ = ["bento", "case", "hub", "local", "machine", "mirror", "project", "registry_binary", "served", "server"]
__all__ += ["store", "wheels"]
