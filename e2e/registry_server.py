"""Runs a real registry: Debian's docker-registry."""

from __future__ import annotations

from server import Server, unpacked_package

SETTINGS = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {directory}/kept}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class RegistryServer(Server):
    """Runs the registry, which stores pushed data in its directory."""

    def command(self) -> list[str]:
        """Unpack the registry, and write its settings."""
        files = unpacked_package("docker-registry", self.directory.parent)
        settings = self.directory / "config.yml"
        settings.write_text(SETTINGS.format(directory=self.directory, port=self.port))
        return [f"{files}/usr/bin/docker-registry", "serve", str(settings)]

    def blobs(self) -> dict[str, int]:
        """Return the sizes of the stored blobs, by digest."""
        stored = (self.directory / "kept/docker/registry/v2/blobs/sha256").glob("*/*/data")
        return {path.parent.name: path.stat().st_size for path in stored}

    def repositories(self) -> list[str]:
        """Return the names of the repositories that have tags, unless a name contains a slash."""
        stored = (self.directory / "kept/docker/registry/v2/repositories").glob("*/_manifests/tags/*")
        return sorted({path.parts[-4] for path in stored})
