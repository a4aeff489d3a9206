"""Records that are forged, cut off or of something else: refused with the
reason, never believed and never a traceback.
"""

import json
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from executed_page import (
    build,
    edit,
    execute,
    forge,
    make_page,
    record,
    source_of,
)

from mmssl.ledger.artefacts import (
    CHECKS,
    CheckResult,
    Provenance,
    SanityReport,
    map_hash,
    read_tables,
    unpublishable_maps,
)
from mmssl.ledger.sidecars import read_sidecar, sidecar_of, stale
from mmssl.ledger.stale_files import stale_files

HASH = "0" * 64


@pytest.fixture
def page(tmp_path):
    """Give a page that is fit to publish."""
    return make_page(tmp_path)


def _entry(page, *names):
    """What the sidecar of a page says."""
    value = json.loads(sidecar_of(page).read_text())
    for name in names:
        value = value[name]
    return value


def _forge_parameters(page, **values):
    parameters = {**_entry(page, "parameters"), **values}
    forge(page, parameters=parameters)


def _forge_input(page, name, **entry):
    inputs = _entry(page, "inputs")
    inputs[name] = {**inputs[name], **entry}
    forge(page, inputs=inputs)


def _lose_input(page, name):
    inputs = _entry(page, "inputs")
    del inputs[name]
    forge(page, inputs=inputs)


def _take_another_pages(page):
    other = page.with_name("02_preprocessing.ipynb")
    shutil.copy(source_of(page), source_of(other))
    shutil.copy(page, other)
    record(other)
    shutil.copy(sidecar_of(other), sidecar_of(page))


def _name_another_notebook(page):
    other = source_of(page).with_name("02_preprocessing.ipynb")
    shutil.copy(source_of(page), other)
    _forge_input(page, "notebook", path="notebooks/02_preprocessing.ipynb")


def _change_cell(page, place, **entries):
    """Change the page alone, and its record with it."""
    executed = nbformat.read(page, as_version=4)
    executed.cells[place].update(**entries)
    nbformat.write(executed, page)
    record(page)


def _move_injected(page):
    executed = nbformat.read(page, as_version=4)
    executed.cells.append(executed.cells.pop(2))
    nbformat.write(executed, page)
    record(page)


def _add_cell(page):
    executed = nbformat.read(page, as_version=4)
    cell = nbformat.v4.new_code_cell("1 + 2", execution_count=9)
    executed.cells.append(cell)
    nbformat.write(executed, page)
    record(page)


def _disguise_a_cell(page):
    executed = nbformat.read(page, as_version=4)
    cell = nbformat.v4.new_code_cell(
        "import os",
        execution_count=9,
        metadata={"tags": ["injected-parameters"]},
    )
    executed.cells.append(cell)
    nbformat.write(executed, page)
    record(page)


FORGERIES = {
    "no inputs": lambda page: forge(page, inputs={}),
    "no notebook": lambda page: _lose_input(page, "notebook"),
    "no cohort": lambda page: _lose_input(page, "cohort"),
    "another cohort": lambda page: _forge_input(page, "cohort", path="x"),
    "a hash alone": lambda page: forge(
        page, inputs={**_entry(page, "inputs"), "cohort": {"hash": HASH}}
    ),
    "an input too many": lambda page: forge(
        page, inputs={**_entry(page, "inputs"), "more": {"hash": HASH}}
    ),
    "another hash of the notebook": lambda page: _forge_input(
        page, "notebook", hash=HASH
    ),
    "another notebook": _name_another_notebook,
    "another page's": _take_another_pages,
    "no modules and no code": lambda page: forge(page, modules=[], code={}),
    "other modules": lambda page: forge(page, modules=["mmssl.ledger.atomic"]),
    "code left out": lambda page: forge(
        page, without=[["mmssl.ledger.paths", "mmssl.ledger.atomic"]]
    ),
    "other parameters": lambda page: _forge_parameters(page, subjects=500),
    "a parameter left out": lambda page: forge(page, parameters={}),
    "a parameter too many": lambda page: _forge_parameters(page, more=1),
    "True for 1": lambda page: _forge_parameters(page, seed=False),
    "another seed": lambda page: forge(page, seed=3),
    "another edition among the parameters": lambda page: _forge_parameters(
        page, edition="smoke"
    ),
    "no facts": lambda page: forge(page, facts={}),
    "other code": lambda page: _change_cell(page, -1, source="1 + 2"),
    "other words": lambda page: _change_cell(page, 0, source="# Better"),
    "other defaults": lambda page: _change_cell(page, 1, source="seed = 1"),
    "a cell too many": _add_cell,
    "a cell disguised as parameters": _disguise_a_cell,
    "parameters at the end": _move_injected,
    "code among the parameters": lambda page: _change_cell(
        page, 2, source="import os"
    ),
    "parameters from elsewhere": lambda page: _change_cell(
        page, 2, source="subjects = open('x').read()"
    ),
    "an unknown parameter": lambda page: _change_cell(
        page, 2, source="anything = 1"
    ),
    "a parameter of the wrong type": lambda page: _change_cell(
        page, 2, source='subjects = "400"'
    ),
    "broken parameters": lambda page: _change_cell(page, 2, source="a ="),
    "no notebook any more": lambda page: source_of(page).unlink(),
    "a broken notebook": lambda page: source_of(page).write_text('{"cells":'),
    "a notebook without cells": lambda page: source_of(page).write_text("{}"),
    "a broken page": lambda page: page.write_text('{"cells": [{}]}'),
    "an empty page": lambda page: page.write_text(""),
    "a page of another kind": lambda page: page.write_text("[1, 2]"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_record_is_refused(page, forgery):
    assert build.check_page(page, "demo") == []
    FORGERIES[forgery](page)
    reasons = build.check_page(page, "demo")
    assert reasons and all(isinstance(reason, str) for reason in reasons)


BROKEN = {
    "empty": "",
    "cut off": '{"artefact": "01_cohort.ipynb", "content": "',
    "no JSON": "made by hand",
    "no mapping": "[]",
    "null": "null",
    "deep": "[" * 100_000,
    "not UTF-8": b"\xff\xfe\x00",
}
ENTRIES = {
    "artefact": (None, 3),
    "content": (None, 3, "abc"),
    "inputs": (None, [], {"a": "b"}, {"a": {}}, {"a": {"hash": 1}}),
    "parameters": (None, []),
    "seed": (None, "0"),
    "modules": (None, {}, "mmssl", [1]),
    "code": (None, [], {"mmssl.ledger.paths": 1}),
    "without": ({}, "ab", [1], [["a"]], [["a", 1]]),
    "versions": (None, "1"),
    "threads": (None, 2),
    "facts": (None, [], "demo"),
}
WRONG = [(name, value) for name in ENTRIES for value in ENTRIES[name]]


def _break(file, broken):
    content = broken if isinstance(broken, bytes) else broken.encode()
    sidecar_of(file).write_bytes(content)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_sidecar_is_refused(page, broken):
    _break(page, BROKEN[broken])
    name = sidecar_of(page).name
    assert any(name in reason for reason in build.check_page(page, "demo"))
    (reason,) = stale(page)
    assert name in reason
    with pytest.raises(ValueError, match=name):
        read_sidecar(page)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_sidecar_with_a_wrong_entry_is_refused(page, name, value):
    forge(page, **{name: value})
    with pytest.raises(ValueError, match=f"01_cohort.ipynb.json: .*{name}"):
        read_sidecar(page)
    (reason,) = stale(page)
    assert name in reason
    assert reason in build.check_page(page, "demo")


@pytest.mark.parametrize(
    "path", ["x" * 5000, "a\0b", "notebooks/broken.ipynb"]
)
def test_an_input_that_cannot_be_read_is_a_reason(page, path):
    source_of(page).with_name("broken.ipynb").write_text('{"cells": [1]}')
    _forge_input(page, "cohort", path=path)
    (reason,) = stale(page)
    assert "its input cohort" in reason
    assert stale_files([page.parent], {}) == {page: [reason]}
    assert build.check_page(page, "demo")


@pytest.fixture
def results(tmp_path):
    """Give a folder of two tables and three maps of groups."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    made = Provenance({}, {}, 0, ("mmssl.ledger.paths",), {"edition": "demo"})
    folder = tmp_path / "results"
    table = pd.DataFrame({"a": [1]})
    made.save(folder, "group_", {"peaks": table, "reports": table})
    passed = dict.fromkeys(CHECKS, CheckResult("yes", "r = 0.1"))
    maps, reports = {}, {}
    for number, name in enumerate(("A", "B", "C")):
        effect = np.full((4, 5, 6), 0.1 * number, np.float32)
        maps[name, "T1", "positive"] = (effect, np.full((4, 5, 6), 0.5))
        reports[name, "T1", "positive"] = SanityReport(
            map_hash(effect), passed
        )
    made.save_group_maps(folder / "maps", maps, reports, np.eye(4), 99)
    return folder


def _read(results):
    return read_tables(results, "group_", ["peaks", "reports"], "demo", "07")


@pytest.mark.parametrize("broken", BROKEN)
def test_a_table_with_a_broken_sidecar_is_not_read(results, broken):
    assert len(_read(results)) == 2
    _break(results / "group_reports.tsv", BROKEN[broken])
    with pytest.raises(ValueError, match="group_reports.tsv.json"):
        _read(results)


def test_a_table_that_is_none_is_not_read(results):
    table = results / "group_reports.tsv"
    table.write_text("")
    made = Provenance({}, {}, 0, ("mmssl.ledger.paths",), {"edition": "demo"})
    made.record(table)
    with pytest.raises(ValueError, match="group_reports.tsv: not a table"):
        _read(results)


EFFECT = "group_B_T1_positive_rbc.nii.gz"
P = "group_B_T1_positive_p.nii.gz"


def _lose(*names):
    def lose(folder):
        for name in names:
            (folder / name).unlink()
            sidecar_of(folder / name).unlink()

    return lose


def _say(**entries):
    """Change what the sidecar of a map says of it."""

    def change(folder):
        facts = json.loads(sidecar_of(folder / EFFECT).read_text())["facts"]
        facts["map"].update(entries)
        forge(folder / EFFECT, facts=facts)

    return change


def _spoil(name, content):
    """Put something else in the place of a map, and record it anew."""

    def spoil(folder):
        (folder / name).write_bytes(content)
        facts = json.loads(sidecar_of(folder / name).read_text())["facts"]
        made = Provenance({}, {}, 0, ("mmssl.ledger.paths",), facts)
        made.record(folder / name)

    return spoil


SPOILT = {
    "a map and its p gone": _lose(EFFECT, P),
    "a map gone": _lose(EFFECT),
    "its p gone": _lose(P),
    "its sidecar gone": lambda folder: sidecar_of(folder / EFFECT).unlink(),
    "its sidecar empty": lambda folder: _break(folder / EFFECT, ""),
    "its sidecar cut off": lambda folder: _break(folder / EFFECT, '{"a": '),
    "facts of another type": lambda folder: forge(folder / EFFECT, facts=[]),
    "a map of another type": lambda folder: forge(
        folder / EFFECT, facts={"map": ["group difference"]}
    ),
    "an unknown kind": _say(kind="p"),
    "a kind of another type": _say(kind=["group difference"]),
    "no correction": _say(correction=None),
    "a correction of another type": _say(correction="family-wise"),
    "a correction without permutations": _say(correction={"file": P}),
    "0 permutations": _say(correction={"file": P, "permutations": 0}),
    "permutations as text": _say(correction={"file": P, "permutations": "99"}),
    "p that are elsewhere": _say(
        correction={"file": "../p.nii.gz", "permutations": 99}
    ),
    "no report": _say(report=None),
    "a report of another type": _say(report=["yes"]),
    "checks of another type": _say(report={"checks": "all"}),
    "companions of another type": _say(together=[1]),
    "no NIfTI": _spoil(EFFECT, b"a map"),
    "nothing": _spoil(EFFECT, b""),
    "p that are no NIfTI": _spoil(P, b"\x1f\x8b\x08\x00cut off"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_spoilt_map_is_refused(results, spoilt):
    folder = results / "maps"
    assert unpublishable_maps(folder) == []
    SPOILT[spoilt](folder)
    reasons = unpublishable_maps(folder)
    assert reasons and all("group_B" in reason for reason in reasons)


def test_a_check_without_an_answer_is_none(results):
    folder = results / "maps"
    facts = json.loads(sidecar_of(folder / EFFECT).read_text())["facts"]
    facts["map"]["report"]["checks"] = dict.fromkeys(CHECKS)
    forge(folder / EFFECT, facts=facts)
    (reason,) = unpublishable_maps(folder)
    assert "was not checked in full" in reason


def test_a_page_whose_map_is_gone_is_refused(page, results):
    edit(
        page,
        lambda cell: cell.update(source=f"{cell.source}\nx.group_maps()"),
    )
    assert build.check_page(page, "demo") == []
    _lose(EFFECT, P)(results / "maps")
    (reason,) = build.check_page(page, "demo")
    assert reason.startswith(f"map {EFFECT} is gone")


def test_a_page_run_on_another_cohort_says_so(page):
    (page.parents[2] / "other").mkdir()
    execute(page, subjects=400, output="results", cohort="other")
    reasons = build.check_page(page, "demo")
    assert any("input cohort at 'cohort'" in reason for reason in reasons)
