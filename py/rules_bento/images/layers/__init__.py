"""Writes layers of sorted tar members, either in one pass or by joining compressed parts."""
