"""A program whose own code is in the last layer."""

import greeting as greeting
