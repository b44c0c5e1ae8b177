"""Runs sigstore's services on the loopback interface: Fulcio, Rekor, a timestamp authority, and their requirements.

Fulcio requires a log of certificates, which is TesseraCT, and an OIDC issuer, which is a stand-in. Go builds the other
programs from the module proxy. `PYTHONPATH=. python3 e2e/sigstore_server.py` only fills Go's caches.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from server import SECONDS, Server, free_port

from tests.helpers import loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = (
    "github.com/sigstore/fulcio@v1.8.8",
    "github.com/sigstore/rekor-tiles/v2@v2.3.0",
    "github.com/sigstore/timestamp-authority@v1.2.9",
    "github.com/transparency-dev/tesseract@v0.1.1",
)
PROGRAMS = {
    "fulcio": "github.com/sigstore/fulcio",
    "rekor": "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
    "tesseract": "github.com/transparency-dev/tesseract/cmd/tesseract/posix",
    "timestamps": "github.com/sigstore/timestamp-authority/cmd/timestamp-server",
}
JOB = "job@ci.example.com"
START = "2024-01-01T00:00:00Z"


def build_programs(directory: Path) -> None:
    """Build the programs with Go, with versions of their dependencies that MODULES determine."""
    directory.mkdir()
    settings = {"GOFLAGS": "-mod=mod -trimpath", "GOTOOLCHAIN": "local", "GOWORK": "off"}

    def go(*arguments: str) -> None:
        command = ["go", *arguments]
        done = subprocess.run(
            command, cwd=directory, env=os.environ | settings, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"

    go("mod", "init", "sigstore")
    go("get", *MODULES)
    for name, package in PROGRAMS.items():
        go("build", "-ldflags=-s -w", "-o", name, package)


class Service(Server):
    """Runs one of the programs."""

    def __init__(self, directory: Path, program: str, arguments: list[str], port: int = 0) -> None:
        """`{port}` and `{free}` in the arguments are replaced by the port of the service and an unused port."""
        super().__init__(directory)
        self.port = port or self.port
        self._command = [program, *arguments]

    def command(self) -> list[str]:
        """Return the command with ports."""
        return [word.format(port=self.port, free=free_port()) for word in self._command]

    @property
    def url(self) -> str:
        """The address of the service."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        """Return the body of an answer."""
        with urllib.request.urlopen(self.url + path, timeout=SECONDS) as answer:
            content: bytes = answer.read()
        return content


class Issuer:
    """Issues OIDC tokens, and serves the public key."""

    def __init__(self, directory: Path) -> None:
        """Create a key in the directory."""
        self._key = directory / "issuer.pem"
        openssl("genrsa", "-out", self._key, "2048")
        modulus = openssl("rsa", "-in", self._key, "-noout", "-modulus").strip().partition(b"=")[2]
        key = {"kty": "RSA", "kid": "e2e", "use": "sig", "alg": "RS256", "e": "AQAB"}
        key["n"] = base64url(bytes.fromhex(modulus.decode()))
        issuer = self

        class Answers(loopback.Handler):
            def do_GET(self) -> None:
                answer: dict[str, Any] = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
                answer["id_token_signing_alg_values_supported"] = ["RS256"]
                if self.path == "/keys":
                    answer = {"keys": [key]}
                elif self.path.startswith("/job?"):
                    is_job = self.path == "/job?audience=sigstore" and self.headers["Authorization"] == "bearer job"
                    answer = {"value": issuer.token(JOB)} if is_job else {}
                self.send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        self._server = loopback.Server(Answers)
        self.url = f"http://{self._server.host}"

    def __enter__(self) -> Issuer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def job(self) -> dict[str, str]:
        """Return the variables of a job on GitHub, which requests the token of JOB with them."""
        address = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/job", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job"}
        return {"GITHUB_ACTIONS": "true", **address}

    def token(self, email: str) -> str:
        """Return a token of an email address that is valid for hours."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": "sigstore", "sub": email, "email": email, "email_verified": True}
        header = {"alg": "RS256", "kid": "e2e", "typ": "JWT"}
        parts = [header, claims | {"iat": now, "exp": now + 20_000}]
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{base64url(openssl('dgst', '-sha256', '-sign', self._key, content=signed.encode()))}"


class Sigstore(NamedTuple):
    """Describes running services."""

    issuer: Issuer
    trusted_root: Path
    signing_config: Path
    trust_config: Path  # both as one document, which sigstore's Python library reads


@contextmanager
def serve(programs: Path, cosign: Path, directory: Path) -> Iterator[Sigstore]:
    """Yield services, which run until the block ends, with documents about them by cosign."""
    directory.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", directory / "fulcio.pem")
    extensions = ("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-days", "1", "-subj", "/O=e2e/CN=e2e")
    openssl("req", "-x509", *key, "-passout", "pass:secret", *extensions, "-out", directory / "fulcio.crt")
    for name in ("rekor", "tesseract"):
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", directory / f"{name}.sec1")
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", directory / f"{name}.sec1", "-out", directory / f"{name}.pem")
        openssl("ec", "-in", directory / f"{name}.pem", "-pubout", "-out", directory / f"{name}.pub")
    with ExitStack() as running:

        def run(name: str, *arguments: str, port: int = 0) -> Service:
            made = Service(directory / name, str(programs / name), list(arguments), port)
            running.enter_context(made)
            return made

        issuer = running.enter_context(Issuer(directory))
        issuers = {issuer.url: {"IssuerURL": issuer.url, "ClientID": "sigstore", "Type": "email"}}
        (directory / "fulcio.json").write_text(json.dumps({"OIDCIssuers": issuers}))
        certificates = f"http://127.0.0.1:{free_port()}"
        fulcio = run(
            "fulcio",
            *("serve", "--host=127.0.0.1", "--port={port}", "--grpc-host=127.0.0.1", "--grpc-port={free}"),
            *("--metrics-port={free}", "--legacy-unix-domain-socket=@fulcio-{port}", "--ca=fileca"),
            *(f"--fileca-cert={directory}/fulcio.crt", f"--fileca-key={directory}/fulcio.pem"),
            "--fileca-key-passwd=secret",
            *(f"--config-path={directory}/fulcio.json", f"--ct-log-url={certificates}"),
            f"--ct-log-public-key-path={directory}/tesseract.pub",
        )
        run(
            "tesseract",
            *["--http_endpoint=127.0.0.1:{port}", "--origin=127.0.0.1", "--ext_key_usages=CodeSigning"],
            *(f"--private_key={directory}/tesseract.sec1", f"--roots_pem_file={directory}/fulcio.crt"),
            f"--storage_dir={directory}/certificates",
            port=int(certificates.rpartition(":")[2]),
        )
        rekor = run(
            "rekor",
            *("serve", "--http-port={port}", "--grpc-port={free}", "--http-metrics-port={free}"),
            *("--hostname=127.0.0.1", "--checkpoint-interval=1s", f"--signer-filepath={directory}/rekor.pem"),
            f"--storage-dir={directory}/entries",
        )
        stamps = run("timestamps", "serve", "--host=127.0.0.1", "--port={port}", "--disable-ntp-monitoring")
        (directory / "timestamps.crt").write_bytes(stamps.get("/api/v1/timestamp/certchain"))
        timestamps = f"{stamps.url}/api/v1/timestamp"
        made = Sigstore(issuer, *(directory / f"{name}.json" for name in ("root", "signing", "trust")))
        start = f"start-time={START}"
        create(
            cosign,
            "trusted-root",
            made.trusted_root,
            f"--fulcio=url={fulcio.url},certificate-chain={directory}/fulcio.crt",
            f"--ctfe=url={certificates},public-key={directory}/tesseract.pub,{start}",
            f"--rekor=url={rekor.url},public-key={directory}/rekor.pub,{start},origin=127.0.0.1",
            f"--tsa=url={timestamps},certificate-chain={directory}/timestamps.crt",
        )
        service = f"{start},operator=e2e"
        create(
            cosign,
            "signing-config",
            made.signing_config,
            f"--fulcio=url={fulcio.url},api-version=1,{service}",
            f"--rekor=url={rekor.url},api-version=2,{service}",
            "--rekor-config=ANY",
            f"--tsa=url={timestamps},api-version=1,{service}",
            "--tsa-config=ANY",
        )
        config = {"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"}
        config["trustedRoot"] = json.loads(made.trusted_root.read_text())
        config["signingConfig"] = json.loads(made.signing_config.read_text())
        made.trust_config.write_text(json.dumps(config))
        yield made


def create(cosign: Path, kind: str, path: Path, *services: str) -> None:
    """Write a document with cosign."""
    subprocess.run([cosign, kind, "create", f"--out={path}", *services], check=True, capture_output=True)


def openssl(*arguments: object, content: bytes = b"") -> bytes:
    """Return the output of a command of openssl."""
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, input=content).stdout


def base64url(content: bytes) -> str:
    """Encode as JSON Web Tokens do."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        build_programs(Path(scratch) / "programs")
