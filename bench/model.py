"""Measures a large model and a Bento that contains it, with the actions and with BentoML.

    python bench/model.py [--bentoml COMMAND] [--megabytes N] [--slow-megabytes N] [--directory DIRECTORY]

Prints one table of one run: the subcommands of the actions, in the interpreter that runs this program (blake3 and
PyYAML must be installed), BentoML, and `cp` as the limit of the disk. "cpu" is the user and system time in seconds of a
process and its children, MB/s are bytes of the model per elapsed second, and "peak" is the largest resident size. The
model is incompressible. BentoML needs minutes for a `.bento`, so this row uses `--slow-megabytes`. DIRECTORY needs
space for six times the model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from archive import PACKAGE, run

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAGS = ("-I", "-S", "-B", "-X", "utf8")
TIME = "1980-01-01T00:00:00+00:00"
PIECE = 1_000_000  # small, because the peak of a process includes the memory of its parent
FORMS = {"tar": ".tar", "gz": ".tar.gz", "zip": ".zip", "folder": ".folder"}


class Bench:
    """Measures commands in a directory with a model, and prints the table."""

    def __init__(self, directory: Path, megabytes: int, bentoml: str | None) -> None:
        """Write the only file of the model."""
        self.directory = directory
        self.megabytes = megabytes
        self.bentoml = bentoml
        with (directory / "weights.bin").open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(PIECE))

    def measure(self, name: str, command: Sequence[str | Path]) -> None:
        """Run a command, and print its row."""
        os.sync()  # exclude earlier writes from the measurement
        variables = {"BENTOML_HOME": str(self.directory / "home"), "BENTOML_DO_NOT_TRACK": "true"}
        used = run(command, **variables)
        speed = self.megabytes / used.wall
        print(
            f"| {name} | {self.megabytes} | {used.wall:.1f} | {used.cpu:.1f} | {speed:.0f} | {used.peak:.0f} |",
            flush=True,
        )

    def ours(self, name: str, subcommand: str, words: Sequence[str | Path]) -> None:
        """Measure a subcommand of the helper."""
        arguments = self.directory / "arguments"
        arguments.write_text("".join(f"{word}\n" for word in words))
        packages: list[str | Path] = []
        for module in ("blake3", "yaml"):
            found = find_spec(module)
            if not found or not found.origin:
                raise SystemExit(f"Install {module} for this interpreter.")
            packages += ["--packages", Path(found.origin).parents[1]]
        self.measure(name, [sys.executable, *FLAGS, PACKAGE / "main.py", *packages, subcommand, f"@{arguments}"])

    def actions(self) -> None:
        """Measure BentoModel, BentoArchive, and BentoExport in each format. Keeps the `.bento`."""
        at = self.directory
        words = ["--target", "//svc:model", "--tag", "weights:v1", "--module", "", "--package", ""]
        words += ["--strip-prefix", "", "--creation-time", TIME]
        words += ["--source", str(at / "weights.bin"), "weights.bin", "//x"]
        outputs = {name: at / f"model.{name}" for name in ("part", "description", "manifest")}
        self.ours("`BentoModel`", "model", [*words, *(w for n, path in outputs.items() for w in (f"--{n}", str(path)))])
        self._metadata(at / "metadata.part", json.loads(outputs["description"].read_text()))
        parts: list[str | Path] = ["--part", at / "metadata.part", "--model", outputs["description"], outputs["part"]]
        self.ours("`BentoArchive`", "archive", [*parts, "--output", at / "ours.bento"])
        for form, suffix in FORMS.items():
            output = at / f"ours{suffix}"
            self.ours(f"`BentoExport`, {suffix[1:]}", "archive", [*parts, "--form", form, "--output", output])
            shutil.rmtree(output) if output.is_dir() else output.unlink()
        outputs["part"].unlink()

    def _metadata(self, part: Path, model: dict[str, str]) -> None:
        sys.path.insert(0, str(PACKAGE))
        from rules_bento.base.archives.archive import write_part
        from rules_bento.base.archives.tarstream import Member

        write_part(part, [Member.inline("bento.yaml", bento_yaml(model).encode())])

    def peer(self, *suffixes: str) -> None:
        """Measure BentoML's exports of the same Bento, and its imports of the last export and of the rules' archive."""
        if not self.bentoml:
            return
        archives = [self.directory / "ours.bento"] if (self.directory / "ours.bento").exists() else []
        for archive in archives:
            self.measure("`bentoml import` of our .bento", [self.bentoml, "import", archive])
            archive.unlink()
        if not archives:
            self._store()
        for suffix in suffixes:
            output = self.directory / f"theirs{suffix}"
            self.measure(f"`bentoml export` to {suffix}", [self.bentoml, "export", "big:v1", output])
            shutil.rmtree(self.directory / "home")
            self.measure(f"`bentoml import` of its {suffix}", [self.bentoml, "import", output])
            output.unlink()

    def _store(self) -> None:
        """Write the Bento and its model to the directories of a BentoML store."""
        model = self.directory / "home/models/weights/v1"
        bento = self.directory / "home/bentos/big/v1"
        for directory in (model, bento):
            directory.mkdir(parents=True)
        (self.directory / "weights.bin").replace(model / "weights.bin")
        (model.parent / "latest").write_text("v1")
        (model / "model.yaml").write_text(
            "name: weights\nversion: v1\nmodule: ''\nlabels: {}\noptions: {}\nmetadata: {}\nsignatures: {}\n"
            f"context: {{framework_name: '', framework_versions: {{}}}}\napi_version: v1\ncreation_time: '{TIME}'\n"
        )
        (bento / "bento.yaml").write_text(bento_yaml({"tag": "weights:v1", "module": "", "creation_time": TIME}))


def bento_yaml(model: dict[str, str]) -> str:
    """Return the smallest bento.yaml with a model that BentoML imports."""
    entry = {key: model[key] for key in ("tag", "module", "creation_time")}
    return (
        f"service: service:Hi\nname: big\nversion: v1\nbentoml_version: 1.4.40\nspec: 2\ncreation_time: '{TIME}'\n"
        f"services: [{{name: Hi, service: ''}}]\nmodels: [{json.dumps(entry)}]\n"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bentoml", default=os.environ.get("RULES_BENTO_BENTOML") or shutil.which("bentoml"))
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--slow-megabytes", type=int, default=50)
    parser.add_argument("--directory", type=Path, help="Write to this directory (default: temporary)")
    options = parser.parse_args()
    print("| | MB | seconds | cpu | MB/s | peak, MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        bench = Bench(Path(name), options.megabytes, options.bentoml)
        copy = Path(name, "copy")
        bench.measure("`cp`", ["cp", Path(name, "weights.bin"), copy])
        copy.unlink()
        bench.actions()
        bench.peer(".tar")
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        Bench(Path(name), options.slow_megabytes, options.bentoml).peer(".bento")


if __name__ == "__main__":
    main()
