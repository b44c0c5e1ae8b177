"""Prints the modules of a program, or writes the modules of a test."""

import json
import os
from pathlib import Path

from probe.found import found

if "TEST_UNDECLARED_OUTPUTS_DIR" in os.environ:
    Path(os.environ["TEST_UNDECLARED_OUTPUTS_DIR"], "py_test.json").write_text(json.dumps(found()), "utf-8")
else:
    print(json.dumps(found()))
