"""Prints the modules of a program, or writes the modules of a test."""

import json
import os
import sys
from pathlib import Path

from probe.found import found

answer = {**found(), "run": [os.environ["PROBED"], " ".join(sys.argv[1:])]}
if "TEST_UNDECLARED_OUTPUTS_DIR" in os.environ:
    Path(os.environ["TEST_UNDECLARED_OUTPUTS_DIR"], "py_test.json").write_text(json.dumps(answer), "utf-8")
else:
    print(json.dumps(answer))
