"""Runs pytest under Bazel, from the root of the runfiles: `run_pytest.py SETTINGS [PYTEST ARGUMENT]...`."""

import importlib.util
import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Make the wheels importable in this process and in interpreters that tests start, and run pytest."""
    settings = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    roots = [str(Path(root).absolute()) for root in settings["roots"]]
    sys.path[:0] = [str(Path.cwd()), str(Path("py").absolute()), *roots]
    os.environ["RULES_BENTO_ROOTS"] = os.pathsep.join(roots)
    os.environ["RULES_BENTO_UV"] = str(Path(settings["uv"]).absolute())
    if settings["bytecode"]:
        os.environ["RULES_BENTO_BYTECODE"] = "1"
    os.environ.setdefault("HOME", os.environ["TEST_TMPDIR"])
    import pytest

    report = os.environ.get("XML_OUTPUT_FILE")
    options = [
        "-p", "no:cacheprovider", "--color=yes", "-q", "--rootdir=.", "--import-mode=importlib",
        "-o", "consider_namespace_packages=true", f"--basetemp={os.environ['TEST_TMPDIR']}/t",
        # pytest would rewrite all modules of each package with a plugin (hypothesis, anyio), and keep no bytecode.
        "--disable-plugin-autoload",
    ]  # fmt: skip
    if importlib.util.find_spec("hypothesis"):
        options += ["-p", "_hypothesis_pytestplugin"]
    if report:
        options.append(f"--junitxml={report}")
    chosen = os.environ.get("TESTBRIDGE_TEST_ONLY")
    if chosen:
        options += ["-k", chosen]
    status = int(pytest.main([*options, *sys.argv[2:], *settings["files"]]))
    sys.stdout.write(f"CPU {sum(os.times()[:4]):.1f} s\n")  # for the table of .ci/run
    return status


if __name__ == "__main__":
    sys.exit(main())
