"""Writers of layers from sorted tar members, either in one pass or by joining compressed parts."""
