"""What is remembered of earlier pushes: a hint, whatever the file says."""

import pytest
from rules_bento.images.registry.push_records import BlobHistory


def test_the_last_push_is_tried_first(tmp_path):
    path = tmp_path / "cache/pushed.json"
    BlobHistory(path).note(["r/a"], ["sha256:1", "sha256:2"])
    BlobHistory(path).note(["r/b", "s/c"], ["sha256:2"])
    assert BlobHistory(path).repositories() == {"sha256:1": ["r/a"], "sha256:2": ["s/c", "r/b", "r/a"]}
    BlobHistory(path).note(["r/a"], ["sha256:2"])
    assert BlobHistory(path).repositories() == {"sha256:2": ["r/a", "s/c", "r/b"]}
    assert [file.name for file in path.parent.iterdir()] == ["pushed.json"]


def test_a_push_of_another_process_is_not_forgotten(tmp_path):
    path = tmp_path / "pushed.json"
    first, second = BlobHistory(path), BlobHistory(path)
    first.note(["r/a"], ["sha256:1"])
    second.note(["r/b"], ["sha256:2"])
    assert set(BlobHistory(path).repositories()) == {"sha256:1", "sha256:2"}


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"r/a": 1, "r/b": [2]}', "\x00", '"x"'])
def test_an_invalid_record_of_pushes_is_ignored(tmp_path, text):
    path = tmp_path / "pushed.json"
    path.write_text(text)
    assert BlobHistory(path).repositories() == {}
    BlobHistory(path).note(["r/a"], ["sha256:1"])
    assert BlobHistory(path).repositories() == {"sha256:1": ["r/a"]}


def test_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    BlobHistory(tmp_path / "file/pushed.json").note(["r/a"], ["sha256:1"])
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    before = BlobHistory.from_user_cache()
    before.note(["r/a"], ["sha256:1"])
    assert before.repositories() == {}
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    BlobHistory.from_user_cache().note(["r/a"], [])
    assert (tmp_path / ".cache/rules_bento/pushed.json").exists()
