"""The interpreter of the action helpers."""

BentoPythonInfo = provider(
    doc = "A CPython that actions run in.",
    fields = {
        "files": "depset[File] - what the interpreter needs; empty for one of the host.",
        "interpreter": "File | None - the interpreter as a file of the build.",
        "interpreter_path": "str - else its absolute path on the host.",
        "version": "str - `X.Y.Z`; `X.Y` of a toolchain of rules_python.",
    },
)
