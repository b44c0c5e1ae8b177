"""Finds the modules of the helper's subcommands, and runs the subcommands."""

from __future__ import annotations

import gc
import importlib
import sys

from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import Subcommand, decode
from rules_bento.base.typing_lite import Sequence

# The subcommands of each module.
_SUBCOMMANDS = {
    "actions.archives": "archive stamp",
    "actions.bases": "base_contents base_images base_layer base_layout unpack_image",
    "actions.debian": "check_debs deb_layer interpreter_layer",
    "actions.check_images": "check_image check_size check_system",
    "actions.hubs": "normalize_lock plan_hub",
    "actions.images": "image image_files image_index",
    "actions.layers": "bento_layer environment_layer layer_ztoc program_layer tar_layer",
    "actions.locks": "check_requirements lock resolve",
    "actions.models": "export_model model model_file_layer model_image model_layer weights_layer",
    "actions.package": "package",
    "actions.reports": "build_definition layer_report report sbom summary",
    "actions.service": "import_service",
    "actions.bento_sources": "data_layer data_part snapshot",
    "actions.wheel_layers": (
        "assemble_layer bytecode_layer bytecode_part join_layers wheel_excluded wheel_layer wheel_libraries wheel_part"
    ),
    "actions.wheels": "build_wheel describe_installed describe_wheel pack_installed pack_packages unpack_wheel",
    "run.update_programs": "update_debs update_requirements",
}
# Programs of `bazel run`, `bazel test`, and repository rules: each is the subcommand `run` of a module. A program of
# another distribution has the full name of its module, such as `bento_cli.programs.serve`.
_PROGRAMS = "load pull push startup_test test venv"
MODULES = {name: module for module, names in _SUBCOMMANDS.items() for name in names.split()}


def run(argv: Sequence[str]) -> int:
    """Run the subcommand at the beginning of `argv`, and return its exit status. Doesn't catch SystemExit.

    `--then` separates several subcommands. They run in order, in one process, until one fails.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from rules_bento.base.exit_handling import open_streams

        open_streams()
    while True:
        subcommand = find(argv[0] if argv else "")
        if subcommand is None:
            sys.stderr.write(
                f"usage: main.py SUBCOMMAND [@FILE | --FLAG VALUE...]...\nsubcommands: {', '.join(every())}\n"
            )
            return 2
        if not gc.isenabled():  # main.py: skip the garbage collection of imported objects
            gc.freeze()
            gc.enable()
        status, argv = _run_one(subcommand, argv[1:])
        if status or not argv:
            return status


def _run_one(subcommand: Subcommand, words: Sequence[str]) -> tuple[int, Sequence[str]]:
    """Run one subcommand. Returns its exit status, and the arguments after `--then`."""
    target = ""
    try:
        request = decode(subcommand, words)
        target = request.target
        if {"-h", "--help"}.intersection(request.rest) and request.usage:
            sys.stdout.write(f"bazel run {target} -- [FLAG VALUE]...\n\n{request.usage}")
            return 0, []
        status = subcommand(request)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _fail(target, error), []
    return status or 0, request.next_subcommand


def _fail(target: str, error: Exception | KeyboardInterrupt) -> int:
    """Print the message for an error, and return the exit status."""
    from rules_bento.base import exit_handling

    exit_handling.drop_output()
    if isinstance(error, KeyboardInterrupt):
        error = BentoError(str(error) or "interrupted", code=exit_handling.INTERRUPTED)
    elif isinstance(error, OSError):
        error = BentoError(exit_handling.os_error_message(error))
    elif not isinstance(error, BentoError):
        error = BentoError(exit_handling.crash_message(error))
    sys.stderr.write(f"{error.at(target) if target else error}\n")
    return error.code


def find(subcommand: str) -> Subcommand | None:
    """Import and return a subcommand. Returns None if the subcommand doesn't exist."""
    if subcommand in MODULES:
        module, name = f"rules_bento.{MODULES[subcommand]}", subcommand
    elif subcommand in _PROGRAMS.split() or subcommand.startswith("bento_cli.programs."):
        module, name = subcommand if "." in subcommand else f"rules_bento.run.{subcommand}", "run"
    else:
        return None
    try:
        found: Subcommand = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None
    return found


def every() -> list[str]:
    """Return the names of all subcommands in rules_bento, sorted."""
    return sorted([*MODULES, *_PROGRAMS.split()])
