"""Writes the modules of the served Bento."""

import json
import os
from pathlib import Path


def test_modules(client):
    Path(os.environ["TEST_UNDECLARED_OUTPUTS_DIR"], "bento_test.json").write_text(json.dumps(client.modules()), "utf-8")
