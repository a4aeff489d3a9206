"""The code on record of a run against the files that its training calls, as
Python's profiler sees them.
"""

import json
import sys
import threading
from pathlib import Path

import pytest
from small_cohort import SMALL_RUN

from mmssl.ledger.code import ROOT
from mmssl.objectives.language import TERMS, parse
from mmssl.pretrain.fit import fit

RUNS = {
    "CR-XX-CC": {},
    "XX": {"inputs": "disk"},
    "RR-AE": {},
    "CR-CCA": {},
    "MMVAE": {"samples": 2},
    "Supervised": {},
    "SwAV": {"prototypes": 4, "queue": 0, "width": 4},
    "PCRL": {"queue": 8, "width": 4},
    "RR": {"backbone": "mmssl.models.densenet:DenseNetEncoder", "width": 4},
}
"""Objectives with what their small runs need."""


def called_files(call):
    """Files of ours, by their dotted names, of which a call calls a
    function.
    """
    called = set()

    def note(frame, event, _):
        """Keep the file of each function of Python's that is entered."""
        code = frame.f_code
        if event == "call" and code.co_name != "<module>":
            called.add(code.co_filename)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    names = set()
    for file in map(Path, called):
        if file.is_relative_to(ROOT / "mmssl") and file.stem != "__init__":
            parts = file.relative_to(ROOT).with_suffix("").parts
            names.add(".".join(parts))
    return names


@pytest.mark.filterwarnings("ignore:CCA over 4 rows")
@pytest.mark.parametrize("objective", RUNS)
def test_a_run_records_all_that_it_calls_and_no_other_term(
    make_cohort, tmp_path, objective
):
    cohort = make_cohort(tmp_path / "cohort", groups=("HC", "AD"))
    run = tmp_path / "run"
    asked = SMALL_RUN | RUNS[objective]
    called = called_files(lambda: fit(cohort, objective, run, **asked))
    assert {"mmssl.pretrain.loop", "mmssl.cohorts.cohort"} <= called
    code = json.loads((run / "params.json").read_text())["code"]
    assert called <= set(code)
    own = {TERMS[word].__module__ for word in parse(objective)}
    others = {term.__module__ for term in TERMS.values()} - own
    assert own <= called and not others & set(code)


def test_networks_that_only_other_objectives_have_do_not_count(
    make_cohort, tmp_path
):
    cohort = make_cohort(tmp_path / "cohort")
    heads, unet = "mmssl.models.heads", "mmssl.models.unet"
    found = {}
    for objective in ("CR", "AE"):
        fit(cohort, objective, tmp_path / objective, **SMALL_RUN)
        text = (tmp_path / objective / "params.json").read_text()
        found[objective] = {heads, unet} & set(json.loads(text)["code"])
    assert found == {"CR": {heads}, "AE": set()}
