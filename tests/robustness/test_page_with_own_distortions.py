"""Notebook 08 with a user's distortions beside the fifteen panels."""

import pandas as pd
import pytest
from page_in_process import LEAST, empty_project, run_page, text_of

from mmssl import robustness
from mmssl.cohorts.simulated.phantom import make_phantom
from mmssl.ledger.sidecars import read_sidecar
from mmssl.pretrain import fit

OWN = "own_distortion:Stripes"
LEAST_RUN = {"epochs": 1, "batch_size": 8, "width": 2, "latent": 4}


@pytest.mark.slow
def test_the_page_says_what_is_the_papers_and_what_is_your_own(
    tmp_path, monkeypatch
):
    people = make_phantom(tmp_path / "cohort", subjects=60, size=32, seed=0)
    fit(people, "RR", tmp_path / "runs" / "RR", progress=False, **LEAST_RUN)
    shown = empty_project(tmp_path, monkeypatch)
    values = {"cohort": "cohort", "runs": "runs", **LEAST["08_robustness"]}

    run_page("08_robustness", values | {"output": "nine"}, shown)
    text = " ".join(map(text_of, shown))
    assert "30 of the paper's 163 points (one" in text
    assert "over fifteen panels" in text and "Stripes" not in text
    recorded = read_sidecar(tmp_path / "nine" / "robustness_areas.tsv")
    assert recorded["parameters"]["own"] == {}

    shown.clear()
    values |= {"own": f" {OWN},", "output": "own"}
    run_page("08_robustness", values, shown)
    text = " ".join(map(text_of, shown))
    expected = "30 of the paper's 163 points and 4 points of your own (one"
    assert expected in text and "over 17 panels" in text
    assert "Stripes: width (mm)" in text and "Stripes\nshare" in text
    file = tmp_path / "own" / "robustness_areas.tsv"
    panels = pd.read_csv(file, sep="\t")["panel"].unique().tolist()
    assert panels[15:17] == [f"{OWN} width", f"{OWN} share"]
    recorded = read_sidecar(file)["parameters"]["own"]
    assert recorded == robustness.own_code([OWN])
