"""Searches for secrets in the files that an action packs, before the action writes outputs."""

from __future__ import annotations

from rules_bento.base.subcommand_arguments import JsonStrings, Request
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.bentos.sources.snapshot import DeclaredFile


class SecretsRequest(Request):
    """Arguments of each subcommand that searches for secrets."""

    allowed_secret: JsonStrings  # path in the Bento of a file that can contain secrets
    scan_secrets: bool = False


def check_files(request: SecretsRequest, kept: Iterable[DeclaredFile]) -> None:
    """If `--scan-secrets` is set, search the files in `kept` for secrets (see `check_contents`)."""
    if request.scan_secrets:
        from rules_bento.bentos.sources.secrets import MAX_BYTES
        from rules_bento.bentos.sources.snapshot import read_prefixes

        check_contents(request, read_prefixes(kept, MAX_BYTES))


def check_contents(
    request: SecretsRequest, files: Iterable[tuple[str, bytes]], elsewhere: Collection[str] | None = None
) -> None:
    """If `--scan-secrets` is set, raise BentoError for possible secrets in files without `--allowed-secret`.

    Each item of `files` contains the path and the first bytes of a file in the Bento. `elsewhere` contains the paths
    that the target's other actions search. Only one action of each target sets `elsewhere`.

    Also raises BentoError if a file in `files` has `--allowed-secret`, but contains no secret. If `elsewhere` is set,
    each path in `--allowed-secret` must be in `files` or `elsewhere`.
    """
    if not request.scan_secrets:
        return
    from rules_bento.bentos.sources.secrets import OptionNames, check, scan_files

    seen: set[str] = set()

    def noted() -> Iterator[tuple[str, bytes]]:
        for path, content in files:
            seen.add(path)
            yield path, content

    findings = list(scan_files(noted()))
    allowed = set(request.allowed_secret)
    allowed = allowed & seen if elsewhere is None else allowed - (set(elsewhere) - seen)
    check(findings, allowed, seen, OptionNames("allowed_secrets", 'allowed_secrets = ["*"]'))
