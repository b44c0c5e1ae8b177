"""Fixtures for the tests of actions."""

import pytest

from tests.actions.helper import Actions


@pytest.fixture
def actions(tmp_path):
    return Actions(tmp_path)
