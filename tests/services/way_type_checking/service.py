# service: service:Svc
from __future__ import annotations

import typing as t
from typing import TYPE_CHECKING

import bentoml
from real import Other

if TYPE_CHECKING:
    from types_only import Other
if t.TYPE_CHECKING:
    NAME = 'wrong'
else:
    NAME = 'right'


@bentoml.service(name=NAME)
class Svc:
    other = bentoml.depends(Other)
