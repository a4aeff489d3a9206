"""The page of speed says what the report says, and of which machine and
code.
"""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from mmssl import plotting
from mmssl.ledger.sidecars import sidecar_of, write_sidecar

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location(
    "speed_page", ROOT / "book" / "speed_page.py"
)
page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)


@pytest.fixture
def report(tmp_path):
    """Give a report of two hot paths and its sidecar."""
    step = {
        "name": "step",
        "about": "Against a loop.",
        "figures": {"ours, ms": 12.345, "ours, ratio": 3.5},
    }
    maps = {
        "name": "maps",
        "about": "Slower here.",
        "figures": {"peak MB": 1234.5, "map, ratio": 0.5},
    }
    machine = {
        "processor": "Slow | Steady",
        "AMX": False,
        "AVX-512 bfloat16": True,
        "threads": 2,
    }
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({"machine": machine, "paths": [step, maps]}))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "step.py").write_text("ROUNDS = 1\n")
    write_sidecar(
        path,
        {"step": tmp_path / "step.py"},
        {"rounds": 7},
        None,
        ("mmssl.ledger.atomic",),
    )
    return path


def test_every_figure_is_shown_and_every_file_that_the_page_includes_is_made(
    report, tmp_path
):
    made = {path.name for path in page.write(tmp_path / "out", report)}
    text = (ROOT / "book" / "speed.md").read_text()
    assert set(re.findall(r"_build/speed/(\S+)", text)) == made
    shown = (tmp_path / "out" / "figures.md").read_text()
    for piece in (
        "## step\n\nAgainst a loop.",
        "| ours, ms | 12.3 |",
        "| ours, ratio | 3.5 |",
        "| peak MB | 1,234 |",
        "| map, ratio | 0.5 |",
    ):
        assert piece in shown
    about = (tmp_path / "out" / "about.md").read_text()
    for piece in ("2 threads", "AVX-512 bfloat16", "up to 7 rounds"):
        assert piece in about
    assert "has changed" not in about


def test_changed_code_is_said_and_a_report_without_provenance_refused(
    report, tmp_path
):
    (report.parent / "step.py").write_text("ROUNDS = 2\n")
    page.write(tmp_path / "out", report)
    about = (tmp_path / "out" / "about.md").read_text()
    assert "measured has changed since" in about
    sidecar_of(report).unlink()
    with pytest.raises(FileNotFoundError):
        page.write(tmp_path / "out", report)


def test_the_figure_has_a_dot_a_ratio(report):
    (axis,) = plotting.speed(json.loads(report.read_text())["paths"]).axes
    dots = [dot.get_offsets()[0].tolist() for dot in axis.collections[1::2]]
    assert dots == [[0.5, 0.0], [3.5, 1.0]]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["maps: map", "step: ours"]
    assert axis.get_xscale() == "log"
