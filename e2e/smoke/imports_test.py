"""Checks that BentoML imports the Bento: `imports_test.py BENTO`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["BENTOML_HOME"] = os.environ["TEST_TMPDIR"]
os.environ["BENTOML_DO_NOT_TRACK"] = "true"

import bentoml  # BentoML reads its home when it is imported

bento = bentoml.bentos.import_bento(str(Path(sys.argv[1]).absolute()))
assert bento.tag.name == "hello"
assert bento.info.labels == {"from": "smoke"}
assert bento.info.entry_service == "Hello"
assert "class Hello" in Path(bento.path_of("src/service.py")).read_text("utf-8")
assert [stored.tag for stored in bentoml.list()] == [bento.tag]
