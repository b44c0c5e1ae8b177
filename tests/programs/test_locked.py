"""A Bento locks packages of rules_python with the hashes and extras in their lock."""

import os
from pathlib import Path

import pytest


@pytest.mark.skipif("TEST_SRCDIR" not in os.environ, reason="Bazel builds the Bento")
def test_the_lock_has_the_hashes_of_the_installed_versions():
    [lock] = Path("tests/programs").glob("*/env/python/requirements.lock.txt")
    bentoml = f"bentoml==1.4.39 \\\n    --hash=sha256:{'5' * 64}\n"
    greeting = f"greeting==1.0 \\\n    --hash=sha256:{'2' * 64} \\\n    --hash=sha256:{'3' * 64}\n"
    assert lock.read_text("utf-8") == bentoml + greeting
