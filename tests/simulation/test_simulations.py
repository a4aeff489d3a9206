"""The statistics keep their nominal rates in simulated worlds: a few of them,
and all (slow).
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulations
import worlds
from scipy.stats import binomtest

from mmssl.ledger import paths, sidecars
from mmssl.ledger.code import fingerprint
from mmssl.ledger.hashes import hash_file
from mmssl.ledger.sidecars import read_sidecar

TABLE = paths.project("book/simulations.tsv")
SMALL = {
    simulations.auc_coverage: {"worlds": 60, "resamples": 200},
    simulations.difference_coverage: {"worlds": 60},
    simulations.population_gap: {"worlds": 40},
    simulations.calibration_line: {"worlds": 40, "resamples": 200},
    simulations.covariate_in_noise: {"worlds": 6},
    simulations.false_voxels: {"worlds": 40, "permutations": 99, "side": 7},
    simulations.covariate_behind_groups: {"worlds": 40, "permutations": 99},
    simulations.scans_across_folds: {"worlds": 20},
    simulations.coupling_difference: {
        "worlds": 30,
        "permutations": 19,
        "dimensions": 8,
    },
    simulations.claim_verdicts: {"worlds": 10, "sizes": (67, 1000)},
}


def contradicted(table):
    """Return the lines whose nominal rate the worlds contradict."""
    return table[table["holds"].eq(False)]


@pytest.mark.parametrize("run", SMALL, ids=lambda run: run.__name__)
def test_no_claim_is_contradicted_by_a_few_worlds(run):
    table = run(**SMALL[run])
    assert contradicted(table).empty, contradicted(table).to_string()
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()


def test_every_simulation_is_run_at_both_sizes():
    assert list(SMALL) == list(simulations.SIMULATIONS)


def test_seeds_are_fixed_and_who_draws_a_world_does_not_matter(monkeypatch):
    first = simulations.scans_across_folds(6)
    monkeypatch.setattr(worlds, "JOBS", 2)
    assert first.equals(simulations.scans_across_folds(6))


def test_a_method_that_misses_its_nominal_rate_is_caught():
    covered = [True] * 85 + [False] * 15

    def holds(rate, claim):
        return worlds.line("s", "t", "m", covered, rate, claim=claim)["holds"]

    line = worlds.line("s", "t", "m", covered, 0.95, claim="at least")
    limits = binomtest(85, 100).proportion_ci(0.99, "exact")
    assert (line["low"], line["high"]) == (limits.low, limits.high)
    assert not line["holds"]
    assert holds(0.90, "at least")
    assert not holds(0.05, "at most")
    exactly = [holds(rate, "exactly") for rate in (0.5, 0.8, 0.9, 0.99)]
    assert exactly == [False, True, True, False]
    assert holds(0.99, "") is None


def test_a_scan_wise_split_invents_an_auc_and_a_person_wise_one_does_not():
    table = simulations.scans_across_folds(20).set_index("method")
    assert table.loc["split by scan", "mean_auc"] > 0.95
    assert abs(table.loc["split by person", "mean_auc"] - 0.5) < 0.08


def test_a_simulation_is_run_anew_only_if_its_code_or_size_has_changed(
    tmp_path, monkeypatch
):
    file = Path(__file__).with_name("run.py")
    spec = importlib.util.spec_from_file_location("run_simulations", file)
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    simulation = simulations.scans_across_folds
    runs = []

    def recorded(number):
        runs.append(number)
        return simulation(number)

    recorded.__module__ = simulation.__module__
    path = command.simulate(recorded, 20, 0.1, tmp_path)
    assert command.simulate(recorded, 20, 0.1, tmp_path) == path
    assert runs == [20]
    command.simulate(recorded, 21, 0.2, tmp_path)
    assert runs == [20, 21]
    record = read_sidecar(path)
    assert record["seed"] == worlds.SEED
    assert set(record["inputs"]) == {"representations", "worlds"}
    assert "mmssl.stats.auc" in record["code"]
    assert "mmssl.groupmaps.mann_whitney" not in record["code"]
    changed_code = fingerprint("mmssl.stats") | {"mmssl.stats.auc": "0" * 64}
    monkeypatch.setattr(sidecars, "fingerprint", lambda *_, **__: changed_code)
    command.simulate(recorded, 21, 0.2, tmp_path)
    assert runs == [20, 21, 21]


@pytest.mark.skipif(not TABLE.is_file(), reason="make simulations writes it")
def test_the_table_of_the_book_is_of_full_size_and_has_every_line():
    table = pd.read_csv(TABLE, sep="\t")
    record = read_sidecar(TABLE)
    assert record["parameters"] == {"share": 1.0}
    assert record["seed"] == worlds.SEED
    assert record["content"] == hash_file(TABLE)
    assert set(simulations.SIMULATIONS.values()) <= set(table["worlds"])
    assert contradicted(table).empty, contradicted(table).to_string()
    names = set(table["simulation"])
    assert {
        "a false voxel anywhere",
        "a coupling difference where there is none",
        "power for a population gap",
        "interval of an AUC",
        "right verdict on a claim",
    } <= names
    limits = [
        binomtest(round(share * n), n).proportion_ci(0.99, "exact")
        for share, n in zip(table["share"], table["worlds"], strict=True)
    ]
    assert np.allclose(table[["low", "high"]], limits, atol=1e-5)


@pytest.mark.slow
def test_every_nominal_rate_holds_at_full_size(monkeypatch):
    # half an hour on one core
    monkeypatch.setattr(worlds, "JOBS", 2)
    tables = [run(number) for run, number in simulations.sizes().items()]
    table = pd.concat(tables)
    assert contradicted(table).empty, contradicted(table).to_string()
    # what the pages say of the alternatives
    by_method = table.set_index(["simulation", "method"])
    for alternative in (
        ("a false voxel anywhere", "uncorrected"),
        ("a false voxel with a covariate", "labels permuted"),
    ):
        assert by_method.loc[alternative, "low"].item() > 0.1, alternative
