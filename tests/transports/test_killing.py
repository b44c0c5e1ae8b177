"""A few of the random ends of `killing.py`; docs/distribution.md has what many of them gave."""

from __future__ import annotations

import pytest
from killing import run
from support import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_and_nothing_is_partial(kind, monkeypatch):
    points = {"cut_import": 2, "cut_export": 2, "kill_import": 2, "kill_export": 2}
    found = run(kind, points, seed=1)
    assert all(outcomes.total() == 2 for outcomes in found.values())
    assert set(found) == (set(points) if kind != "http" else {"cut_import", "kill_import"})
