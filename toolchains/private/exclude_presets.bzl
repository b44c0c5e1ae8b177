"""Files of wheels that nobody needs who runs what is in them: what `exclude_presets` of `bento.pypi` may name."""

# By name the packages, and patterns of their files. A pattern may match nothing in a release. What a process reads, loads or
# starts is in none of them, nor what `torch.compile` and Triton compile with: headers are left where they are.
EXCLUDE_PRESETS = {
    # Static libraries, a compiler of protobuf that torch was built with, and what CMake is told of torch.
    "serving_torch": {
        "torch": ["*.a", "/torch/bin/protoc*", "/torch/share/cmake/", "/torch/test/"],
        "triton": ["*.a"],
    },
}
