"""Follows the start in README.md and the tutorial: saves the code blocks in a directory, and runs the commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registry_server import RegistryServer
from rules_python import JUDGE, OF_TOOLCHAIN, provide_modules
from server import SECONDS, free_port

from tests.helpers.documents import Block, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workbench import Checkout, Workbench

START, PAGE, BASES = "README.md", "docs/tutorial.md", "docs/base-images.md"
# Next to the checkout, as in `path = "../rules_bento"`.
WORKSPACE = "../hello"
# The ports of the registry and the service on the page, which might be in use on this machine.
PUSHED_TO, SERVED_AT = "localhost:5000", "3000"
LARGEST_BENTO = 100_000
# The lines for rules_python's interpreter, which the page makes optional for machines without access.
OF_RULES_PYTHON = re.compile(r"^(bazel_dep\(name = \"rules_python\"|python = |python\.).*\n", re.MULTILINE)
# Values that change: versions, sizes, times, and digests.
VARYING = re.compile(r"[0-9a-f]{64}|…|\d[\d.]*(ms|s)?|\s+")


def tutorial_works(bench: Workbench) -> str:
    """Go from an empty directory to a running service, a test, and an image in a registry."""
    checkout = bench.readers
    # The page lists two interpreters. Not every machine can download the first.
    [first, second] = re.findall(r"bento_tools\.python\(\w+ = \"[^\"]+\"\)", checkout.read(START))

    def adapted(block: Block, text: str) -> str:
        """Use the rules_python of this machine or, without it, what the page describes for machines without GitHub."""
        has_toolchain = OF_TOOLCHAIN.search(text)
        if has_toolchain and provide_modules(checkout, WORKSPACE, "3.13"):
            return text.replace(has_toolchain[0], 'include("//:python.MODULE.bazel")\n')
        if os.environ.get(JUDGE):
            return text
        if "bento_debs(" in text:
            [targets] = [each.text for each in blocks(checkout.root / BASES) if "# base/BUILD.bazel\n" in each.text]
            return targets.partition("# base/BUILD.bazel\n")[2]
        if first not in text:
            return text
        text, times = OF_RULES_PYTHON.subn("", text.replace(first, second))
        assert times == 3, f"{block.place}: {times} lines are about rules_python, and the page says three"
        return text

    with RegistryServer(bench.directory / "tutorial_registry") as registry:
        walk = Walk(checkout, {PUSHED_TO: f"localhost:{registry.port}"}, adapted)
        walk.follow(START, "Start without Bazel knowledge")
        walk.follow(PAGE)
    size = (checkout.root / WORKSPACE / "bazel-bin/hello_bento.bento").stat().st_size
    assert size < LARGEST_BENTO, f"the Bento of one service has {size} bytes"
    return f"{walk.steps} commands print what the page says; a Bento of {size} bytes"


class Walk:
    """Follows pages as a reader does."""

    def __init__(self, checkout: Checkout, replaced: dict[str, str], adapted: Callable[[Block, str], str]) -> None:
        """Create the empty directory. `replaced` maps names of registries, and `adapted` changes blocks of files."""
        self.steps = 0
        self._checkout = checkout
        self._lines: list[str] = []
        self._replaced = replaced
        self._adapted = adapted
        self._serving: list[str] = []
        checkout.clear(WORKSPACE)

    def follow(self, page: str, *sections: str) -> None:
        """Take all blocks of a page, or those below these headings. `""` means the text above the first heading."""
        self._lines = self._checkout.read(page).splitlines()
        for block in blocks(self._checkout.root / page):
            above = [line.removeprefix("## ") for line in self._lines[: block.line] if line.startswith("## ")]
            if not sections or (above[-1] if above else "") in sections:
                self._take(block)

    def _take(self, block: Block) -> None:
        """Save a file, or run commands."""
        if block.language != "console":
            self._save(block)
            return
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, *printed = part.splitlines()
            self._give(shlex.split(command, comments=True), printed)
            self.steps += 1

    def _save(self, block: Block) -> None:
        """Save a block to the last file that the sentence above it names."""
        sentence = self._sentence(block.line)
        files = re.findall(r"`([\w./]*\.\w+)`", sentence)
        assert sentence.endswith(":"), f"{block.place}: which file is it? {sentence}"
        assert files, f"{block.place}: which file is it? {sentence}"
        path = f"{WORKSPACE}/{files[-1]}"
        text = self._adapted(block, block.text)
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        for empty in re.findall(r"`touch ([^`]+)`", sentence):
            self._checkout.write(f"{WORKSPACE}/{empty}", "")
        if "At the end of" in sentence or "Add to" in sentence:
            text = self._checkout.read(path) + text
        elif "In the place of" in sentence or "in the place of" in sentence:
            before = self._checkout.read(path)
            text, times = re.subn(r"^bento_service\(.*?^\)\n", lambda _: text, before, flags=re.MULTILINE | re.DOTALL)
            assert times == 1, f"{block.place}: {path} has {times} services"
        self._checkout.write(path, text)

    def _sentence(self, line: int) -> str:
        """Return the lines above a block."""
        above = self._lines[: line - 1]
        while above and not above[-1]:
            above.pop()
        begins = max((number for number, each in enumerate(above) if not each), default=-1)
        return " ".join(above[begins + 1 :])

    def _give(self, words: list[str], printed: list[str]) -> None:
        """Run a command, and compare its output with the page, except numbers and Bazel's statistics."""
        program, command, *arguments = words
        if program == "curl":
            assert self.served(words) == printed
            return
        if program == "touch":
            self._checkout.write(f"{WORKSPACE}/{command}", "")
            return
        assert program == "bazel", f"{program} is not known"
        if "--port" in arguments:
            self._serving = arguments  # until the first request
            return
        done = self._checkout.bazel(command, *arguments, workspace=WORKSPACE).succeeded()
        told = {masked(line) for line in (done.output + done.errors).splitlines()}
        missing = [line for line in printed if masked(line) not in told and not line.startswith("INFO:")]
        assert not missing, f"the page has {missing}, which is not printed\n{done.told()}"

    def served(self, words: list[str]) -> list[str]:
        """Start the server with the previous command, and send the request as curl does."""
        port = str(free_port())
        [address] = [word for word in words if word.startswith("localhost:")]
        headers = dict(re.findall(r"([\w-]+): ([^']+)", words[words.index("-H") + 1]))
        body = words[words.index("-d") + 1]
        json.loads(body)
        with self._server([port if word == SERVED_AT else word for word in self._serving]):
            request = urllib.request.Request(f"http://{address.replace(SERVED_AT, port)}", body.encode(), headers)
            return response_to(request).splitlines()

    @contextmanager
    def _server(self, arguments: list[str]) -> Iterator[None]:
        target, _, *options = arguments
        log = self._checkout.root / "served.log"
        process = self._checkout.start(target, *options, log=log, workspace=WORKSPACE)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)


def response_to(request: urllib.request.Request) -> str:
    """Send a request until the server responds. Returns the body of the response."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, OSError) as error:
            assert time.monotonic() < deadline, str(error)
            time.sleep(0.1)


def masked(line: str) -> str:
    return VARYING.sub(lambda found: " " if found[0].isspace() else "#", line).strip()
