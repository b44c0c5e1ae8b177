"""Describes the image of an imported service by the constructor's arguments and the calls on it.

BentoML keeps only the results of calls (`system_packages` becomes a line of shell). So the calls are recorded during
the import, and repeated: an image that they don't result in was changed in another way, and is rejected.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import os

from rules_bento.service.metadata import Image, ImageCall
from rules_bento.service.sdk_names import IMAGE_METHODS
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class UnfitImageError(Exception):
    """Reports an image that isn't the result of its constructor and calls."""


class Recorder:
    """Records the calls on each image from now on."""

    def __init__(self, image_class: Any, source: Path) -> None:
        self._class = image_class
        self._source = source
        self._calls: dict[int, list[tuple[Any, str, dict[str, Any]]]] = {}  # with the image, to keep its identity
        self._is_inside = False  # methods call each other, as pyproject_toml calls python_packages
        for name in ("__init__", *sorted(IMAGE_METHODS)):
            if hasattr(image_class, name):  # BentoML 1.4.30 lacks some of the methods
                self._wrap(name)

    def image(self, image: Any) -> Image:
        """Return the description of an image. Raises UnfitImageError if its calls don't result in it."""
        calls = [(name, values) for _, name, values in self._calls.get(id(image), [])]
        if not calls or self._repeated(copy.deepcopy(calls)) != self._fields(image):
            raise UnfitImageError("it is a copy, or was changed other than by its methods. Call its methods")
        arguments = {key: _plain(value) for key, value in calls[0][1].items()}
        return Image(arguments, tuple(ImageCall(name, tuple(map(str, _values(given)))) for name, given in calls[1:]))

    def _repeated(self, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """Repeat the constructor and the calls in the source directory, and return the fields of the image."""
        directory = os.getcwd()  # noqa: PTH109 - the same as chdir
        os.chdir(self._source)
        again = self._class(**calls[0][1])
        for name, values in calls[1:]:
            getattr(again, name)(*_values(values))
        os.chdir(directory)
        return self._fields(again)

    def _fields(self, image: Any) -> dict[str, Any]:
        return {field.name: getattr(image, field.name) for field in self._class.__attrs_attrs__}

    def _wrap(self, name: str) -> None:
        method = getattr(self._class, name)
        signature = inspect.signature(method)

        @functools.wraps(method)
        def recorded(image: Any, *args: Any, **kwargs: Any) -> Any:
            if self._is_inside:
                return method(image, *args, **kwargs)
            with contextlib.suppress(TypeError):  # of invalid arguments, which the method itself rejects
                bound = list(signature.bind(image, *args, **kwargs).arguments.items())[1:]
                values = {key: list(value) if isinstance(value, list) else value for key, value in bound}
                if name == "__init__":
                    self._calls[id(image)] = []
                self._calls.get(id(image), []).append((image, name, values))
            self._is_inside = True
            try:
                return method(image, *args, **kwargs)
            finally:
                self._is_inside = False

        setattr(self._class, name, recorded)


def _values(arguments: dict[str, Any]) -> list[Any]:
    return [item for value in arguments.values() for item in (value if isinstance(value, tuple) else (value,))]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return value if value is None or isinstance(value, bool) else str(value)
