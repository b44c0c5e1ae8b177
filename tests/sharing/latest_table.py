"""Cells of the table `latest_table.json`: which version is the latest after an act of the real BentoML.

A cell is `DOOR STATE TIME`: the act, whether the store has the version that the act names (`known`, or `latest` if it is
the latest version), and its creation time compared with that of the other version. The answer is `named`, `other`, or
`refused`. `test_latest_table.py` runs BentoML, and writes the answers to `latest_table.new.json` if they differ. Answers
of `pull` were recorded with BentoML 1.4.39 and a server of BentoCloud's protocol.
"""

from __future__ import annotations

from pathlib import Path

from bento_cli.library import Store

from tests.helpers.store_support import DAY_1, DAY_2, DAY_3, bento_files, model_files, write_archive

TIMES = {"older": DAY_1, "equal": DAY_2, "newer": DAY_3}
STATES = ("new", "known", "latest")
EPOCHS = {"older": "1767225600", "equal": "1767312000", "newer": "1767398400"}  # the same times
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Hi:\n    @bentoml.api\n    def f(self, x: str) -> str:\n        return x\n"
DOORS = {
    "import": "import {archive}",
    "models import": "models import {model_archive}",
    "import of a model in a Bento": "import {outer_archive}",
}
CELLS = [f"{door} {state} {time}" for door in ("build", *DOORS) for state in STATES for time in TIMES]
MORE = ["build new in-the-past", "import new without-a-pointer", "import new with-a-wrong-pointer"]


class Sources:
    """The Bentos and models that acts name: a store, and their archives."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "sources", durable=False)
        self.words: dict[str, dict[str, str]] = {}
        for time, created in TIMES.items():
            model = {f"m-{time}:y": model_files(f"m-{time}:y", created, b"w")}
            outer = f"outer-{time}:v1"
            archives = {
                "archive": (self.store.bentos, f"hi-{time}:y", bento_files(f"hi-{time}:y", created)),
                "outer_archive": (self.store.bentos, outer, bento_files(outer, DAY_1, model)),
            }
            words = {"bento": f"hi-{time}:y", "model": f"m-{time}:y", "outer": outer}
            for name, (section, tag, files) in archives.items():
                path = write_archive(directory / f"{tag.replace(':', '-')}.bento", files)
                section.import_archive(path)
                words[name] = str(path)
            words["model_archive"] = str(
                self.store.models.export(words["model"], directory / f"m-{time}.bentomodel").path
            )
            self.words[time] = words


def prepare(home: Path, cell: str) -> tuple[str, Path]:
    """Write the store before the act of a cell. Returns the words of the act, without a build, and the latest pointer."""
    door, state, time = cell.rsplit(" ", 2)
    created = TIMES.get(time, DAY_1)
    name = f"hi-{time if time in TIMES else 'older'}"
    is_model = "model" in door
    name = name.replace("hi", "m") if is_model else "hi" if door == "build" else name
    directory = home / ("models" if is_model else "bentos") / name
    other = "2040-01-01T00:00:00+00:00" if time == "in-the-past" else DAY_2
    versions = {"x": other} if state == "new" or door == "build" else {"x": other, "y": created}
    for version, moment in versions.items():
        tag = f"{name}:{version}"
        for path, data in (model_files(tag, moment, b"w") if is_model else bento_files(tag, moment)).items():
            (directory / version / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / version / path).write_bytes(data)
    for each in ("bentos", "models"):
        (home / each).mkdir(exist_ok=True)
    if time != "without-a-pointer":
        (directory / "latest").write_text(
            "gone" if "wrong" in time else "y" if "y" in versions and state == "latest" else "x"
        )
    return DOORS.get(door, ""), directory / "latest"
