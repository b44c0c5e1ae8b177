"""Quotes words of the programs that rules write for `bazel run`: the shell expands no attribute, label or path."""

def shell_word(text, owner):
    """Quotes any text as one word of a POSIX shell.

    Args:
      text: a string of one line.
      owner: the label of the target whose program it stands in, for errors.

    Returns:
      The text in single quotation marks, where only these have a meaning.
    """
    for line_break in ["\n", "\r"]:
        if line_break in text:
            fail("{}: {} has a line break, which no word of a program can have: leave it out".format(owner, repr(text)))
    return "'" + text.replace("'", "'\\''") + "'"
