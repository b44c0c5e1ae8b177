"""Finds secrets in the files of a Bento: private keys, and tokens with a known format.

For each kind of secret, the search finds literals (fixed strings, such as prefixes), and then tries a pattern around
each literal. The length of a match is limited, so the time is linear in the number of bytes. The search doesn't use
entropy.
"""

from __future__ import annotations

import re
from itertools import takewhile

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Callable, Iterable, Iterator

MAX_BYTES = 4 << 20  # of a file; the rest isn't scanned
PRAGMA = "bento: allow-secret"

_HEAD = 8000  # bytes in which a NUL marks a binary file, as in git
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_MAX_SHOWN = 50
_MIN_DISTINCT = 8  # characters; fewer are a placeholder
_MAX_SESSION = 30 * 86400  # lifetime of a session token

_START = rb"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
_START_IN_BASE64 = rb"(?:(?<![A-Za-z0-9_+/-])|(?<=\\[nrt]))"
_END = rb"(?![A-Za-z0-9])"
_ORDERED = (b"abcdefghijklmnopqrstuvwxyz", b"01234567890")
_RUNS = tuple(word[at : at + 6] for word in _ORDERED for at in range(len(word) - 5))
_EXAMPLES = (
    b"example",  # suffix of Amazon's examples
    b"eby8vdm02xnocqflquwjpllmetlcdxj1ouzft50usrz6ifsufq2uver",  # the public key of Azure's storage emulator
)


class SecretFinding(NamedTuple):
    """The location and kind of a possible secret, without the secret."""

    path: str
    line: int
    kind: str


class _Kind(NamedTuple):
    """A kind of secret. Each secret contains one of the literals `words`. Group 1 of `pattern` is the secret.

    `scan` matches the pattern at the position `before` bytes in front of each literal. The pattern is compiled only
    after a literal is found, because compiling all patterns is slow. If `files` is set, `scan` searches only the files
    whose paths match this pattern.
    """

    name: str
    words: tuple[bytes, ...]
    pattern: bytes
    before: int = 0
    accept: Callable[[re.Match[bytes]], bool] = lambda match: _is_plausible(match[1])
    files: str = ""


def scan(path: str, content: bytes) -> list[SecretFinding]:
    """Return the findings in a file. Ignores binary files, each line with `PRAGMA`, and the line after it."""
    text = _text(content[:MAX_BYTES])
    if not text:
        return []
    kinds = _ANYWHERE + _kinds_of(path)
    starts = sorted({(start, kind.name) for kind in kinds for start in _starts(kind, text)})
    findings: dict[SecretFinding, None] = {}
    line, seen, before_allows, allows = 1, 0, False, _has_pragma(text, 0)
    for start, name in starts:
        while (end := text.find(b"\n", seen, start)) >= 0:
            line, seen = line + 1, end + 1
            before_allows, allows = allows, _has_pragma(text, seen)
        seen = start
        if not (allows or before_allows):
            findings[SecretFinding(path, line, name)] = None
    return list(findings)


def scan_files(files: Iterable[tuple[str, bytes]]) -> Iterator[SecretFinding]:
    """Yield the findings in files. Each item of `files` is a path and its content."""
    for path, content in files:
        yield from scan(path, content)


def _kinds_of(path: str) -> tuple[_Kind, ...]:
    """Return the kinds of secrets that only some files can contain, if `path` is such a file."""
    return tuple(kind for kind in _KINDS if kind.files and re.search(kind.files, path))


class OptionNames(NamedTuple):
    """The names of two options, for messages: `allow` permits a file in `subject`, and `off` disables the search."""

    allow: str
    off: str
    subject: str = "the Bento"


def check(findings: Iterable[SecretFinding], allowed: Iterable[str], known: Iterable[str], words: OptionNames) -> None:
    """Raise BentoError for findings in files that aren't `allowed`, and for `allowed` files without findings.

    `known` contains the paths of all files. `words` contains the names of the options that messages mention.
    """
    all_findings, names, existing = list(findings), set(allowed), set(known)
    shown = [finding for finding in all_findings if finding.path not in names]
    lines = []
    if shown:
        lines.append(f"{words.subject} contains possible secrets:")
        lines += [f"  {finding.path}:{finding.line}: {finding.kind}" for finding in shown[:_MAX_SHOWN]]
        lines += [f"  and {len(shown) - _MAX_SHOWN} more"] if len(shown) > _MAX_SHOWN else []
        lines.append(
            "Remove the secrets, pass them to the server as environment variables, and revoke leaked secrets. For a "
            "false "
            f'alarm, write "# {PRAGMA}" on the same line or the line before, or add the file to {words.allow}. '
            f"Disable the search with {words.off}."
        )
    for path in sorted(names - {finding.path for finding in all_findings}):
        lacks = "which contains no secrets" if path in existing else f"which isn't a file of {words.subject}"
        lines.append(f"{words.allow} contains {path}, {lacks}. Remove the path.")
    if lines:
        raise BentoError("\n".join(lines))


def _text(content: bytes) -> bytes:
    """Return `content`, or b"" if `content` is binary. Converts UTF-16 to UTF-8."""
    encoding = _UTF_16.get(content[:2])
    if encoding:
        return content[2:].decode(encoding, "replace").encode()
    return b"" if b"\0" in content[:_HEAD] else content


def _starts(kind: _Kind, text: bytes) -> Iterator[int]:
    """Yield the positions in `text` at which secrets of this kind might begin."""
    for word in kind.words:
        at = text.find(word)
        if at < 0:
            continue
        pattern = re.compile(kind.pattern)
        while at >= 0:
            match = pattern.match(text, max(0, at - kind.before))
            if match and kind.accept(match):
                yield match.start()
            at = text.find(word, max(at + len(word), match.end() if match else 0))


def _has_pragma(text: bytes, line_start: int) -> bool:
    end = text.find(b"\n", line_start)
    return text.find(PRAGMA.encode(), line_start, end if end >= 0 else len(text)) >= 0


def _is_plausible(secret: bytes) -> bool:
    """Return whether a secret isn't a placeholder such as `xxxx…`, `abcdef…`, or a known example."""
    lower = secret.lower()
    return len(set(lower)) >= _MIN_DISTINCT and not any(word in lower for word in (*_RUNS, *_EXAMPLES))


def _has_letters_and_digits(match: re.Match[bytes]) -> bool:
    return _is_plausible(match[1]) and bool(re.search(rb"[0-9].*[0-9]", match[1]) and re.search(rb"[a-z]", match[1]))


def _is_private_key(match: re.Match[bytes]) -> bool:
    """Return whether a key begins after the header. The lines of the key can have indentation, quotes, or escapes."""
    body = match.string[match.end() : match.end() + _MAX_KEY].partition(b"----")[0]
    body = re.sub(rb"\\[nrt]|&#\w{1,4};", b"\n", body)
    body = re.sub(rb"(?m)^[\s\"'#*>|]{0,40}[A-Za-z-]{3,30}: [^\n]{0,200}$", b"", body)
    lines = [*takewhile(lambda word: len(word) >= _MIN_LINE, re.findall(rb"[A-Za-z0-9+/]{4,}", body))]
    return sum(map(len, lines)) >= _MIN_KEY and any(map(_is_plausible, lines))


def _is_encoded_key(match: re.Match[bytes]) -> bool:
    """Return whether a base64 string, as in a Kubernetes Secret, contains a private key."""
    return re.match(rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY", _decode_base64(match[1][:80])) is not None


def _is_long_lived_token(match: re.Match[bytes]) -> bool:
    """Return whether a match is a signed JSON Web Token without an expiration, or with a lifetime over 30 days."""
    from rules_bento.base.formats import FormatError
    from rules_bento.base.formats.json import read_object

    try:
        header, claims = (read_object(_decode_base64(part), "a token") for part in match.groups())
        if not header.get("alg") or header["alg"] == "none" or claims.get("sub") == "1234567890":  # jwt.io
            return False
        expires, began = claims.get("exp"), claims.get("iat", claims.get("nbf"))
    except FormatError:
        return False
    if expires is None or not isinstance(expires, (int, float)):
        return True
    return isinstance(began, (int, float)) and expires - began > _MAX_SESSION


def _decode_base64(text: bytes) -> bytes:
    """Decode base64 in the standard or URL-safe alphabet. Returns b"" if the input is malformed."""
    import base64
    import binascii

    plain = text.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""


def _token(name: str, words: bytes, pattern: bytes, start: bytes = _START) -> _Kind:
    return _Kind(name, tuple(words.split()), start + pattern + _END)


_MAX_KEY = 4096  # bytes after a header that are read
_MIN_KEY, _MIN_LINE = 60, 16  # base64 characters: a key of Ed25519 has 64
# Name, literals, and pattern of simple kinds. Each literal is a search of its own: short ones cover several.
_TOKENS = (
    ("Google client secret", b"GOCSPX-", rb"GOCSPX-([A-Za-z0-9_-]{28})"),
    ("GitHub token", b"gh", rb"gh[pousr]_([A-Za-z0-9]{36,255})"),
    ("GitHub token", b"github_pat_", rb"github_pat_([A-Za-z0-9_]{82})"),
    ("GitLab token", b"gl", rb"gl(?:pat|dt|rt|ptt|cbt|ft|oas|soat|agent)-([A-Za-z0-9_-]{20,64})"),
    ("Slack token", b"xox", rb"xox[abeoprs]-((?:[0-9]{1,20}-){1,4}[A-Za-z0-9]{16,255})"),
    ("Slack token", b"xapp-", rb"xapp-([0-9]-[A-Z0-9]{6,20}-[0-9]{6,20}-[a-f0-9]{32,128})"),
    ("Slack webhook", b"hooks.slack.com/services/", rb"hooks\.slack\.com/services/(T\w{6,16}/B\w{6,16}/\w{20,32})"),
    ("Hugging Face token", b"hf_", rb"hf_([A-Za-z0-9]{30,40})"),
    ("Hugging Face token", b"api_org_", rb"api_org_([A-Za-z0-9]{34})"),
    ("Anthropic API key", b"sk-ant-", rb"sk-ant-(?:api|admin|oat)[0-9]{2}-([A-Za-z0-9_-]{80,120})"),
    ("npm token", b"npm_", rb"npm_([A-Za-z0-9]{36})"),
    ("PyPI token", b"pypi-AgE", rb"pypi-AgE([A-Za-z0-9_-]{50,255})"),
    ("Stripe API key", b"sk_live_ rk_live_", rb"[rs]k_live_([A-Za-z0-9]{24,247})"),
    ("SendGrid API key", b"SG.", rb"SG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"),
)
_KINDS = (
    _Kind(
        "private key",
        (b"-----BEGIN ", b"---- BEGIN "),
        rb"-{4,5} ?BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)? ?-{4,5}",
        accept=_is_private_key,
    ),
    _Kind("base64-encoded private key", (b"LS0tLS1CRUdJTi",), rb"([A-Za-z0-9+/]{40,80})", 0, _is_encoded_key),
    _Kind(
        "PuTTY private key",
        (b"PuTTY-User-Key-File-",),
        rb"PuTTY-User-Key-File-\d: ([a-z0-9-]{3,40})",
        accept=lambda match: b"Private-Lines: " in match.string[match.end() : match.end() + _MAX_KEY],
    ),
    _Kind(
        "AWS secret access key",
        (b"ecret_access_key", b"ECRET_ACCESS_KEY", b"ecretAccessKey"),
        rb"\w{3,20}[\"']?\]?\s{0,8}[=:,]\s{0,8}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    _Kind("Azure account key", (b"AccountKey=", b"SharedAccessKey="), rb"\w{10,15}=([A-Za-z0-9+/]{42,86}={1,2})"),
    _Kind(
        "Azure client secret", (b"Q~",), _START + rb"([A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})" + _END, before=4
    ),
    _Kind("OpenAI API key", (b"sk-",), _START + rb"sk-([A-Za-z0-9_-]{16,180}T3BlbkFJ[A-Za-z0-9_-]{16,180})"),
    _Kind(
        "BentoCloud or Yatai API token",
        (b"BENTO_CLOUD_API_", b"YATAI_API_", b"api_token", b"api-token", b"API_TOKEN"),
        rb"[A-Za-z_-]{6,24}[\"']?\]?(?:\s{0,8}[=:,]\s{0,8}|\s{1,8})[\"']?([a-z0-9]{20,40})" + _END,
        accept=_has_letters_and_digits,
    ),
    _Kind(
        "long-lived JSON Web Token",
        (b"eyJ",),
        _START + rb"(eyJ[A-Za-z0-9_-]{10,1000})\.(eyJ[A-Za-z0-9_-]{2,3000})\.[A-Za-z0-9_-]{20,1000}(?![A-Za-z0-9_.-])",
        accept=_is_long_lived_token,
    ),
    _Kind(  # in files that can have the URLs of package indexes
        "password in a URL",
        (b"http://", b"https://"),
        rb"https?://[^\s/:@\"'<>]{0,200}:([^\s/@\"'<>${}*]{1,500})@",
        accept=lambda match: len(set(match[1])) > 1,
        files=r"(?:^|/)(?:bento(?:file)?\.yaml|pyproject\.toml|uv\.toml|pip\.conf|requirements/[^/]+\.txt"
        r"|[^/]*(?:requirements|constraints)[^/]*\.(?:txt|in))$|^env/",
    ),
    _token("AWS access key ID", b"AKIA ASIA", rb"(A[KS]IA[A-Z2-7]{16})", _START_IN_BASE64),
    _token("Google API key", b"AIza", rb"(AIza[A-Za-z0-9_-]{35})", _START_IN_BASE64),
    _token("npm token", b"_authToken", rb"_authToken[ =]{1,3}\"?([A-Za-z0-9+/=_-]{30,255})", b""),
    *(_token(*row) for row in _TOKENS),
)
_ANYWHERE = tuple(kind for kind in _KINDS if not kind.files)
