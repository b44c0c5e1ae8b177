"""Defines the two kinds of store entries: Bentos and models."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of store entry. `extension` is the file name extension of its archives."""

    noun: str  # for messages
    directory: str  # the directory in the home
    descriptor: str  # the file that describes an entry
    extension: str  # the suffix of an archive in the default format, without a dot


# The version of bentoml that a Bento requires if nothing names bentoml. Also in private/metadata.bzl.
BENTOML_VERSION = "1.4.39"
BENTO = Kind("Bento", "bentos", "bento.yaml", "bento")
MODEL = Kind("model", "models", "model.yaml", "bentomodel")
