"""Provides names for annotations, without importing `typing`, which costs 11 million instructions at each start.

A type checker sees `typing` itself. Annotations are not evaluated here, so that at run time the names only have to be
there: for an alias, for the base of a protocol, for `cast`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO as IO
    from typing import Any as Any
    from typing import BinaryIO as BinaryIO
    from typing import Literal as Literal
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
    from typing import TextIO as TextIO
    from typing import TypeAlias as TypeAlias
    from typing import TypeVar as TypeVar
    from typing import cast as cast
else:

    class _Named(type):
        def __getitem__(cls, _):
            return cls

    class Any(metaclass=_Named):
        """Stands for `typing.Any` in annotations."""

    IO = BinaryIO = Literal = NoReturn = TextIO = TypeAlias = Any

    class Protocol:
        """Stands for `typing.Protocol`."""

    def TypeVar(name, *_, **__):
        """Return something to name a type by."""
        return name

    def cast(_, value):
        """Return the value."""
        return value
