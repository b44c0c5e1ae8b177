"""Fixtures for the tests of actions."""

import pytest
from helper import Actions


@pytest.fixture
def actions(tmp_path):
    return Actions(tmp_path)
