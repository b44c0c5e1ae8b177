"""What a bentofile or a target says of a build, read and checked."""
