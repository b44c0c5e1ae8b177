"""What reading a hostile service costs: seconds and megabytes, whatever its few lines ask for."""

import json
import os
import subprocess
import sys

import pytest
from rules_bento.service import read_service

SERVICE = "\nimport bentoml\n\n\n@bentoml.service(labels={'x': 'y'})\nclass Svc:\n    pass\n"

# A line that doubles a value, 28 times or more.
GROWING = {
    "extend": "x = [1]\n" + "x.extend(x)\n" * 28,
    "star": "x = [1]\n" + "x = [*x, *x]\n" * 28,
    "star in a call": "def f(*x):\n    return x\nx = [1]\n" + "x = f(*x, *x)\n" * 28,
    "star over and over": "x = [" + "1, " * 9000 + "]\ny = [" + "*x, " * 40_000 + "]\n",
    "plus": "x = [1]\n" + "x = x + x\n" * 28,
    "plus in place": "x = [1]\n" + "x += x\n" * 28,
    "times in place": "x = [1]\n" + "x *= 1000\n" * 28,
    "dict of stars": "d = {}\n" + "".join(f"d = {{**d, {i}: 1, -{i}: 1}}\n" for i in range(20_000)),
    "dict set": "d = {}\n" + "".join(f"d[{i}] = d\n" for i in range(20_000)),
    "dict update": "d = {}\n" + "".join(f"d.update({{{i}: 1}})\n" for i in range(20_000)),
    "dict or": "d = {}\n" + "".join(f"d |= {{{i}: 1}}\n" for i in range(20_000)),
    "percent": 'a = "x" * 65536\nb = ("%s" * 5120) % (' + "a, " * 5120 + ")\n",
    "percent of added": 'a = "x" * 65536\nt = (a, a, a, a, a)\n' + "t = t + t\n" * 10 + 'b = ("%s" * 5120) % t\n',
    "join": 'a = "x" * 65536\nt = (a,)\n' + "t = t + t\n" * 13 + 'b = "".join(t)\n',
    "replace": 'a = "x" * 65536\n' + 'a = a.replace("x", a)\n' * 5,
    "format": 'a = "x" * 200\n' + 'a = ("{0}" * 80).format(a)\n' * 5,
    "zfill": 'a = "x".zfill(10 ** 10)\nb = "x".ljust(10 ** 10)\nc = "x".center(10 ** 10)\nd = "\\t".expandtabs(10 ** 10)\n',
    "formatted": 'a = "x"\n' + 'a = f"{a}{a}{a}{a}"\n' * 30,
    "formatted in formatted": 'w = "9" * 9\na = f"{1:{w}}"\nb = f"{f\'{1:>99}\':>99999999}"\n',
    "many texts": 'a = "x" * 65535\n' + "".join(f'b{i} = a + "{i % 10}"\n' for i in range(20_000)),
    "split": 'a = "x," * 30000\nb = a.split(",")\n',
}
# Structure that a walk may meet again and again.
NESTED = {
    "shared lists": "a = [1, 1, 1, 1, 1, 1, 1, 1]\n" + "a = [a, a, a, a, a, a, a, a]\n" * 12 + "X = a\n",
    "diamonds of classes": "class A: ...\nclass B: ...\n"
    + "class C(A, B): ...\nclass D(A, B): ...\nA, B = C, D\n" * 40,
    "attributes": "x = a" + ".b" * 20_000 + "\n",
    "sums": "x = 1" + "+1" * 20_000 + "\n",
    "negations": "x = " + "not " * 3000 + "1\n",
    "conditions": "".join(" " * i + "if a:\n" for i in range(99)) + " " * 99 + "pass\n",
    "classes": "".join(" " * i + f"class A{i}:\n" for i in range(98)) + " " * 98 + "pass\n",
    "large number": "x = 0x" + "f" * 5000 + "\ny = f'{x}'\nz = str(x)\nw = '%d' % x\n",
    "many short lines": "x\n" * 4_000_000,
    "many numbers": "x = [" + "1," * 4_000_000 + "]\n",
    "calls": "def f(n):\n    return [f(n), f(n), f(n), f(n)]\nx = f(1)\n",
    "tried names": "try:\n" + "".join(f"    a{i} = f()\n" for i in range(30_000)) + "except E:\n    pass\n",
    "names and conditions": "".join(f"a{i} = 1\n" for i in range(20_000)) + "if b: c = 1\n" * 20_000,
    "a function of many loops": "x = {}\ndef f():\n" + "    x.update(a=1)\n" * 2000 + "for y in x:\n    f()\n" * 300,
    "functions of a loop": "".join(f"def f{i}():\n    f{i + 1}(), f{i + 1}()\n" for i in range(300))
    + "for y in x:\n    f0()\n",
    "a class of itself in a loop": "class A: ...\nA.__a__ = A\nfor y in x:\n    A()\n",
    "attributes in a loop": "x = []\nfor y in x:\n    x" + ".b" * 3000 + ".c(1)\n",
    "calls in a loop": "x = []\nfor y in x:\n    x" + ".b()" * 3000 + ".c(1)\n",
    "a list that many see": "x = [" + "f, " * 9000 + "]\n" + "f(x[0], x)\n" * 20_000,
}
CHILD = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from rules_bento.errors import BentoError
from rules_bento.service import read_service
source = sys.stdin.buffer.read()
start = time.process_time()
try:
    info = read_service("service:Svc", {"service.py": source})
    answer = {"labels": info.labels, "error": "".join(one.path for one in info.unknowns)}
except BentoError as error:
    answer = {"labels": None, "error": str(error)}
answer["seconds"] = time.process_time() - start
answer["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
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


@pytest.mark.parametrize("lines", [*GROWING.values(), *NESTED.values()], ids=[*GROWING, *NESTED])
def test_a_few_lines_cost_little(lines):
    answer = read(lines + SERVICE)
    assert answer["seconds"] < 10
    assert answer["megabytes"] < 300
    # What grew too large is given up and the rest is read, or all is refused with a line.
    if answer["labels"] != {"x": "y"}:
        assert "service.py" in answer["error"]
        assert lines.count("\n") > 1000 or lines in NESTED.values()


def test_a_number_that_no_document_holds_is_not_plain():
    source = "import bentoml\n@bentoml.service(workers=0x" + "f" * 5000 + ")\nclass Svc: ...\n"
    info = read_service("service:Svc", {"service.py": source.encode()})
    assert [unknown.field for unknown in info.unknowns] == ["config.workers"]


def test_a_list_that_is_multiplied_in_place_is_known_under_no_name():
    source = b"import bentoml\nx = ['a']\ny = x\nx *= 2\n@bentoml.service(traffic={'hosts': y})\nclass Svc: ...\n"
    info = read_service("service:Svc", {"service.py": source})
    assert [unknown.field for unknown in info.unknowns] == ["config.traffic.hosts"]


def test_a_set_has_no_order_that_can_be_read():
    for text in ("list({'a', 'b'})", "[*{'a', 'b'}]"):
        source = f"import bentoml\n@bentoml.service(traffic={{'hosts': {text}}})\nclass Svc: ...\n"
        info = read_service("service:Svc", {"service.py": source.encode()})
        assert [unknown.field for unknown in info.unknowns] == ["config.traffic.hosts"]
