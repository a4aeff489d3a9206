"""Writing is all or nothing."""

import pytest

from mmssl.ledger import atomic


def test_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "deep" / "map.nii.gz"
    with atomic.file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.name == target.name
        assert temporary.parent.parent == target.parent
        assert list(target.parent.glob("*.nii.gz")) == []
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "table.tsv"
    target.write_text("old")
    with (
        pytest.raises(RuntimeError, match="disk"),
        atomic.file(target) as temporary,
    ):
        temporary.write_text("half")
        raise RuntimeError("disk full")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_never_written_is_an_error(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="x.txt"),
        atomic.file(tmp_path / "x.txt"),
    ):
        pass


def test_directory_appears_only_when_complete(tmp_path):
    target = tmp_path / "runs" / "one"
    with atomic.directory(target) as temporary:
        (temporary / "a").write_text("1")
        assert not target.exists()
    assert [file.name for file in target.iterdir()] == ["a"]
    assert list(target.parent.iterdir()) == [target]


def test_all_missing_parent_folders_are_made(tmp_path):
    target = tmp_path / "one" / "two" / "three" / "table.tsv"
    with atomic.file(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"


def test_failed_directory_is_removed(tmp_path):
    with (
        pytest.raises(RuntimeError),
        atomic.directory(tmp_path / "one") as temporary,
    ):
        (temporary / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_never_replaced(tmp_path):
    target = tmp_path / "one"
    target.mkdir()
    with pytest.raises(FileExistsError, match="one"), atomic.directory(target):
        pytest.fail("the block must not run")
    target.rmdir()
    with (
        pytest.raises(FileExistsError, match="appeared"),
        atomic.directory(target),
    ):
        target.mkdir()
    assert list(tmp_path.iterdir()) == [target]
