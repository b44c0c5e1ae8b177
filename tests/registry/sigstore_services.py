"""Fulcio, Rekor 1 and 2 on loopback, as their clients see them: a CA for tokens, and logs whose trees have one entry.

The logic of certificates and of logs is written after RFC 6962 and sigstore's client specification; nothing is verified.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.helpers.loopback import Handler, Server

ISSUER = "https://issuer.example.com"
_SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_START = "2024-01-01T00:00:00Z"


def token(email: str, **claims: object) -> str:
    """An unsigned token, which only a service could reject."""
    now = int(time.time())
    body = {"iss": ISSUER, "aud": "sigstore", "sub": email, "iat": now, "exp": now + 600, **claims}
    parts: tuple[dict, ...] = ({"alg": "RS256", "typ": "JWT"}, body, {})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_der(key)).digest()


def _sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


class Services:
    """A running CA and log, and the requests that they got."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.status = 200
        self._ca, self._ct, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._root = self._certificate(
            self._ca,
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]),
            [
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
            ],
        )
        services = self

        class Answers(Handler):
            def do_POST(self) -> None:
                services.requests.append(self.path)
                document = json.loads(self.body())
                if self.path == "/api/v2/signingCert":
                    made = services._issue(document, self.headers["Authorization"].split()[1])
                elif self.path == "/api/v2/log/entries":
                    made = services._enter_record(document)
                else:
                    made = services._enter(document)
                self.send(services.status, json.dumps(made).encode())

        server = Server(Answers).start()
        self.url, self.close = f"http://{server.host}", server.close

    def trusted_root(self) -> dict:
        def log(key: ec.EllipticCurvePrivateKey) -> dict:
            public = {"rawBytes": b64encode(_der(key)).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
            identifier = {"keyId": b64encode(_key_id(key)).decode()}
            public["validFor"] = {"start": _START}
            return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": identifier}

        root = b64encode(self._root.public_bytes(serialization.Encoding.DER)).decode()
        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": self.url,
            "certChain": {"certificates": [{"rawBytes": root}]},
            "validFor": {"start": _START},
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._log)],
            "ctlogs": [log(self._ct)],
            "certificateAuthorities": [authority],
        }

    def trust_config(self) -> dict:
        """Its first log is of Rekor 1, which identities use, because Rekor 2 would require timestamps for them."""
        service = {"url": self.url, "majorApiVersion": 1, "validFor": {"start": _START}, "operator": "test"}
        newer = {**service, "majorApiVersion": 2, "operator": "newer"}
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service],
                "rekorTlogUrls": [service, newer],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def _certificate(self, key, subject: x509.Name, extensions: list) -> x509.Certificate:
        now = datetime.now(timezone.utc) - timedelta(seconds=5)
        public = key.public_key() if hasattr(key, "public_key") else key
        builder = (
            x509.CertificateBuilder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]), subject, public)
            .serial_number(1 + len(self.requests))
            .not_valid_before(now)
            .not_valid_after(now + timedelta(minutes=10))
        )
        extensions = [
            *extensions,
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca.public_key()), False),
        ]
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        self._builder = builder
        return builder.sign(self._ca, hashes.SHA256())

    def _issue(self, document: dict, raw_token: str) -> dict:
        """A certificate with a timestamp of the log of certificates (RFC 6962, section 3.2)."""
        payload = raw_token.split(".")[1]
        email = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]
        request = x509.load_pem_x509_csr(b64decode(document["certificateSigningRequest"]))
        issuer = b"\x0c" + bytes([len(ISSUER)]) + ISSUER.encode()
        plain = self._certificate(
            request.public_key(),
            x509.Name([]),
            [
                (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
                (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), False),
                (x509.SubjectAlternativeName([x509.RFC822Name(email)]), True),
                (x509.UnrecognizedExtension(_ISSUER, issuer), False),
            ],
        )
        now = int(time.time() * 1000)
        tbs = plain.tbs_certificate_bytes
        entry = struct.pack(">BBQH", 0, 0, now, 1) + _key_id(self._ca) + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
        signature = _sign(self._ct, entry)
        one = struct.pack(">B32sQHBBH", 0, _key_id(self._ct), now, 0, 4, 3, len(signature)) + signature
        listed = struct.pack(">HH", len(one) + 2, len(one)) + one
        scts = x509.UnrecognizedExtension(
            _SCTS, b"\x04" + b"\x81" * (len(listed) > 127) + bytes([len(listed)]) + listed
        )
        leaf = self._builder.add_extension(scts, critical=False).sign(self._ca, hashes.SHA256())
        chain = [one.public_bytes(serialization.Encoding.PEM).decode() for one in (leaf, self._root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _enter(self, document: dict) -> dict:
        """An entry with a promise, a proof, and a checkpoint, which are the first of a new log."""
        if document["kind"] == "dsse":
            proposed = document["spec"]["proposedContent"]
            envelope = json.loads(proposed["envelope"])
            [verifier] = proposed["verifiers"]
            spec = {
                "envelopeHash": _sha256(proposed["envelope"].encode()),
                "payloadHash": _sha256(b64decode(envelope["payload"])),
                "signatures": [{"signature": one["sig"], "verifier": verifier} for one in envelope["signatures"]],
            }
            document = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}
        body = json.dumps(document).encode()
        signed = {
            "body": b64encode(body).decode(),
            "integratedTime": int(time.time()),
            "logID": _key_id(self._log).hex(),
            "logIndex": 0,
        }
        promise = _sign(self._log, json.dumps(signed, sort_keys=True, separators=(",", ":")).encode())
        root, checkpoint = self._checkpoint(body)
        proof = {"logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": [], "checkpoint": checkpoint}
        verification = {"signedEntryTimestamp": b64encode(promise).decode(), "inclusionProof": proof}
        return {"0": {**signed, "verification": verification}}

    def _enter_record(self, document: dict) -> dict:
        """An entry as Rekor 2 answers."""
        request = document["hashedRekordRequestV002"]
        data = {"algorithm": "SHA2_256", "digest": request["digest"]}
        spec = {"hashedRekordV002": {"data": data, "signature": request["signature"]}}
        body = json.dumps({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec}).encode()
        root, checkpoint = self._checkpoint(body)
        proof = {"logIndex": "0", "rootHash": b64encode(root).decode(), "treeSize": "1", "hashes": []}
        return {
            "logIndex": "0",
            "logId": {"keyId": b64encode(_key_id(self._log)).decode()},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "integratedTime": "0",
            "inclusionPromise": None,
            "inclusionProof": {**proof, "checkpoint": {"envelope": checkpoint}},
            "canonicalizedBody": b64encode(body).decode(),
        }

    def _checkpoint(self, body: bytes) -> tuple[bytes, str]:
        """The hash of a tree with one entry, and the signed note about it."""
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"test\n1\n{b64encode(root).decode()}\n"
        signature = b64encode(_key_id(self._log)[:4] + _sign(self._log, note.encode())).decode()
        return root, f"{note}\n\u2014 test {signature}\n"


def _sha256(content: bytes) -> dict:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}
