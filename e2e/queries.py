"""Runs `bazel query` in workspaces with empty output bases, and counts the repositories that it fetches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from monorepo import external_directory

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

SMOKE, MONOREPO = "e2e/smoke", "e2e/monorepo"
# Of all repositories of `bento_tools`, a user's build needs at most these.
MOST_TOOLS = 40
USE = 'use_repo(bento_files, "base")'
APT = """\
bento_files.apt(name = "debian", lock = "@rules_bento//debian:python.lock.json")
use_repo(bento_files, "base", "debian")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_base", "bento_push")

bento_base(name = "base", packages = ["@debian//:packages"])

bento_push(name = "push", src = "//:image", repositories = ["registry.example.com/hello"])
"""
# Expressions, and labels in their answers.
SERVICES = {"//classify:classify", "//render:render", "//report:report"}
PACKAGES = ("deps(//...)", {"@pypi//bentoml:bentoml"})
USERS = "rdeps(//..., @pypi//bentoml)"
QUERIES = {
    MONOREPO: (PACKAGES, (USERS, SERVICES), ("rdeps(//..., //lib:scaling.py)", SERVICES)),
    SMOKE: (PACKAGES, (USERS, {"//:hello", "//:hello_test", "//:image", "//:imports_test", "//delivery:push"})),
}
# Packages of Bazel itself that aren't available everywhere: a download, and an empty module of tools/bazel.
NOT_OURS = ("remote_coverage_tools", "@@zlib", "Evaluation of query")


def repositories_of_queries(bench: Workbench) -> dict[str, int]:
    """Return the number of repositories of rules_bento that `bazel query 'deps(//...)'` fetches in each workspace.

    A query follows all branches of each `select`, but fetches nothing for a single platform.
    """
    checkout = bench.checkout("queried")
    checkout.edit(f"{SMOKE}/MODULE.bazel", USE, APT)
    checkout.write(f"{SMOKE}/delivery/BUILD.bazel", BUILD)
    found = {}
    for workspace in (MONOREPO, SMOKE):
        fetched = fetched_by_queries(checkout, workspace)
        names = [path for path in fetched if re.search(r"(linux|darwin)_a|__a(md|rm)64$", path)]
        assert not names, f"{workspace}: a query fetches {', '.join(names[:5])}, and {len(names)} in all"
        tools = [name for name in fetched if re.search(r"bento_tools[~+]", name)]
        assert len(tools) <= MOST_TOOLS, f"{workspace}: a query fetches {len(tools)} repositories: {tools}"
        found[workspace] = len(fetched)
    return found


def fetched_by_queries(checkout: Checkout, workspace: str) -> list[str]:
    """Run all queries of a workspace, the first with an empty output base. Returns the names of the repositories."""
    for expression, wanted in QUERIES[workspace]:
        done = checkout.bazel("query", "--keep_going", expression, workspace=workspace)
        errors = [line for line in done.errors.splitlines() if line.startswith("ERROR")]
        assert not [line for line in errors if not any(word in line for word in NOT_OURS)], done.told()
        assert wanted <= set(done.output.split()), done.told()
    external = external_directory(checkout, workspace)
    return sorted(path.name for path in external.iterdir() if re.match(r"rules_bento[~+]", path.name))
