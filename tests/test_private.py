"""The private names of other packages that rules_bento.base.private uses exist, with the expected parameters."""

import http.client
import inspect

import urllib3


def test_names_of_sigstore():
    from sigstore._internal.trust import KeyringPurpose
    from sigstore.models import TransparencyLogEntry, TrustedRoot
    from sigstore.verify import Verifier

    for function, parameters in (
        (Verifier._establish_time, ["self", "bundle"]),
        (Verifier._verify_signed_timestamp, ["self", "timestamp_response", "message"]),
        (TransparencyLogEntry._verify, ["self", "keyring"]),
        (TrustedRoot.rekor_keyring, ["self", "purpose"]),
    ):
        assert list(inspect.signature(function).parameters) == parameters
    assert KeyringPurpose.VERIFY in KeyringPurpose
    assert "self._inner = inner" in inspect.getsource(TrustedRoot.__init__)


def test_readers_of_http_client():
    """The constructor sets `fp`, and `begin` reads the head from it."""
    # The interpreter of actions has no sources of the standard library.
    assert {"fp", "makefile"} <= set(http.client.HTTPResponse.__init__.__code__.co_names)
    assert {"fp", "parse_headers"} <= set(http.client.HTTPResponse.begin.__code__.co_names)


def test_pools_of_urllib3():
    assert urllib3.PoolManager().pool_classes_by_scheme.keys() == {"http", "https"}
    assert "self.pool_classes_by_scheme[scheme]" in inspect.getsource(urllib3.PoolManager._new_pool)
