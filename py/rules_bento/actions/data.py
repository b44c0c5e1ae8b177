"""Packs the files of `data`, apart from the sources: who changes a line of these packs no data again."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.actions import secrets_search
from rules_bento.archives.archive import write_part
from rules_bento.archives.tarstream import Member
from rules_bento.dataclasses_lite import dataclass
from rules_bento.packages.requirements import WHEELS
from rules_bento.sources import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_bento.arguments import Arguments
    from rules_bento.build_options.options import BuildOptions
    from rules_bento.sources.manifest import Manifest
    from rules_bento.sources.snapshot import DeclaredFile, Selection

# Flags of every verb that selects among declared files.
SELECTION = {
    "--bentofile": 2,  # path, name in messages
    "--build-ctx": 1,
    "--data": 3,  # path to read, Bazel short path, label
    "--dependency": 3,  # path to read, Bazel short path, label
    "--exclude": 1,
    "--import-root": 1,
    "--include": 1,
    "--options": 1,  # JSON in the form of a bentofile: those that name files
    "--service": 1,
    "--source": 3,  # path to read, Bazel short path, label
    "--target": 1,
    "--vendored": 3,  # a wheel that the Bento carries: path to read, Bazel short path, label
}
FLAGS = SELECTION | secrets_search.FLAGS | {"--manifest": 1, "--part": 1}

# Installed packages that a py_library brings along: they are requirements, never sources.
_INSTALLED = "/site-packages/"


@dataclass(frozen=True)
class Plan:
    """Holds what decides which sources a Bento has.

    Options are read, and their modules imported, only where there are some.
    """

    service: str | None
    include: list[str]
    exclude: list[str]
    src_exists: bool = False
    options: BuildOptions | None = None

    @property
    def src_layout(self) -> bool:
        """Return whether a leading `src/` is left out of paths."""
        return self.options is not None and bool(self.options.python.is_src_layout)


def run(arguments: Arguments) -> None:
    """Write manifest and part."""
    kept = kept_data(arguments)
    manifest = snapshot.digest(kept)
    secrets_search.refuse_secrets_of(arguments, kept)
    write_part(Path(arguments.required("--part")), members(kept, manifest))
    Path(arguments.required("--manifest")).write_text(manifest.to_json(), "utf-8")


def kept_data(arguments: Arguments) -> list[DeclaredFile]:
    """Return the files of `data` that the Bento keeps."""
    declared = declared_files(arguments)
    data = {source for source, _, _ in arguments.tuples("--data")}
    return [file for file in select(declared, read_plan(arguments, declared)).kept if file.source in data]


def declared_files(arguments: Arguments) -> list[DeclaredFile]:
    """Return the files that a target declares, each with its path in the Bento."""
    build_ctx = arguments.required("--build-ctx")
    roots = arguments.repeated("--import-root")
    declared = []
    for flag, attribute in (("--source", "srcs"), ("--data", "data"), ("--dependency", snapshot.DEPENDENCIES)):
        for source, short_path, label in arguments.tuples(flag):
            if _INSTALLED in short_path:
                continue
            place = snapshot.place(
                short_path, build_ctx=build_ctx, import_roots=roots, attribute=attribute, label=label
            )
            declared.append(snapshot.DeclaredFile(place.path, source, f"{attribute} {label}", filtered=place.filtered))
    return declared + [
        snapshot.DeclaredFile(
            f"{WHEELS}/{short_path.rpartition('/')[2]}", source, f"requirements {label}", filtered=False
        )
        for source, short_path, label in arguments.tuples("--vendored")
    ]


def read_plan(arguments: Arguments, declared: Sequence[DeclaredFile]) -> Plan:
    """Read the target's attributes, and take from the bentofile what they do not set."""
    service = arguments.required("--service") if arguments.has("--service") else None
    include, exclude = arguments.repeated("--include"), arguments.repeated("--exclude")
    if not arguments.has("--options") and not arguments.has("--bentofile"):
        return Plan(service, include or ["*"], exclude)
    from rules_bento.build_options.target_options import read

    attributes = json.loads(arguments.optional("--options", "{}"))
    own = {"service": service, "include": include or None, "exclude": exclude or None}
    attributes |= {key: value for key, value in own.items() if value is not None}
    src_exists = any(file.filtered and file.path.startswith("src/") for file in declared)
    options = read(attributes, arguments.tuples("--bentofile"), src_exists=src_exists)
    kept = ["*"] if options.include is None else list(options.include)
    return Plan(options.service, kept, list(options.exclude or ()), src_exists, options)


def select(declared: Sequence[DeclaredFile], plan: Plan) -> Selection:
    """Apply the plan. Raises as `snapshot.select`."""
    return snapshot.select(declared, plan.include, plan.exclude, src_layout=plan.src_layout)


def members(kept: Iterable[DeclaredFile], manifest: Manifest) -> list[Member]:
    """Return the files as members of an archive."""
    entries = {entry.path: entry for entry in manifest.entries}
    return [
        Member.symlink(f"src/{file.path}", file.link)
        if file.link is not None
        else Member.file(f"src/{file.path}", file.source, size=entries[file.path].size, mode=entries[file.path].mode)
        for file in kept
    ]
