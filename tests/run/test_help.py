"""What the helper says of itself to whoever runs a target."""

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.run import load, push


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize(("verb", "more"), [("push", ()), ("load", ("--reference", "x"))])
def test_run_targets_say_which_flags_they_take(capsys, verb, more, flag):
    words = ["--target", "//svc:it", "--directory", ".", "--contents", "none", *more]
    assert run([verb, *words, "--", flag]) == 0
    assert capsys.readouterr().out.startswith("bazel run //svc:it -- [FLAG VALUE]...\n\n")


@pytest.mark.parametrize(("verb", "options"), [(push, push._UserOptions), (load, load._LoadOptions)])
def test_the_help_describes_all_options(verb, options):
    for name in options._kinds():
        assert any(f"--{word}" in verb.HELP for word in (name, name.replace("_", "-"), f"{name.partition('_')[0]}_*"))
