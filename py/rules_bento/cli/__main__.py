"""Runs the `bento` command as `python -m rules_bento.cli`."""

import sys

from rules_bento.cli import main

if __name__ == "__main__":
    sys.exit(main())
