"""Finds secrets in files that everyone gets with a Bento: private keys, and tokens with a known form.

Looked for are forms, not names or randomness: each kind has words that its secrets contain, which are found at the
speed of memory, and a pattern of bounded length that is tried where such a word is. So time grows with the bytes,
whatever they are.
"""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator

MOST_BYTES = 4 << 20  # of a file; what lies behind them is not looked at
PRAGMA = "bento: allow-secret"

_LITTLE = 1 << 16  # bytes of a file that is looked through together with others, of which there are _TOGETHER
_TOGETHER = 1 << 20
_HEAD = 8000  # bytes in which a NUL says that a file is binary, as git has it
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_MOST_SHOWN = 50
_FEWEST_DISTINCT = 8  # characters of what is no placeholder
_MOST_SECONDS = 30 * 86400  # that a token for a session is good for

_START = rb"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
_START_IN_BASE64 = rb"(?:(?<![A-Za-z0-9_+/-])|(?<=\\[nrt]))"
_END = rb"(?![A-Za-z0-9])"
_RUNS = tuple(
    word[at : at + 6] for word in (b"abcdefghijklmnopqrstuvwxyz", b"01234567890") for at in range(len(word) - 5)
)
_EXAMPLES = (
    b"example",  # how Amazon's end
    b"eby8vdm02xnocqflquwjpllmetlcdxj1ouzft50usrz6ifsufq2uver",  # what the emulator of Azure's storage has for everyone
)


class Finding(NamedTuple):
    """Says where something looks like a secret, and of which kind; never the secret itself."""

    path: str
    line: int
    kind: str


class _Kind(NamedTuple):
    """Describes a kind of secret: words that each one contains, and its pattern, whose group 1 is the secret part.

    The pattern is tried `before` bytes ahead of each place where such a word is. It is compiled when the first one is
    found: most actions find none, and all patterns take as long to compile as an action to start.
    """

    name: str
    words: tuple[bytes, ...]
    pattern: bytes
    before: int = 0
    accept: Callable[[re.Match[bytes]], bool] = lambda match: _is_random(match[1])


def look(path: str, content: bytes) -> list[Finding]:
    """Return what is found in a file, by line. Binary files have nothing that is looked for.

    A line with `PRAGMA` allows what begins on it or on the next one.
    """
    text = _text(content[:MOST_BYTES])
    starts = sorted({(start, kind.name) for kind in _KINDS for start in _starts(kind, text)}) if text else []
    findings: dict[Finding, None] = {}
    line, seen, before_allows, allows = 1, 0, False, _allows(text, 0)
    for start, name in starts:
        while (end := text.find(b"\n", seen, start)) >= 0:
            line, seen = line + 1, end + 1
            before_allows, allows = allows, _allows(text, seen)
        seen = start
        if not (allows or before_allows):
            findings[Finding(path, line, name)] = None
    return list(findings)


def look_through(files: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    """Yield what is found in files, of which hardly one has something: small ones are looked through together first."""
    small: list[tuple[str, bytes]] = []
    size = 0
    for path, content in files:
        if len(content) > _LITTLE or size > _TOGETHER:
            yield from _look_together(small)
            small, size = [], 0
        if len(content) > _LITTLE:
            yield from look(path, content)
        else:
            small.append((path, content))
            size += len(content)
    yield from _look_together(small)


def _look_together(files: list[tuple[str, bytes]]) -> Iterator[Finding]:
    joined = b"\n".join([_text(content) for _, content in files])
    if any(word in joined for kind in _KINDS for word in kind.words):
        for path, content in files:
            yield from look(path, content)


class Words(NamedTuple):
    """Tells, for messages, how a file without comments is allowed, and how the search is turned off."""

    allow: str
    off: str


def check(findings: Iterable[Finding], allowed: Iterable[str], known: Iterable[str], words: Words) -> None:
    """Raise BentoError for findings, unless `allowed` has their files, and for allowed files that have none.

    What an allowed file without a secret stood for is gone, or was never there: `known` are the files that are.
    """
    all_findings, names, existing = list(findings), set(allowed), set(known)
    shown = [finding for finding in all_findings if finding.path not in names]
    lines = []
    if shown:
        lines.append("the Bento has what looks like secrets, and so would everyone who gets it:")
        lines += [f"  {finding.path}:{finding.line}: {finding.kind}" for finding in shown[:_MOST_SHOWN]]
        lines += [f"  and {len(shown) - _MOST_SHOWN} more"] if len(shown) > _MOST_SHOWN else []
        lines.append(
            "Take them out, give them to the server as environment variables, and revoke those that others may have "
            f'seen. If one is none, write "# {PRAGMA}" on its line or the one before, or name a file that has no '
            f"comments in {words.allow}; {words.off} looks for none."
        )
    for path in sorted(names - {finding.path for finding in all_findings}):
        lacks = "in which no secret is found" if path in existing else "which is no file of the Bento"
        lines.append(f"{words.allow} has {path}, {lacks}. Remove it.")
    if lines:
        raise BentoError("\n".join(lines))


def _text(content: bytes) -> bytes:
    """Return the text of a file in UTF-8; nothing for a binary one: with an early NUL, and not UTF-16."""
    encoding = _UTF_16.get(content[:2])
    if encoding:
        return content[2:].decode(encoding, "replace").encode()
    return b"" if b"\0" in content[:_HEAD] else content


def _starts(kind: _Kind, text: bytes) -> Iterator[int]:
    """Yield the positions at which a secret of a kind can begin."""
    for word in kind.words:
        at = text.find(word)
        if at < 0:
            continue
        import re

        pattern = re.compile(kind.pattern)
        while at >= 0:
            match = pattern.match(text, max(0, at - kind.before))
            if match and kind.accept(match):
                yield match.start()
            at = text.find(word, max(at + len(word), match.end() if match else 0))


def _allows(text: bytes, line_start: int) -> bool:
    end = text.find(b"\n", line_start)
    return text.find(PRAGMA.encode(), line_start, end if end >= 0 else len(text)) >= 0


def _is_random(secret: bytes) -> bool:
    """Return whether it may be one: neither `xxxx…`, nor letters or digits in their order, nor a known example."""
    lower = secret.lower()
    return len(set(lower)) >= _FEWEST_DISTINCT and not any(word in lower for word in (*_RUNS, *_EXAMPLES))


def _has_letters_and_digits(match: re.Match[bytes]) -> bool:
    import re

    return _is_random(match[1]) and bool(re.search(rb"[0-9].*[0-9]", match[1]) and re.search(rb"[a-z]", match[1]))


def _is_private_key(match: re.Match[bytes]) -> bool:
    """Return whether the key itself follows its header, in whatever a language or JSON writes between its lines."""
    import re

    body = match.string[match.end() : match.end() + _LONGEST].partition(b"----")[0]
    body = re.sub(rb"(?m)^[\s\"'#*>|]{0,40}[A-Za-z-]{3,30}: [^\n]{0,200}$", b"", body)
    runs = re.findall(rb"[A-Za-z0-9+/]{16,}", re.sub(rb"\\[nrt]", b" ", body))
    return any(_is_random(run) for run in runs)


def _is_hidden_key(match: re.Match[bytes]) -> bool:
    """Return whether base64, as of Kubernetes, hides a private key."""
    import re

    return re.match(rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY", _decoded(match[1][:80])) is not None


def _is_lasting_token(match: re.Match[bytes]) -> bool:
    """Return whether a JSON Web Token is signed, and good for longer than a session.

    One that ended may be in any test.
    """
    from rules_bento.formats import FormatError
    from rules_bento.formats.json import read_object

    try:
        header, claims = (read_object(_decoded(part), "a token") for part in match.groups())
        if not header.get("alg") or header["alg"] == "none" or claims.get("sub") == "1234567890":  # of jwt.io
            return False
        expires, began = claims.get("exp"), claims.get("iat", claims.get("nbf"))
    except FormatError:
        return False
    if expires is None or not isinstance(expires, (int, float)):
        return True
    return isinstance(began, (int, float)) and expires - began > _MOST_SECONDS


def _decoded(text: bytes) -> bytes:
    """Return the bytes of base64 in either alphabet; none where it is malformed."""
    import base64
    import binascii

    plain = text.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""


def _token(name: str, words: bytes, pattern: bytes, start: bytes = _START) -> _Kind:
    """Return a kind of which the pattern tells all, between what cannot belong to it; `words` are parted by blanks."""
    return _Kind(name, tuple(words.split()), start + pattern + _END)


_LONGEST = 4096  # bytes behind a header in which a key begins
# Name, words and pattern of those that need no more. Each word is a search of its own: short ones stand for many here.
_TOKENS = (
    ("a client secret of Google", b"GOCSPX-", rb"GOCSPX-([A-Za-z0-9_-]{28})"),
    ("a token of GitHub", b"gh", rb"gh[pousr]_([A-Za-z0-9]{36,255})"),
    ("a token of GitHub", b"github_pat_", rb"github_pat_([A-Za-z0-9_]{82})"),
    ("a token of GitLab", b"gl", rb"gl(?:pat|dt|rt|ptt|cbt|ft|oas|soat|agent)-([A-Za-z0-9_-]{20,64})"),
    ("a token of Slack", b"xox", rb"xox[abeoprs]-((?:[0-9]{1,20}-){1,4}[A-Za-z0-9]{16,255})"),
    ("a token of Slack", b"xapp-", rb"xapp-([0-9]-[A-Z0-9]{6,20}-[0-9]{6,20}-[a-f0-9]{32,128})"),
    (
        "a webhook of Slack",
        b"hooks.slack.com/services/",
        rb"hooks\.slack\.com/services/(T\w{6,16}/B\w{6,16}/\w{20,32})",
    ),
    ("a token of Hugging Face", b"hf_", rb"hf_([A-Za-z0-9]{30,40})"),
    ("a token of Hugging Face", b"api_org_", rb"api_org_([A-Za-z0-9]{34})"),
    ("a key of Anthropic", b"sk-ant-", rb"sk-ant-(?:api|admin|oat)[0-9]{2}-([A-Za-z0-9_-]{80,120})"),
    ("a token of npm", b"npm_", rb"npm_([A-Za-z0-9]{36})"),
    ("a token of PyPI", b"pypi-AgE", rb"pypi-AgE([A-Za-z0-9_-]{50,255})"),
    ("a key of Stripe", b"sk_live_ rk_live_", rb"[rs]k_live_([A-Za-z0-9]{24,247})"),
    ("a key of SendGrid", b"SG.", rb"SG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"),
)
_KINDS = (
    _Kind(
        "a private key",
        (b"-----BEGIN ", b"---- BEGIN "),
        rb"-{4,5} ?BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)? ?-{4,5}",
        accept=_is_private_key,
    ),
    _Kind("a private key in base64", (b"LS0tLS1CRUdJTi",), rb"([A-Za-z0-9+/]{40,80})", 0, _is_hidden_key),
    _Kind(
        "a private key of PuTTY",
        (b"PuTTY-User-Key-File-",),
        rb"PuTTY-User-Key-File-\d: ([a-z0-9-]{3,40})",
        accept=lambda match: b"Private-Lines: " in match.string[match.end() : match.end() + _LONGEST],
    ),
    _Kind(
        "a secret key of AWS",
        (b"ecret_access_key", b"ECRET_ACCESS_KEY", b"ecretAccessKey"),
        rb"\w{3,20}[\"']?\]?\s{0,8}[=:,]\s{0,8}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    _Kind(
        "an account key of Azure",
        (b"AccountKey=", b"SharedAccessKey="),
        rb"\w{10,15}=([A-Za-z0-9+/]{42,86}={1,2})",
    ),
    _Kind(
        "a client secret of Azure",
        (b"Q~",),
        _START + rb"([A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})" + _END,
        before=4,
    ),
    _Kind(
        "a key of OpenAI",
        (b"sk-",),
        _START + rb"sk-([A-Za-z0-9_-]{16,180}T3BlbkFJ[A-Za-z0-9_-]{16,180})",
    ),
    _Kind(
        "a token of BentoCloud or Yatai",
        (b"BENTO_CLOUD_API_", b"YATAI_API_", b"api_token", b"api-token", b"API_TOKEN"),
        rb"[A-Za-z_-]{6,24}[\"']?\]?(?:\s{0,8}[=:,]\s{0,8}|\s{1,8})[\"']?([a-z0-9]{20,40})" + _END,
        accept=_has_letters_and_digits,
    ),
    _Kind(
        "a JSON Web Token that lasts",
        (b"eyJ",),
        _START + rb"(eyJ[A-Za-z0-9_-]{10,1000})\.(eyJ[A-Za-z0-9_-]{2,3000})\.[A-Za-z0-9_-]{20,1000}(?![A-Za-z0-9_.-])",
        accept=_is_lasting_token,
    ),
    _token("an access key of AWS", b"AKIA ASIA", rb"(A[KS]IA[A-Z2-7]{16})", _START_IN_BASE64),
    _token("an API key of Google", b"AIza", rb"(AIza[A-Za-z0-9_-]{35})", _START_IN_BASE64),
    _token("a token of npm", b"_authToken", rb"_authToken[ =]{1,3}\"?([A-Za-z0-9+/=_-]{30,255})", b""),
    *(_token(*row) for row in _TOKENS),
)
