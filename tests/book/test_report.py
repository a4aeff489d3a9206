"""The report is printed of the book that was built, and of no other."""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))

import report  # noqa: E402


def _built(folder, edition):
    """Write what a build leaves."""
    chapters = [
        {"file": f"executed/{edition}/01_cohort"},
        {"file": "methods"},
    ]
    (folder / "html").mkdir()
    (folder / "html" / "index.html").write_text("<p>front</p>")
    toc = {"parts": [{"chapters": chapters}]}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))


def test_a_book_of_another_edition_is_no_report(tmp_path):
    with pytest.raises(ValueError, match="is none, expected .* demo"):
        report.check_built("demo", tmp_path)
    _built(tmp_path, "demo")
    report.check_built("demo", tmp_path)
    with pytest.raises(ValueError, match="is demo.*EDITION=overnight first"):
        report.check_built("overnight", tmp_path)


def test_a_book_that_was_refused_is_no_report(tmp_path):
    _built(tmp_path, "demo")
    (tmp_path / "html" / "index.html").unlink()
    with pytest.raises(ValueError, match="make reproduce"):
        report.check_built("demo", tmp_path)


def test_one_page_is_built_and_printed(tmp_path, monkeypatch):
    """With the settings of the book, and only after it was built."""
    _built(tmp_path, "demo")
    done = []

    def run(command, cwd):
        done.append(command[-5:])
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(report, "BUILD", tmp_path)
    monkeypatch.setattr(report, "check_built", lambda edition: None)
    monkeypatch.setattr(report.subprocess, "run", run)
    monkeypatch.setattr(report.printing, "browser", lambda: "chromium")
    monkeypatch.setattr(
        report.printing, "print_pdf", lambda *given: done.append(given)
    )
    report.print_report("demo", tmp_path / "report.pdf")
    command, printed = done
    assert command[0] == "singlehtml"
    assert command[2] == tmp_path / "_config.yml"
    assert printed[:2] == (
        tmp_path / "singlehtml" / "index.html",
        tmp_path / "report.pdf",
    )
