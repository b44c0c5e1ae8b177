"""Pulls Bentos and models from BentoCloud or Yatai into the store. Pulls are atomic, and skip existing entries.

Partial downloads stay in the store's `.rules_bento` directory, so that another run can resume an interrupted pull.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from io import BufferedReader, FileIO

from rules_bento.base.archives import streams
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.net import limits, transfers
from rules_bento.base.net.download import Download, open_partial
from rules_bento.base.net.transfers import Progress, retriable
from rules_bento.base.tag import LATEST, Tag, check_word
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, cast
from rules_bento.bentos.assembly.kinds import BENTO, MODEL, Kind

from bento_cli.sharing.cloud import documents
from bento_cli.sharing.cloud.client import ENDED, MAX_ADDRESSES, Cloud, CloudPaths
from bento_cli.sharing.cloud.push_to_cloud import label_in
from bento_cli.store.entry_contents import Known, find_same
from bento_cli.store.entry_store import EntryStore, NotFoundError
from bento_cli.store.home import Home, forget_downloads, staging_lock
from bento_cli.store.import_session import PULL, Imported, ImportSession, Options, StagedImport, import_session

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.unpack import Form
    from rules_bento.base.net.transport import Response


_MAX_WRONG = 2  # attempts if the downloaded bytes differ from the pushed bytes
_UPLOADED = ("success", "")
# Fields of responses that are read. A missing field can also be null.
_VERSIONS = {"items?": [{"version": str}]}
_MANIFEST = {"models?": [str], "metadata?": {}, "size_bytes?": int}
_ENTRY = {"upload_status?": str, "transmission_strategy?": str, "manifest?": _MANIFEST}


def pull(home: Home, kind: Kind, text: str, cloud: Cloud, counter: Progress, options: Options = PULL) -> Imported:
    """Pull an entry into the store. `text` is `NAME:VERSION`, or `NAME` for the most recently pushed version.

    Downloads the models of a Bento first, and adds all entries to the store together. Downloads only entries that the
    store doesn't contain with the same digest. Replaces other entries, if the option is set, after all downloads.
    Raises NotFoundError if an entry isn't on the server, and CloudError or BentoError for other problems.
    """
    tag = _tag(kind, text, cloud)
    paths = CloudPaths(kind, tag)
    remote = _whole(cloud, paths, _found(cloud, paths))
    needed = dict.fromkeys(remote.get("manifest", {}).get("models", ())) if kind is BENTO and options.models else ()
    models = [CloudPaths(MODEL, Tag.parse(model, "models")) for model in needed]
    with staging_lock(home), import_session(home, options) as session:
        fetching = _Fetching(home, cloud, session)
        same = None if options.replace else fetching.find_same(paths, remote)
        found = transfers.parallel_map(fetching.model, models)
        missing = [(model, each) for model, each in zip(models, found, strict=True) if isinstance(each, dict)]
        sizes = [_size(each) for _, each in missing]
        own = max(0, _size(remote) - sum(sizes)) if same is None else 0
        counter.expect_all(sum(sizes) + own)
        drafts = transfers.parallel_map(
            lambda item: fetching.entry(*item[0], counter, item[1]), list(zip(missing, sizes, strict=True))
        )
        if same is None:
            drafts.append(fetching.entry(paths, remote, counter, own))
        known = [each for each in (*found, same) if isinstance(each, Known)]
        done = session.commit(drafts, known)
        forget_downloads(home, map(_name, (paths, *models)))
    main = done.pop() if same is None else Imported(EntryStore(home, kind).get(str(tag)), (), (), (), new=False)
    added = tuple(imported.entry for imported in done if imported.new)
    present = [each.tag for each in known if each is not same]
    present += [imported.entry.tag for imported in done if not imported.new]
    notes = tuple(note for imported in (*done, main) for note in imported.notes)
    return Imported(main.entry, (*added, *main.models), (*present, *main.known), notes, new=main.new)


def _tag(kind: Kind, text: str, cloud: Cloud) -> Tag:
    name, _, version = text.lower().partition(":")
    check_word(name, f"{text!r}: the name")
    if version and version != LATEST:
        return Tag(name, check_word(version, f"{text!r}: the version"))
    paths = CloudPaths(kind, Tag(name, LATEST))
    what = f"{kind.noun} {name}"
    versions = _shaped(cloud.find(f"{paths.versions}?start=0&count=1", what=what) or {}, _VERSIONS, cloud, what)
    if not versions.get("items"):
        raise NotFoundError(f"not found in {cloud}", place=name, remedy="Check the name and the context.")
    return Tag(name, check_word(versions["items"][0]["version"], f"{what}: the version"))


def _found(cloud: Cloud, paths: CloudPaths) -> dict[str, Any]:
    """Return the server's document for an entry. Raises NotFoundError if the server doesn't have the entry."""
    document = cloud.find(paths.version, what=f"{paths}")
    if document is None:
        raise NotFoundError(f"not found in {cloud}", place=str(paths.tag), remedy="Check the tag and the context.")
    return _shaped(document, _ENTRY, cloud, f"{paths}")


def _shaped(answer: dict[str, Any], shape: Any, cloud: Cloud, what: str) -> dict[str, Any]:
    """Remove null values from a response. Raises BentoError if the response doesn't match `shape`."""
    plain: dict[str, Any] = _without_nulls(answer)
    schema.validate(
        plain, shape, f"{what}: the response of {cloud}", "Check the endpoint with `bento cloud current-context`."
    )
    return plain


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(of) for key, of in value.items() if of is not None}
    return [_without_nulls(of) for of in value if of is not None] if isinstance(value, list) else value


def _whole(cloud: Cloud, paths: CloudPaths, remote: dict[str, Any]) -> dict[str, Any]:
    """Return the entry's document `remote` unchanged. Raises BentoError if the entry's upload is incomplete."""
    status = remote.get("upload_status", "")
    if status not in _UPLOADED:
        remedy = f"Push the {paths.kind.noun} again."
        raise BentoError(f"the upload to {cloud} is incomplete (status: {status})", place=str(paths), remedy=remedy)
    return remote


def _size(remote: dict[str, Any]) -> int:
    """Return the size in bytes that a document contains, or 0. The size of an archive differs a little."""
    size: int = remote.get("manifest", {}).get("size_bytes", 0)
    return min(max(0, size), limits.BODY)


def _name(paths: CloudPaths) -> str:
    """Return the file name prefix for an entry's downloaded files."""
    return f"cloud-{_digest(paths.version)}"


def _digest(*values: object) -> str:
    return hashlib.sha256("\0".join(map(str, values)).encode()).hexdigest()


class _Fetching:
    """Client that downloads entries from one server, and stages them."""

    def __init__(self, home: Home, cloud: Cloud, session: ImportSession) -> None:
        self._home = home
        self._cloud = cloud
        self._session = session
        self._lock = threading.Lock()  # downloads run in parallel, but only one import is staged at a time

    def model(self, paths: CloudPaths) -> dict[str, Any] | Known | None:
        """Return the document of a model to download, or the stored model if it has the same digest.

        Returns None for a Hugging Face model, because BentoML downloads such models.
        """
        remote = _found(self._cloud, paths)
        metadata = remote.get("manifest", {}).get("metadata", {})
        if metadata.get("registry") == "huggingface":
            return None
        remote = _whole(self._cloud, paths, remote)
        return self.find_same(paths, remote) or remote

    def find_same(self, paths: CloudPaths, remote: dict[str, Any]) -> Known | None:
        """Return the stored entry if it has the digest in the labels of the entry on the server, otherwise None."""
        expected = label_in(remote)
        return find_same(
            self._home, paths.kind, paths.tag, lambda stored: documents.label_of(stored.manifest) == expected
        )

    def entry(self, paths: CloudPaths, remote: dict[str, Any], counter: Progress, expected_size: int) -> StagedImport:
        """Download and stage an entry. Verifies the files if the entry's labels contain a digest.

        The total of `counter` contains `expected_size`, and `counter` counts shares of `expected_size`.
        """
        expected = label_in(remote)
        # If an entry is pushed again, the path changes.
        state = _digest(remote.get("uid"), remote.get("updated_at"), expected)
        path = self._home.downloads / f"{_name(paths)}-{state}"
        for attempt in range(1, _MAX_WRONG + 1):
            _Receiving(self._cloud, paths, remote, path, _Estimate(counter, expected_size)).run()
            try:
                return self._draft(paths, path, expected)
            except BentoError:
                path.unlink(missing_ok=True)  # writes: digest, `_name` and `state` are digests
                expected_size = 0  # the total contains the bytes of the first attempt
                if attempt == _MAX_WRONG:
                    raise
        raise AssertionError

    def _draft(self, paths: CloudPaths, path: Path, expected: str) -> StagedImport:
        with FileIO(path) as raw, BufferedReader(raw) as file, self._lock:
            raw.name = f"{paths} of {self._cloud}"  # for messages
            form = streams.detect_form(file.peek(512))
            draft = self._session.stage(paths.kind, file, cast("Form", form), tag=paths.tag)
        if expected and documents.label_of(draft.main.tree.manifest()) != expected:
            problem = f"the files from {self._cloud} don't match the {paths.kind.noun}'s digest"
            raise BentoError(problem, place=str(paths), remedy=f"Push the {paths.kind.noun} again.")
        return draft


class _Estimate(Progress):
    """Counts the bytes of a file as shares of its estimated size, because the total doesn't change."""

    def __init__(self, counter: Progress, estimate: int) -> None:
        super().__init__()
        self._count, self._estimate, self._size = counter.tally(), estimate, 0

    def expect(self, size: int) -> None:
        """Set the size of the file, or 0 if it is unknown."""
        self._size = size

    def tally(self) -> Callable[[int], None]:
        """Return a function that sets the number of bytes of the file."""
        return lambda at: self._count(at * self._estimate // self._size if self._size else min(at, self._estimate))


class _Receiving:
    """Downloads one file. After an interruption, resumes the download, unless several attempts make no progress."""

    def __init__(self, cloud: Cloud, paths: CloudPaths, remote: dict[str, Any], path: Path, counter: Progress) -> None:
        self._cloud = cloud
        self._paths = paths
        self._strategy = remote.get("transmission_strategy")
        self._path = path
        self._counter = counter
        self._given = 0

    def run(self) -> None:
        """Download the file, unless it is complete. Raises BentoError if several attempts make no progress."""
        name = f"{self._paths} of {self._cloud}"
        with open_partial(self._path) as file:  # writes: digest, `_name` and `state` are digests
            if file:
                self._address = self._next_address()
                downloading = Download(name, self._request, file, self._counter, self._cloud.retry())
                downloading.run(lambda cut: self._cloud.unreachable(f"{self._paths}", cut))
            else:
                self._counter.tally()(0)

    @contextmanager
    def _request(self, at: int) -> Iterator[Response]:
        headers = {"Range": f"bytes={at}-"} if at else {}
        while True:
            with self._cloud.open("GET", self._address, headers) as response:
                if response.status in (200, 206, 416):
                    yield response
                    return
                status, content = response.status, response.read(limits.REFUSAL)
            if status not in ENDED or self._address.startswith("/") or self._given == MAX_ADDRESSES:
                raise retriable(self._cloud.refusal(status, content, f"{self._paths}"), status, response.headers)
            self._address = self._next_address()

    def _next_address(self) -> str:
        """Return the address of the download: a path on the server, or a presigned URL."""
        self._given += 1
        proxied = f"{self._paths.version}/download"
        if self._strategy == "proxy":
            return proxied
        answer = self._cloud.ask("PATCH", f"{self._paths.version}/presign_download_url", what=f"{self._paths}")
        address = str(answer.get("presigned_download_url") or "")
        if address:
            return self._cloud.check_signed(address, f"{self._paths}")
        if self._strategy is None:
            return proxied
        raise BentoError(f"{self._cloud} returned no download URL", place=str(self._paths), remedy="Try again later.")
