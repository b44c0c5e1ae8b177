"""What the helper says of itself to whoever runs a target."""

import pytest
from rules_bento.run import load, push
from rules_bento.subcommands import run


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("verb", ["push", "load"])
def test_run_targets_say_which_flags_they_take(capsys, verb, flag):
    assert run([verb, "--target", "//svc:it", "--directory", ".", "--contents", "none", "--", flag]) == 0
    assert capsys.readouterr().out.startswith("bazel run //svc:it -- [FLAG VALUE]...\n\n")


@pytest.mark.parametrize("verb", [push, load])
def test_all_packages_are_reported(verb):
    for flag in verb._CALLERS:
        assert flag in verb.HELP or f"{flag.partition('_')[0]}_*" in verb.HELP
