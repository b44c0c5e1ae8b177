"""Defines the groups of commands, and the order of commands in the help."""

from __future__ import annotations

import click
from rules_bento.bentos.assembly.kinds import MODEL

from bento_cli.cli.command import Group, print_version

_STORE = {"list": "store", "get": "store", "delete": "store", "import": "archives", "export": "archives"}
_SHARING = {"push": "sharing", "pull": "sharing"}

COMMANDS = Group(
    "bento",
    help="Build, inspect, and share Bentos without installing BentoML.",
    epilog="For help on a command, run `bento COMMAND --help` or `bento help COMMAND`.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    sections={
        "Build": {
            "build": "build",
            "init": "init",
            "lock": "build",
            "containerize": "run",
            "image": "run",
            "serve": "run",
            "doctor": "projects",
        },
        "Store": {
            **_STORE,
            "gc": "store",
            "models": Group(
                "models",
                help="Manage the models in the store.",
                kind=MODEL,
                sections={"Commands": {**_STORE, **_SHARING, "pin": "projects"}},
            ),
        },
        "Share": {
            **_SHARING,
            "login": "registries",
            "logout": "registries",
            "patch": "patches",
            "sign": "signatures",
            "cloud": "cloud",
            "deploy": "cloud",
        },
        "Inspect": {
            "report": "report",
            "sbom": "packages",
            "tree": "contents",
            "diff": "contents",
            "verify": "signatures",
        },
        "Other": {
            "completion": "shell",
            "version": "shell",
            "cache": Group(
                "cache",
                help="Manage the cache of images and transfers.",
                sections={"Commands": dict.fromkeys(("dir", "size", "clean"), "shell")},
            ),
        },
    },
)
"""The `bento` command."""

COMMANDS.params.append(
    click.Option(
        ["-V", "--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=print_version,
        help="Print the version",
    )
)
