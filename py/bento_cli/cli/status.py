"""Defines the exit codes of the `bento` command."""

from __future__ import annotations

from rules_bento.base import exit_handling

OK = 0
ERROR = 1  # the command failed; see the message
USAGE = 2  # invalid command line
FOUND = 3  # `verify` found damage, `diff` found differences
NOT_FOUND = 4  # no entry of the store has the tag
UNPROVEN = 5  # `verify --rebuild` found nothing wrong, but something isn't proven
INTERRUPTED = exit_handling.INTERRUPTED
PIPE = 141  # the reader of the output closed it
