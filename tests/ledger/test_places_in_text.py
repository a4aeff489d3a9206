"""Places of a machine go, in every spelling, and nothing else does."""

import json
import sys

import nbformat
import pytest

from mmssl.ledger import places

HOME = "/".join(["", "home", "J\u00fcrgen & 'Ann'"])
ROOT = f"{HOME}/project"


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Make this the machine of somebody."""
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setattr(sys, "prefix", f"{ROOT}/.venv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"in {ROOT}/a.py", "in a.py"),
        (f"in {ROOT}", "in ."),
        (f"{HOME}/x and {HOME}", "~/x and ~"),
        (json.dumps(f"{HOME}/x"), '"~/x"'),
        (ascii(f"{HOME}/x"), '"~/x"'),
        (f"/data{HOME}/x", f"/data{HOME}/x"),
    ],
)
def test_a_place_goes_where_it_is_a_whole_path(text, expected):
    assert places.without_places(text, places.places_of(ROOT)) == expected


def test_outputs_of_a_notebook_keep_what_they_have():
    stream = nbformat.v4.new_output("stream", text=f"{HOME}/x")
    shown = nbformat.v4.new_output("display_data", {"text/plain": HOME})
    cell = nbformat.v4.new_code_cell(HOME, outputs=[stream, shown])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    places.clean_notebook(notebook, ROOT, {})
    nbformat.validate(notebook)
    assert cell["source"] == "~"
    stream, shown = cell["outputs"]
    assert stream["text"] == "~/x"
    assert shown["data"] == {"text/plain": "~"}
