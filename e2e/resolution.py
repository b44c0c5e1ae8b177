"""Uses a release from a registry on a server: its archive is complete, and MODULE.bazel resolves without overrides."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from enter import provisioned_root

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

# The path of the provisioned root in the launcher of tools/bazel.
SEEN_AS = Path("/")
SYSTEM_RC = "etc/bazel/bazelrc"
CONSUMER = "e2e/smoke"
OVERRIDE = """\
local_path_override(
    module_name = "rules_bento",
    path = "../..",
)
"""
# The directories that a user's build can load.
PUBLIC = "@rules_bento//rules/... + @rules_bento//toolchains/... + @rules_bento//py/... + @rules_bento//tools/..."
NOBODY = ("-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "-c", "commit.gpgSign=false")


class _Files(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def modules_resolve_with_a_registry(bench: Workbench) -> str:
    """Resolve with a registry on a local server, with real names and versions and Debian's sources.

    Bazel's own modules remain overridden, because Debian has no registry for them.
    """
    checkout = bench.checkout("resolution")
    root = provisioned_root(checkout.root)
    needed = dependencies(checkout.read("MODULE.bazel"))
    assert needed, "MODULE.bazel has no dependencies"
    overrides, others = split_overrides((root / SYSTEM_RC).read_text("utf-8"), needed)
    registry = bench.directory / "registry"
    for name, directory in overrides.items():
        add_module(registry, root, name, needed[name], directory)
    registry.mkdir(exist_ok=True)
    handler = partial(_Files, directory=str(registry))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    release(checkout, registry, address)
    checkout.edit(f"{CONSUMER}/MODULE.bazel", OVERRIDE, "")
    rc = checkout.root.parent / "bazelrc"
    rc.write_text(others + f"common --registry={address}\n", "utf-8")
    startup = ("--nosystem_rc", f"--bazelrc={rc}")
    ask = partial(checkout.bazel, "mod", "graph", "--output=json", startup=startup)
    needed["rules_bento"] = version_of(checkout)
    found: set[str] = set()
    for workspace in (".", CONSUMER):
        # Modules of Bazel and Debian require older versions of these modules, which the resolution also reads.
        while lacks := re.search(r"module (\S+)@(\S+) not found in registries", ask(workspace=workspace).errors):
            assert lacks[1] in overrides, lacks[0]
            add_module(registry, root, lacks[1], lacks[2], overrides[lacks[1]])
        graph = json.loads(ask(workspace=workspace).succeeded().output)
        found |= {module["key"] for module in graph["dependencies"]}
    wanted = {f"{name}@{version}" for name, version in needed.items()}
    assert wanted <= found, f"{sorted(wanted - found)} are not among {sorted(found)}"
    checkout.bazel("query", f"deps({PUBLIC}, 1)", workspace=CONSUMER, startup=startup).succeeded()
    tested = checkout.bazel("test", "//...", workspace=CONSUMER, startup=startup).succeeded()
    assert "BentoPackage" in tested.ran, tested.told()
    # No target requires an interpreter of this version from rules_python.
    checkout.edit(
        f"{CONSUMER}/MODULE.bazel",
        'bento_tools.python(interpreter = "python3")',
        'bento_tools.python(version = "3.13")',
    )
    failed = checkout.bazel("build", "//...", workspace=CONSUMER, startup=startup)
    for line in (
        f'bazel_dep(name = "rules_python", version = "{needed["rules_python"]}")',
        'python.toolchain(python_version = "3.13")',
    ):
        assert line in failed.errors, failed.told()
    rc.write_text(others + f"common --registry=file://{bench.directory}/empty\n", "utf-8")
    failed = ask(workspace=CONSUMER)
    assert failed.code != 0, "the build didn't use the registry"
    return f"{', '.join(sorted(wanted))} resolve, and a Bento is built and imported with them"


def version_of(checkout: Checkout) -> str:
    return re.search(r'^    version = "([^"]+)"', checkout.read("MODULE.bazel"), re.MULTILINE)[1]


def release(checkout: Checkout, registry: Path, address: str) -> None:
    """Add the archive of the checkout to the registry at `address`, as tools/release.py writes it for a commit."""
    for words in (["init", "--quiet"], ["add", "--all"], [*NOBODY, "commit", "--quiet", "--message=release"]):
        subprocess.run(["git", *words], cwd=checkout.root, check=True)
    command = [sys.executable, "tools/release.py", str(registry)]
    made = subprocess.run(command, cwd=checkout.root, check=True, capture_output=True, text=True)
    source = registry / "modules/rules_bento" / version_of(checkout) / "source.json"
    entry = json.loads(source.read_text("utf-8"))
    assert entry["url"].endswith(f"/{Path(made.stdout.strip()).name}"), entry
    source.write_text(json.dumps(entry | {"url": f"{address}/{Path(made.stdout.strip()).name}"}), "utf-8")


def dependencies(module: str) -> dict[str, str]:
    """Return the name and version of each bazel_dep."""
    return dict(re.findall(r'^bazel_dep\(name = "([^"]+)", version = "([^"]+)"', module, re.MULTILINE))


def split_overrides(rc: str, needed: dict[str, str]) -> tuple[dict[str, Path], str]:
    """Return the directories of the required modules, and the remaining lines of Debian's bazelrc."""
    ours: dict[str, Path] = {}
    others = []
    for line in rc.splitlines():
        found = re.fullmatch(r"common --override_module=([^=]+)=(.+)", line)
        if found and found[1] in needed:
            ours[found[1]] = Path(found[2])
        else:
            others.append(line)
    assert ours.keys() == needed.keys(), f"Debian carries {sorted(ours)} of {sorted(needed)}"
    return ours, "".join(f"{line}\n" for line in others)


def add_module(registry: Path, root: Path, name: str, version: str, directory: Path) -> None:
    """Add a module version to the registry, with the files in a directory of the root."""
    text = (root / directory.relative_to(SEEN_AS) / "MODULE.bazel").read_text("utf-8")
    place = registry / "modules" / name / version
    place.mkdir(parents=True)
    (registry / "bazel_registry.json").write_text("{}")
    (place / "MODULE.bazel").write_text(re.sub(r'version = "[^"]*"', f'version = "{version}"', text, count=1))
    (place / "source.json").write_text(json.dumps({"type": "local_path", "path": str(directory)}))
