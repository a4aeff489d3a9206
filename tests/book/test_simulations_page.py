"""The page of simulations says what the table says, and of which code."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmssl import plotting
from mmssl.ledger.sidecars import sidecar_of, write_sidecar

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location(
    "simulations_page", ROOT / "book" / "simulations_page.py"
)
page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)


@pytest.fixture
def table(tmp_path):
    """Give a table of two lines a part, one of them with a nominal rate that
    is contradicted, and its sidecar.
    """
    lines = []
    for part in page.PARTS:
        line = {
            "simulation": f"of {part}",
            "setting": "max-|RBC|",
            "method": "ours",
            "worlds": 100,
            "share": 0.0625,
            "low": 0.0325,
            "high": 0.0925,
            "claim": "exactly",
            "promised": 0.05,
            "holds": True,
            "width": np.nan,
            "part": part,
        }
        to_compare = {
            **line,
            "method": "naive",
            "share": 0.375,
            "low": 0.345,
            "high": 0.405,
            "claim": "",
            "holds": np.nan,
        }
        lines += [line, to_compare]
    lines[0] |= {"holds": False, "share": 0.125, "low": 0.09, "high": 0.16}
    path = tmp_path / "simulations.tsv"
    pd.DataFrame(lines).to_csv(path, sep="\t", index=False)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "worlds.py").write_text("SEED = 1\n")
    write_sidecar(
        path,
        {"worlds": tmp_path / "worlds.py"},
        {"share": 1.0},
        1,
        ("mmssl.ledger.atomic",),
        {"seconds": 120, "processes": 2},
    )
    return path


def test_every_line_is_shown_and_every_file_that_the_page_includes_is_made(
    table, tmp_path
):
    made = {path.name for path in page.write(tmp_path / "out", table)}
    text = (ROOT / "book" / "simulations.md").read_text()
    included = set(re.findall(r"\{include\} _build/simulations/(\S+)", text))
    assert included == {"about.md", *(f"{part}.md" for part in page.PARTS)}
    assert included < made
    for part in page.PARTS:
        shown = (tmp_path / "out" / f"{part}.md").read_text()
        assert f"{part}.png" in made and f"{part}.png" in shown
        assert f":alt: {page.ALT}" in shown
        assert "| 100 | 0.375 [0.345, 0.405] | – | – |\n" in shown
        assert "exactly 0.05" in shown and r"max-\|RBC\|" in shown
        assert "mean width" not in shown
    lines = pd.read_csv(table, sep="\t").assign(width=0.25)
    assert "| 0.250 |\n" in page.markdown(lines, "intervals", "Intervals")
    first = (tmp_path / "out" / "intervals.md").read_text()
    assert "0.125 [0.090, 0.160] | exactly 0.05 | **yes**" in first


def test_a_contradicted_rate_and_changed_code_are_said_first(table, tmp_path):
    page.write(tmp_path / "out", table)
    text = (tmp_path / "out" / "about.md").read_text()
    count = f"**1 of {len(page.PARTS)} nominal rates is contradicted.**"
    assert count in text and "seed 1, 2 minutes in 2 processes" in text
    assert "**Contradicted**: of intervals (max-|RBC|), ours: 0.125" in text
    assert "This is the code of this book" in text
    (table.parent / "worlds.py").write_text("SEED = 2\n")
    page.write(tmp_path / "out", table)
    text = (tmp_path / "out" / "about.md").read_text()
    assert "1 file has changed since the numbers were made" in text
    assert "This is the code of this book" not in text


def test_a_table_without_provenance_is_refused(table, tmp_path):
    sidecar_of(table).unlink()
    with pytest.raises(FileNotFoundError):
        page.write(tmp_path / "out", table)


def test_the_figure_draws_each_method_where_its_share_is(table):
    lines = pd.read_csv(table, sep="\t").query("part == 'intervals'")
    (axis,) = plotting.simulation_rates(lines).axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["ours", "naive"]
    (heading,) = axis.texts
    assert heading.get_text() == "of intervals: max-|RBC|"
    # above the first method
    assert heading.xy[1] > axis.get_yticks()[0]
    dots = axis.collections[1::2]
    places = np.array([dot.get_offsets()[0] for dot in dots])
    assert places[:, 0].tolist() == [0.125, 0.375]
    assert (np.diff(places[:, 1]) < 0).all()
    colours = [dot.get_facecolor()[0].tolist() for dot in dots]
    assert colours[0] != colours[1]
    left, right = axis.get_xlim()
    assert left == 0 and right == 1


def test_a_long_heading_takes_lines_of_its_own_within_the_figure(table):
    lines = pd.read_csv(table, sep="\t").query("part == 'intervals'")
    lines["setting"] = "so many people " * 6
    figure = plotting.simulation_rates(lines)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    headings = axis.texts
    assert len(headings) == 2
    places = [*(heading.xy[1] for heading in headings), *axis.get_yticks()]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == 4
    for heading in headings:
        around = heading.get_window_extent()
        assert 0 < around.x0 and around.x1 < figure.bbox.x1


def test_a_long_table_is_folded_behind_its_figure(table):
    lines = pd.read_csv(table, sep="\t").query("part == 'intervals'")
    longer = pd.concat([lines] * 8, ignore_index=True)
    assert "{dropdown}" not in page.markdown(lines, "intervals", "Scores")
    text = page.markdown(longer, "intervals", "Scores")
    figure, folded = text.split(":::{dropdown} Table of 16 rows\n")
    assert "{figure}" in figure
    assert folded.count("\n") == 16 + 3 and folded.endswith("|\n:::\n")
