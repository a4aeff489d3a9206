"""The page of speed says what the report says, and of which machine and
code.
"""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb

from mmssl import plotting
from mmssl.ledger.sidecars import sidecar_of, write_sidecar

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location(
    "speed_page", ROOT / "book" / "speed_page.py"
)
page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)

TARGET = {
    "path": "maps",
    "figure": "map, ratio",
    "least": 6.0,
    "most": None,
    "value": 7.25,
    "met": True,
    "why": "",
}
LIMIT = {
    "name": "blur",
    "formula": "2 n",
    "operations": 2e9,
    "bytes": 5e6,
    "bound": 0.003,
    "seconds": 0.004,
    "fraction": 0.75,
    "library": "its products",
    "fraction alone": 0.8,
}
FAR = {"name": "sort", "fraction": 0.1, "fraction alone": 0.6}
OWN = {"name": "loop", "fraction": 0.1, "fraction alone": None, "library": ""}
CONVOLUTION = {
    "precision": "bf16",
    "shape": "convolution: 8×1×64",
    "number": 2,
    "operations": 1e9,
    "seconds": 0.01,
    "rate": 1e11,
    "fraction": 0.25,
}
COST = {
    "name": "maps",
    "against": "voxels",
    "expected": 1.0,
    "why": "",
    "points": [[10, 1.0, 2.0], [100, 10.0, 3.0]],
    "exponent": 0.9,
    "last exponent": 1.0,
    "memory exponent": None,
    "superlinear": False,
}
STEEP = {
    "name": "pairs",
    "against": "subjects",
    "expected": 4 / 3,
    "why": "each with each",
    "last exponent": 2.0,
    "superlinear": True,
}


def part(name, lines):
    """Give lines measured together."""
    machine = {"processor": "Slow", "class": "2 cores"}
    return {
        "name": name,
        "about": "Of some.",
        "machine": machine,
        "figures": lines,
    }


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
    tables = {
        "targets": [TARGET, TARGET | {"met": False, "why": "its sort"}],
        "roofline": [part("Images", [LIMIT, LIMIT | FAR, LIMIT | OWN])],
        "convolutions": [part("Convolutions", [CONVOLUTION])],
        "growth": [part("Voxels", [COST, COST | STEEP])],
    }
    report = {"machine": machine, "paths": [step, maps], **tables}
    path.write_text(json.dumps(report))
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


def test_a_peer_that_is_ahead_is_named():
    paths = [
        {"name": "step", "figures": {"ours, ms": 0.3, "loop, ratio": 3.5}},
        {"name": "maps", "figures": {"ties, ratio": 0.5}},
    ]
    assert "is ahead: maps: ties (0.5)." in page.behind(paths)
    assert "no peer is ahead" in page.behind(paths[:1])


def test_every_figure_is_shown_and_every_file_that_the_page_includes_is_made(
    report, tmp_path
):
    made = {path.name for path in page.write(tmp_path / "out", report)}
    pieces = [(ROOT / "book" / "speed.md").read_text()]
    for file in sorted((tmp_path / "out").glob("*.md")):
        pieces.append(file.read_text())
    named = re.findall(r"_build/speed/(\S+)", "".join(pieces))
    assert set(named) == made
    shown = (tmp_path / "out" / "figures.md").read_text()
    for piece in (
        "### step\n\nAgainst a loop.",
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


def test_targets_limits_and_growth_are_read_from_the_report(report, tmp_path):
    page.write(tmp_path / "out", report)

    def text(name):
        return (tmp_path / "out" / f"{name}.md").read_text()

    assert text("targets").startswith("1 of 2 are met.")
    assert "| maps: map, ratio | at least 6 | 7.25 | met |" in text("targets")
    assert "| missed |\n" in text("targets")
    assert text("targets").endswith(" is missed; its sort.\n")
    limits = text("roofline")
    assert limits.startswith("1 of 3 paths")
    assert "Of the other 2, 1 spend" in limits
    assert "The others do not: loop." in limits
    assert "| blur | 2 | 5 | 3 | 4 | 75 % | 80 % |" in limits
    assert "- *blur*: 2 n. In libraries: its products.\n" in limits
    assert "*Slow, 2 cores*" in limits
    assert "| bf16 | convolution: 8×1×64 | 2 | 1 | 10 | 100 | 25 % |" in (
        text("convolutions")
    )
    costs = text("growth")
    assert costs.startswith("These grow faster than their method must: pairs.")
    assert "| maps | voxels | 100 | 10 | 3 | 0.9 | 1 |  | 1 |" in costs
    assert "| 1.33: each with each |" in costs


def test_what_is_not_measured_is_said_and_not_drawn(report, tmp_path):
    shown = json.loads(report.read_text())
    few = {name: shown[name] for name in ("machine", "paths")}
    report.write_text(json.dumps(few))
    write_sidecar(report, {}, {"rounds": 7}, None, ("mmssl.ledger.atomic",))
    made = {path.name for path in page.write(tmp_path / "out", report)}
    assert "roofline.png" not in made
    for name in ("targets", "roofline", "convolutions", "growth"):
        text = (tmp_path / "out" / f"{name}.md").read_text()
        assert text == page.MISSING


def test_a_peer_that_did_not_run_is_named_with_what_it_said():
    path = {"name": "a", "about": "b", "figures": {"x": "not run: y | z"}}
    assert r"| x | not run: y \| z |" in page.table(path)


def test_numbers_stand_on_the_right_and_words_on_the_left():
    rows = [
        ("a", "at least 3", page._share(1.2345), "met"),
        ("b", "at most .5", page._share(0.012345), "missed; why | not"),
    ]
    text = page._table(("what", "target", "share", ""), rows)
    assert text.splitlines()[1] == "| --- | --: | --: | --- |"
    assert "| 123 % |" in text and "| 1.2 % |" in text
    assert page._table(("what", "ms"), []).endswith("| --- | --: |\n")


def test_a_long_table_is_folded():
    rows = [("a", "1"), ("b", "2")] * 8
    assert page._table(("what", "ms"), rows[:15]).startswith("| what |")
    first, second, *_, last = page._table(("what", "ms"), rows).splitlines()
    assert first == ":::{dropdown} Table of 16 rows"
    assert second == "| what | ms |" and last == ":::"


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


def test_a_path_without_library_calls_has_one_dot():
    lines = [LIMIT, LIMIT | OWN]
    (axis,) = plotting.machine_limits(lines).axes
    limits, alone = (dots.get_offsets() for dots in axis.collections)
    assert limits.tolist() == [[0.1, 0.0], [0.75, 1.0]]
    assert alone.tolist() == [[0.8, 1.0]]


def test_costs_have_a_panel_a_kind_of_size():
    axes = plotting.cost_growth([COST, COST | STEEP]).axes
    assert [axis.get_xlabel() for axis in axes] == ["voxels", "subjects"]
    for axis in axes:
        line, proportional = axis.get_lines()
        assert line.get_xydata().tolist() == [[10, 1], [100, 10]]
        assert proportional.get_xydata().tolist() == [[10, 1], [100, 10]]


def test_the_steepest_cost_is_the_darkest_and_named_first():
    costs = []
    for name, exponent in (("flat", 0.1), ("steep", 2.0), ("even", 1.0)):
        costs.append(COST | {"name": name, "last exponent": exponent})
    (axis,) = plotting.cost_growth(costs).axes
    lines = axis.get_lines()[:-1]
    names = [line.get_label().split()[0] for line in lines]
    assert names == ["steep", "even", "flat"]
    light = [sum(to_rgb(line.get_color())) for line in lines]
    assert light == sorted(light) and len(set(light)) == 3
