"""Describes the image of an imported service by the constructor's arguments and the calls on it.

BentoML keeps of a call only what it makes of it (`system_packages` becomes a line of shell). So the calls are noted
while the service is imported, and held against what the image is in the end. An older BentoML, such as 1.4.30, lacks
some of the methods and fields.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.service.metadata import Image, ImageCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

_CALLS = (
    *("build_include", "pyproject_toml", "python_packages", "requirements_file"),
    *("run", "run_script", "system_packages", "uv_lock"),
)
_FIELDS = (
    *("base_image", "distro", "python_version", "commands", "lock_python_packages", "pack_git_packages"),
    *("python_requirements", "post_commands", "build_include_paths", "scripts", "_uv_lock"),
)
_NO_ARGUMENTS = ("commands", "scripts", "_uv_lock")
_LATER = ("build_include", "build_include_paths")  # all else has to be there: it may have got another name


class UnfitImageError(Exception):
    """Reports an image that no sequence of calls makes."""


@dataclass
class _Note:
    image: Any  # kept, so that no other one gets its identity
    arguments: dict[str, Any]
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)


class Recorder:
    """Records the calls on each image from now on."""

    def __init__(self, image_class: Any, source: Path) -> None:
        self._class = image_class
        self._source = source
        self._notes: dict[int, _Note] = {}
        self._depth = 0  # methods call each other, as pyproject_toml calls python_packages
        for name in ("__init__", *_CALLS):
            if name not in _LATER or hasattr(image_class, name):
                self._wrap(name)

    def image(self, image: Any) -> Image:
        """Return the facts of an image: its calls, or where these do not make it what it is, its fields.

        Raises UnfitImageError where neither can be said.
        """
        note = self._notes.get(id(image))
        if note is None or not self._is_made_by(note, image):
            return _of_fields(image)
        calls = tuple(ImageCall(name, tuple(map(str, values))) for name, values in note.calls)
        return Image({name: _plain(value) for name, value in note.arguments.items()}, calls)

    def _is_made_by(self, note: _Note, image: Any) -> bool:
        again = self._made_again(note)
        return all(getattr(again, name) == getattr(image, name) for name in _fields_of(image))

    def _made_again(self, note: _Note) -> Any:
        """Repeat the constructor and the calls, in the source folder, and return the image."""
        folder = os.getcwd()  # noqa: PTH109 - the same as chdir
        os.chdir(self._source)
        with self._inside():
            again = self._class(**note.arguments)
            for name, values in note.calls:
                getattr(again, name)(*values)
        os.chdir(folder)
        return again

    def _wrap(self, name: str) -> None:
        method: Callable[..., Any] = getattr(self._class, name)
        signature = inspect.signature(method)

        @functools.wraps(method)
        def noted(image: Any, *args: Any, **kwargs: Any) -> Any:
            if self._depth == 0:
                with contextlib.suppress(TypeError):  # of the wrong arguments, which the method itself refuses
                    self._note(image, name, signature.bind(image, *args, **kwargs).arguments)
            with self._inside():
                return method(image, *args, **kwargs)

        setattr(self._class, name, noted)

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _note(self, image: Any, name: str, bound: dict[str, Any]) -> None:
        arguments = {key: _copied(value) for key, value in list(bound.items())[1:]}
        if name == "__init__":
            self._notes[id(image)] = _Note(image, arguments)
        elif id(image) in self._notes:
            values = [
                item for value in arguments.values() for item in (value if isinstance(value, tuple) else (value,))
            ]
            self._notes[id(image)].calls.append((name, values))


def _of_fields(image: Any) -> Image:
    """Describe an image that was copied or modified, from its fields, by the constructor's arguments and calls."""
    from bentoml._internal.container.frontend.dockerfile import CONTAINER_METADATA

    commands = list(image.commands)
    if image.distro in CONTAINER_METADATA:  # the constructor puts a command of the distribution before all others
        first = CONTAINER_METADATA[image.distro]["default_install_command"]
        if commands[:1] != [first]:
            raise UnfitImageError("its first command was taken away by hand. Call the image's methods in its place")
        del commands[0]
    if image.scripts:
        raise UnfitImageError("it is a copy, or was changed by hand, and runs scripts. Call the image's methods alone")
    names = [name for name in _fields_of(image) if name not in _NO_ARGUMENTS]
    values = {"commands": commands} | {name: getattr(image, name) for name in names}
    return Image({name: _plain(value) for name, value in values.items()}, (ImageCall("uv_lock"),) * image._uv_lock)


def _fields_of(image: Any) -> list[str]:
    return [name for name in _FIELDS if name not in _LATER or hasattr(image, name)]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return value if value is None or isinstance(value, bool) else str(value)


def _copied(value: Any) -> Any:
    """Return what was given, whatever becomes of the list later."""
    return list(value) if isinstance(value, list) else value
