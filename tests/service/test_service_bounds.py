"""What reading a hostile service costs: seconds and megabytes, whatever its few lines ask for."""

import json
import os
import subprocess
import sys

import pytest

SERVICE = "\nimport bentoml\n\n\n@bentoml.service(labels={'x': 'y'})\nclass Svc:\n    pass\n"

# Lines that multiply a value, or that a walk meets again and again.
INPUTS = {
    "star": "x = [1]\n" + "x = [*x, *x]\n" * 28,
    "join": 'a = "x" * 65536\nt = (a,)\n' + "t = t + t\n" * 13 + 'b = "".join(t)\n',
    "diamonds of classes": "class A: ...\nclass B: ...\n"
    + "class C(A, B): ...\nclass D(A, B): ...\nA, B = C, D\n" * 40,
    "functions of a loop": "".join(f"def f{i}():\n    f{i + 1}(), f{i + 1}()\n" for i in range(300))
    + "for y in x:\n    f0()\n",
}
CHILD = """
import json, re, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service import read_service
source = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
try:
    info = read_service("service:Svc", {"service.py": source})
    answer = {"labels": info.labels, "error": "".join(one.path for one in info.unknowns)}
except BentoError as error:
    answer = {"labels": None, "error": str(error)}
# `ru_maxrss` includes the memory of the process that started this one.
answer["megabytes"] = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10
print(json.dumps(answer))
"""


def read(source: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=source.encode(), capture_output=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak of one process")
@pytest.mark.parametrize("lines", INPUTS.values(), ids=INPUTS)
def test_a_few_lines_cost_little(lines):
    """Seconds depend on the machine: what grows with each line reaches the child's limit of processor time."""
    answer = read(lines + SERVICE)
    assert answer["megabytes"] < 300
    # What grew too large is given up and the rest is read, or all is refused with a line.
    if answer["labels"] != {"x": "y"}:
        assert "service.py" in answer["error"]
