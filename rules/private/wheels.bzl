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

def _stated_and_wheels_impl(settings, _attr):
    return {
        "stated": {_FLAG: settings[_FLAG]},
        "wheels": {_FLAG: "always"},
    }

# For attributes that take a Bento whose packages run: `stated` is the Bento that everyone builds, of `wheels` only the
# requirements are read, so that no action of a Bento runs twice.
stated_and_wheels = transition(
    implementation = _stated_and_wheels_impl,
    inputs = [_FLAG],
    outputs = [_FLAG],
)
