"""The private names of other packages that rules_bento.private uses exist, with the expected parameters."""

import inspect

import pytest
from packaging.licenses import canonicalize_license_expression
from rules_bento import private
from sigstore._internal.trust import KeyringPurpose
from sigstore.models import TransparencyLogEntry, TrustedRoot
from sigstore.verify import Verifier


def test_identifiers_of_packaging():
    identifiers = private.spdx_identifiers()
    assert {"mit", "gpl-3.0-only"} <= set(identifiers)
    assert all(canonicalize_license_expression(name).lower() == name for name in list(identifiers)[:20])


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (Verifier._establish_time, ["self", "bundle"]),
        (Verifier._verify_signed_timestamp, ["self", "timestamp_response", "message"]),
        (TransparencyLogEntry._verify, ["self", "keyring"]),
        (TrustedRoot.rekor_keyring, ["self", "purpose"]),
    ],
)
def test_methods_of_sigstore(function, parameters):
    assert list(inspect.signature(function).parameters) == parameters


def test_values_of_sigstore():
    assert KeyringPurpose.VERIFY in KeyringPurpose
    assert "self._inner = inner" in inspect.getsource(TrustedRoot.__init__)
