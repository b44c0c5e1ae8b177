"""Runs the helper: `main.py [--packages DIRECTORY]... SUBCOMMAND (@ARGUMENTS | --persistent_worker)`.

Actions run the helper as `python -I -S -B -X utf8`, so that packages of the host can't be imported. The helper's own
package is next to this file, and each `--packages` specifies a directory of third-party packages.
"""

import gc
import sys


def main() -> int:
    """Run a subcommand. Returns the exit status: 0, 1 for invalid input, or 2 for an invalid command line."""
    # Imports create no garbage. `run` enables the collector again.
    gc.disable()
    if sys.platform != "win32":
        # The standard library imports these modules six times, and each attempt would search the complete path.
        sys.modules |= dict.fromkeys(("_winapi", "nt"))  # type: ignore[arg-type]
    argv = sys.argv[1:]
    # Not pathlib, because each action imports this file. If the helper is a zip, the path already contains it.
    directory = __file__.rpartition("/")[0] or "."
    if not directory.endswith(".zip"):
        sys.path.insert(0, directory)
    while len(argv) > 1 and argv[0] == "--packages":
        sys.path.append(argv[1])
        del argv[:2]
    from rules_bento.actions.subcommands import run

    if argv[-1:] == ["--persistent_worker"]:
        from rules_bento.actions.worker import serve

        return serve(run, argv[:-1])
    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
