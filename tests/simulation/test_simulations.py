"""The statistics keep their promises in simulated worlds: a few of them, and all (slow)."""

import pytest
import simulations
from scipy.stats import binomtest

SMALL = {
    simulations.auc_coverage: {"worlds": 60, "resamples": 200},
    simulations.difference_coverage: {"worlds": 60, "resamples": 200},
    simulations.population_gap: {"worlds": 40},
    simulations.repeated_splits: {"worlds": 80},
    simulations.calibration_line: {"worlds": 40, "resamples": 200},
    simulations.covariate_in_noise: {"worlds": 6},
    simulations.false_voxels: {"worlds": 40, "permutations": 99, "side": 8},
    simulations.covariate_behind_groups: {"worlds": 40, "permutations": 99},
    simulations.scans_across_folds: {"worlds": 20},
}


def broken(table):
    """Return the lines whose claim the worlds contradict."""
    return table[table["holds"].eq(False)]


@pytest.mark.parametrize("run", SMALL, ids=lambda run: run.__name__)
def test_no_claim_is_contradicted_by_a_few_worlds(run):
    table = run(**SMALL[run])
    assert broken(table).empty, broken(table).to_string()
    assert ((table["low"] <= table["share"]) & (table["share"] <= table["high"])).all()


def test_every_simulation_is_run_at_both_sizes():
    assert list(SMALL) == list(simulations.SIMULATIONS)


def test_seeds_are_fixed():
    first, again = (simulations.repeated_splits(10) for _ in range(2))
    assert first.equals(again)


def test_a_method_that_breaks_its_promise_is_caught():
    covered = [True] * 85 + [False] * 15
    kept = simulations.line("s", "t", "m", covered, 0.95, claim="at least")
    limits = binomtest(85, 100).proportion_ci(0.99, "exact")
    assert (kept["low"], kept["high"]) == (limits.low, limits.high) and not kept["holds"]
    assert simulations.line("s", "t", "m", covered, 0.90, claim="at least")["holds"]
    assert not simulations.line("s", "t", "m", covered, 0.05, claim="at most")["holds"]


def test_a_scan_wise_split_invents_an_auc_and_a_person_wise_one_does_not():
    table = simulations.scans_across_folds(20).set_index("method")
    assert table.loc["split by scan", "mean_auc"] > 0.95
    assert abs(table.loc["split by person", "mean_auc"] - 0.5) < 0.08


@pytest.mark.slow
def test_every_claim_holds_at_full_size():
    table = simulations.everything()
    assert broken(table).empty, broken(table).to_string()
    # what the pages say of the alternatives
    by = table.set_index(["simulation", "method"])
    uncorrected = by.loc[("a false voxel anywhere", "uncorrected"), "low"]
    naive = by.loc[("repeated cross-validation, no difference", "splits as if independent"), "low"]
    assert uncorrected.item() > 0.5 and naive.item() > 0.1
