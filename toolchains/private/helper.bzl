"""The helper, as repository rules run it: from its sources, in the interpreter of actions, without other packages."""

load(":fetch.bzl", "interpreter")

_HELPER = Label("//py:main.py")
_SECONDS = 6 * 60 * 60

def run_helper(rctx, place, verb, arguments):
    """Runs a verb of the helper. What the verb reports of its progress is seen.

    Args:
      rctx: the repository context.
      place: what an error begins with.
      verb: a module of `py/rules_bento/actions`.
      arguments: list of flags and values.
    """
    command = [interpreter(rctx), "-I", "-S", "-B", "-X", "utf8", rctx.path(_HELPER), verb]
    done = rctx.execute(command + arguments, timeout = _SECONDS)
    if done.return_code:
        fail("{}: {}".format(place, done.stderr.strip()))
