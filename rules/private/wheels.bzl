"""One attribute, two graphs: what a Bento requires, and the wheels of it.

A Bento states packages; an image, a test or a server needs their files. Bazel fetches what a configured attribute
names, so the graph without wheels is another configuration, reached by a transition of the flag `//rules:wheels`.
"""

_FLAG = "//rules:wheels"

def _stated_only_impl(settings, _attr):
    return {_FLAG: "always" if settings[_FLAG] == "always" else "metadata"}

# For attributes whose packages are only stated.
stated_only = transition(
    implementation = _stated_only_impl,
    inputs = [_FLAG],
    outputs = [_FLAG],
)
