"""Runs the helper: `main.py [--packages DIRECTORY]... SUBCOMMAND (@ARGUMENTS | --persistent_worker)`.

Actions run the helper as `python -I -S -B -X utf8`, so that packages of the host can't be imported. The helper's own
package is next to this file, and each `--packages` specifies a directory of third-party packages.
"""

import gc
import sys


def main() -> int:
    """Run a subcommand. Returns the exit status: 0, 1 for invalid input, or 2 for an invalid command line."""
    # Imports make no garbage: `run` has it looked for again, in what the subcommand makes.
    gc.disable()
    if sys.platform != "win32":
        # The standard library asks for these six times, and each time all that is on the path would be searched.
        sys.modules |= dict.fromkeys(("_winapi", "nt"))  # type: ignore[arg-type]
    argv = sys.argv[1:]
    # No pathlib: what a start imports, each action pays for. A zip is on the path already.
    # (The standard library's zip is on it too, whether it is there or not.)
    directory = __file__.rpartition("/")[0] or "."
    if not directory.endswith(".zip"):
        sys.path.insert(0, directory)
    while len(argv) > 1 and argv[0] == "--packages":
        sys.path.append(argv[1])
        del argv[:2]
    from rules_bento.subcommands import run

    if argv[-1:] == ["--persistent_worker"]:
        from rules_bento.worker import serve

        return serve(run, argv[:-1])
    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
