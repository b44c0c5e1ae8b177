"""Bad input of every command is one message: where, what is wrong, and what to do."""

from __future__ import annotations

import re
from contextlib import nullcontext

import click
import pytest
from bento_cli.cli import main, status
from bento_cli.cli.groups import COMMANDS

BAD = ("", "no such", "./none/x", ":", "a:b:c", "Bad!:v1", "https://", "h.example/UP", "\x1b[31m")
OF_ALL = ("home", "color", "output")
REQUIRED = {"sign": ("--key", "none.key")}


def bad_inputs():
    """Every command with too few and with bad arguments, and each option without a value, and with a bad one."""
    yield from (("nothing",), ("models", "nothing"), ("help", "nothing"), ("--color", "x", "list"))
    for path, command in COMMANDS.walk():
        name, more = tuple(path.split()), REQUIRED.get(path, ())
        positional = [param for param in command.params if isinstance(param, click.Argument)]
        if path != "serve":
            yield (*name, "--nothing")
        if any(param.required for param in positional):
            yield name
        for param in command.params:
            if (
                isinstance(param, click.Option)
                and not (param.is_flag or param.count)
                and param.name not in OF_ALL
                and path != "serve"
            ):
                yield (*name, param.opts[-1])
                if isinstance(param.type, (click.Choice, click.types.FuncParamType)):
                    yield (*name, *("x" for _ in positional), *more, f"{param.opts[-1]}=\udc80")
        if positional and path != "completion":
            yield from ((*name, *more, *(bad for _ in positional)) for bad in BAD)


# An empty string selects everything, or the current directory.
CASES = sorted({*bad_inputs()} - {("list", ""), ("models", "list", "")})


@pytest.mark.parametrize("words", CASES, ids=lambda words: " ".join(map(ascii, words)))
def test_bad_input_is_one_message(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("BENTOML_HOME", "HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("bento_cli.sharing.serving._has_bentoml", lambda _: False)  # it has messages of its own
    code = main(list(words))
    err = capsys.readouterr().err
    assert code in (status.ERROR, status.USAGE, status.NOT_FOUND), (code, err)
    assert "Traceback" not in err and "internal error" not in err
    [message] = [line for line in err.splitlines() if line.startswith("bento")]
    assert re.match(r"bento( [a-z -]+)?: .+[.?] \S+", message), err


# Options that read a variable on their own: a command that reports a bad value of the variable.
READERS = {
    "backend": None,  # needs a Bento: tests/sharing/test_containers.py
    "creation_time": ("build", "svc.py:Svc"),
    "endpoint": ("models", "pin", "a/b"),
    "home": ("list",),
    "python": None,  # a missing environment is accepted
    "sign_password_file": None,  # the variable has the password instead of its file
}


def variables():
    """Each option whose help names a variable as the default, in its first command."""
    found = {}
    for path, command in COMMANDS.walk():
        for param in command.params:
            if match := re.search(r"default: (?:the )?([A-Z][A-Z_]+_[A-Z_]+)", getattr(param, "help", None) or ""):
                found.setdefault((param.name, match[1]), (path, param))
    return found


@pytest.mark.parametrize(("name", "variable"), sorted(variables()))
def test_messages_name_the_variable_that_sets_an_option(name, variable, tmp_path, monkeypatch, capsys):
    path, option = variables()[name, variable]
    monkeypatch.setenv(variable, "/dev/null/x")
    if option.envvar:
        context = click.Context(dict(COMMANDS.walk())[path])
        with pytest.raises(click.BadParameter) if option.is_flag else nullcontext():
            option.handle_parse_result(context, {}, [])
        assert option.get_error_hint(context) == f"{option.opts[0]} ({variable} is set)"
        return
    if words := READERS[name]:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "svc.py").write_text("import bentoml\n\n\n@bentoml.service\nclass Svc: ...\n")
        assert main([*words]) == status.ERROR
        assert f"{variable}: " in capsys.readouterr().err


def test_an_option_and_a_variable_that_contradict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENTO_STATIC", "1")
    assert main(["build", "--import"]) == status.ERROR
    assert "bento: --import and --static (BENTO_STATIC is set) contradict. " in capsys.readouterr().err
