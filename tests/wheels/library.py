"""First-party code over the wheel."""

from acme_scaling import scaled

RESULT = scaled(3)
