"""The modules of the wheel are there for any Python rule."""

import sys

import library
import pathspec

if library.RESULT != 1.5 or not pathspec.__version__:
    sys.exit("the wheel is not what it should be")
