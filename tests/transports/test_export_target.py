"""Exports of `bazel run :x_bento -- export URL`, against servers: with the flag `//rules:transports`, and without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROGRAMS = Path("tests/transports")


def run(program, *words):
    """Run a target's program; its status, and what it says."""
    if "TEST_SRCDIR" not in os.environ:
        pytest.skip("Bazel makes the programs")
    # Away from here, as people are; its files are found by the variable that Bazel sets.
    done = subprocess.run(
        [(PROGRAMS / program).absolute(), "export", *words], capture_output=True, text=True, cwd="/", check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["s3", "gs", "ftp", "sftp"])
def test_a_target_exports(kind, serve, other):
    server = serve(kind)
    status, said = run("bento_with_transports", server.url("x.bento"))
    assert status == 0, said
    assert server.names() == ["x.bento"]
    assert other.bentos.import_archive(server.url("x.bento")).entry.tag.name == "service"


def test_what_is_missing_is_named(serve):
    server = serve("s3")
    status, said = run("plain_bento", server.url("x.bento"))
    assert status == 1
    assert "s3:// requires obstore and botocore, which this Python doesn't have." in said
    assert "@rules_bento//tools:bento_with_transports" in said
    assert "Traceback" not in said
    assert server.names() == []
