"""Provides names for annotations without importing `typing`, because the import slows down each startup.

Type checkers use `typing` and `collections.abc`. Annotations aren't evaluated, so only aliases, base classes of
protocols, and `cast` require the names at run time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable as Callable
    from collections.abc import Collection as Collection
    from collections.abc import Container as Container
    from collections.abc import Generator as Generator
    from collections.abc import Hashable as Hashable
    from collections.abc import Iterable as Iterable
    from collections.abc import Iterator as Iterator
    from collections.abc import Mapping as Mapping
    from collections.abc import MutableMapping as MutableMapping
    from collections.abc import Sequence as Sequence
    from typing import IO as IO
    from typing import Any as Any
    from typing import BinaryIO as BinaryIO
    from typing import Literal as Literal
    from typing import NewType as NewType
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
    from typing import TextIO as TextIO
    from typing import TypeAlias as TypeAlias
    from typing import TypeVar as TypeVar
    from typing import cast as cast
else:

    class _Placeholder(type):
        def __getitem__(cls, _):
            return cls

    class Any(metaclass=_Placeholder):
        """Replacement for `typing.Any` in annotations."""

    IO = BinaryIO = Literal = NoReturn = TextIO = TypeAlias = Any
    Callable = Collection = Container = Generator = Hashable = Iterable = Any
    Iterator = Mapping = MutableMapping = Sequence = Any

    class Protocol:
        """Replacement for `typing.Protocol` as a base class."""

    def TypeVar(name, *_, **__):
        """Return a placeholder for `typing.TypeVar`."""
        return name

    def cast(_, value):
        """Return `value` unchanged, like `typing.cast`."""
        return value

    NewType = cast  # without a name at run time
