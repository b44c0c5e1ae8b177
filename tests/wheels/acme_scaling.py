"""What the wheel holds."""


def scaled(value: float) -> float:
    """Half of it."""
    return value / 2
