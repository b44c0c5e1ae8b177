"""The project of a Bento: its directory, its build options, its files, and where its locks are."""

from __future__ import annotations

from functools import cached_property

from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable
from rules_bento.bentos import service as services
from rules_bento.bentos.build_options import bentofile as bentofiles
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.sources import snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.sources.snapshot import DeclaredFile

REQUIREMENTS_LOCK = "requirements.lock.txt"


class BentoProject:
    """The project in a directory, with options, some of which can be from the file `bentofile`."""

    def __init__(self, directory: Path, options: BuildOptions, bentofile: Path | None = None) -> None:
        """Select the files. Raises BentoError for invalid paths or patterns."""
        self.directory, self.options, self.bentofile = directory, options, bentofile
        self.read_contents: dict[str, bytes] = {}  # of source files, by path
        self.select_files()

    def select_files(self) -> None:
        """List the files of the directory, and select those that the options include in the Bento."""
        options = self.options
        self.declared = list(snapshot.walk(str(self.directory)))
        include = options.include if options.include is not None else ("*",)
        src_layout = bool(options.python.is_src_layout)
        self.selection = snapshot.select(self.declared, include, options.exclude or (), src_layout=src_layout)

    @cached_property
    def files(self) -> ProjectFiles:
        """A reader for the files. Reading a symbolic link to a file outside of the directory raises BentoError."""
        by_path = {file.path: file for file in self.declared}
        return ProjectFiles(
            {path: file.source for path, file in by_path.items()},
            lambda path: snapshot.check_inside(by_path[path], str(self.directory)),
            "Create the file, or check `include` and `exclude`.",
        )

    def source_tree(self, kept: Iterable[DeclaredFile]) -> services.SourceTree:
        """Return the files, with links inside the Bento. Reading a file adds its content to `read_contents`."""
        sources, seen = snapshot.readable(kept), self.read_contents
        return services.SourceTree(sources, lambda path: seen.setdefault(path, snapshot.content(sources[path])))

    @property
    def lock_directory(self) -> Path:
        """The directory of the bentofile, which has the locks except for the uv.lock of a workspace."""
        return self.bentofile.parent if self.bentofile else self.directory

    @property
    def lock_name(self) -> str:
        """The name of the lock that a build writes. Each bentofile in a directory has another one."""
        is_default = self.bentofile is None or self.bentofile.name in bentofiles.NAMES
        return REQUIREMENTS_LOCK if is_default or not self.bentofile else f"{self.bentofile.stem}.{REQUIREMENTS_LOCK}"

    @property
    def declares_requirements(self) -> bool:
        """Whether the [project] table in pyproject.toml declares the requirements."""
        is_pyproject = self.bentofile is not None and self.bentofile.suffix == ".toml"
        return is_pyproject and not self.options.python.requirements_txt
