"""A manifest names every file that is not the one that was made."""

import hashlib
import json

import pytest

from mmssl.ledger import manifest


@pytest.fixture
def folder(tmp_path):
    """Give a folder of two files with its manifest."""
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"")
    manifest.write_manifest(tmp_path)
    return tmp_path


def test_a_manifest_holds_the_hash_of_each_file(folder):
    expected = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in {"a": b"abc", "b": b""}.items()
    }
    text = (folder / manifest.MANIFEST).read_text()
    assert json.loads(text) == expected and text.endswith("\n")
    assert manifest.read_manifest(folder) == expected
    manifest.check_manifest(folder)


def test_a_file_that_is_added_changed_or_gone_is_named(folder):
    (folder / "c").write_text("new")
    hashes = manifest.read_manifest(folder)
    with pytest.raises(ValueError, match="c: is not among the files"):
        manifest.check_files(folder, hashes, ["c"])
    manifest.add_to_manifest(folder, "c")
    manifest.check_manifest(folder)
    (folder / "a").write_bytes(b"abd")
    with pytest.raises(ValueError, match="a: was changed"):
        manifest.check_manifest(folder)
    (folder / "a").unlink()
    with pytest.raises(ValueError, match="a: not found, but it was made"):
        manifest.check_manifest(folder)
