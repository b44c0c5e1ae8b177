"""Prints a file of its runfiles."""

import os
import sys
from pathlib import Path

sys.stdout.write(Path(os.environ["RUNFILES_DIR"], "_main/tests/serving/greeting/greeting.txt").read_text("utf-8"))
