"""Reads a file that lies beside."""

from pathlib import Path


def greeting():
    """Read it."""
    return Path(__file__).with_name("greeting.txt").read_text("utf-8")
