"""The tables that pages show are those of the scripts that make them."""

import subprocess
import sys

import pandas as pd
import pytest
import registrations
import training_choices

from mmssl.ledger import paths
from mmssl.ledger.hashes import hash_file
from mmssl.ledger.sidecars import read_sidecar


@pytest.mark.parametrize("name", ["training_choices", "registrations"])
def test_a_table_is_the_one_its_sidecar_speaks_of(name):
    file = paths.project(f"book/{name}.tsv")
    assert read_sidecar(file)["content"] == hash_file(file)


def test_every_choice_was_trained_on_every_cohort():
    file = paths.project("book/training_choices.tsv")
    table = pd.read_csv(file, sep="\t")
    seeds = set(read_sidecar(file)["parameters"]["seeds"])
    assert len(seeds) >= 5
    auc = table[table["quantity"] == "diagnosis, AUC"]
    for (objective, choice), lines in auc.groupby(["objective", "choice"]):
        if choice != "baseline":
            assert (objective, choice) in training_choices.CHOICES
        assert set(lines["seed"]) == seeds
        assert len(lines) == 2 * len(seeds)
    trained = set(zip(auc["objective"], auc["choice"], strict=True))
    assert trained >= set(training_choices.CHOICES)


def test_displacements_are_what_they_are_called(rng):
    for kind in registrations.KINDS:
        matrix = registrations.displacement(kind, rng)
        centre = [*registrations.template.CENTRE, 1]
        moved = (matrix @ centre)[:3] - centre[:3]
        scale = abs(pd.Series(matrix[:3, 0]).pow(2).sum() ** 0.5 - 1)
        if kind in ("turned", "scaled"):
            assert abs(moved).max() < 1e-9
        if kind == "shifted":
            assert 6 <= (moved**2).sum() ** 0.5 <= 40
        assert (scale > 0.1) == (kind == "scaled") or kind == "all of it"


@pytest.mark.slow
def test_a_person_is_found_and_told_from_one_displaced(tmp_path):
    output = tmp_path / "registrations.tsv"
    script = registrations.__file__
    arguments = ["--seeds", "77", "--people", "1", "--output", str(output)]
    subprocess.run([sys.executable, script, *arguments], check=True)
    table = pd.read_csv(output, sep="\t").set_index("case")
    assert list(table.index) == ["found", *registrations.KINDS[::2]]
    assert table.loc["found", "error"] < 1
    assert table.loc["found", "status"] == "registered"
    assert (table["error"].drop("found") > 2).all()
