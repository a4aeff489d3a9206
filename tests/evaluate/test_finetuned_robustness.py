"""The table of deviations against its numbers one by one: quantiles of ratios,
means in probability, paired with training from scratch.
"""

import numpy as np
import pytest
from scipy import stats

from mmssl.evaluate.finetune import Target
from mmssl.evaluate.finetuned_robustness import (
    QUANTILES,
    deviation_table,
    person_deviations,
)
from mmssl.evaluate.finetuned_runs import SCRATCH, FineTuned
from mmssl.evaluate.label_efficiency import efficiency_table
from mmssl.evaluate.probability_deviation import KINDS

PEOPLE, PLACES, TRANSFORMS = 14, np.array([1, 4, 5, 8, 13]), 6


def fits_of(sizes, seeds=(3, 8), name="lesion", same=False):
    """Fits of starts of which the relative deviations are of these sizes."""
    rng = np.random.default_rng(0)
    labels = np.arange(100 + PEOPLE) % 2
    outputs, deviations = {}, {}
    shape = (len(KINDS), len(PLACES), TRANSFORMS)
    for start, size in sizes.items():
        rng = np.random.default_rng(0) if same else rng
        for ratio in (0.1, 0.5):
            for seed in seeds:
                logits = rng.normal(size=(PEOPLE, 2))
                outputs[start, ratio, seed] = logits.astype(np.float32)
        for seed in seeds:
            relative = size * rng.normal(size=shape)
            deviations[start, 0.5, seed] = relative.astype(np.float32)
    return FineTuned(
        Target(name, labels, ("none", "there")),
        np.arange(100, 100 + PEOPLE),
        outputs,
        {0.1: 7, 0.5: 35},
        {},
        {"tested": PEOPLE},
        PLACES,
        deviations,
    )


def in_probability(fits, start, seed, kind):
    """|p' - p| of each person, a mean over transforms."""
    means = []
    for number, place in enumerate(PLACES):
        none, there = fits.outputs[start, 0.5, seed][place].astype(float)
        p = np.exp(there) / (np.exp(none) + np.exp(there))
        relative = fits.deviations[start, 0.5, seed]
        ratios = relative[KINDS.index(kind), number].tolist()
        means.append(sum(abs(p * r) for r in ratios) / len(ratios))
    return np.array(means)


def test_each_line_is_its_numbers_one_by_one():
    fits = fits_of({SCRATCH: 1.0, "A": 0.2, "B": 3.0})
    table = deviation_table([fits], resamples=200)
    assert len(table) == 9
    assert table.attrs["proof"] == {"tested": PEOPLE}
    for line in table.to_dict("records"):
        start, kind = line["model"], line["kind"]
        assert line["baseline"] == (start == SCRATCH)
        assert (line["task"], line["ratio"]) == ("lesion", 0.5)
        counts = ("labelled", "people", "transforms", "seeds")
        assert [line[c] for c in counts] == [35, 5, 6, 2]
        ratios = []
        for seed in (3, 8):
            found = fits.deviations[start, 0.5, seed]
            ratios += found[KINDS.index(kind)].flatten().tolist()
        assert line["least"] == min(ratios)
        assert line["largest"] == max(ratios)
        for column, share in QUANTILES.items():
            expected = np.percentile(ratios, 100 * share)
            assert line[column] == pytest.approx(expected)
        sizes = [abs(r) for r in ratios]
        assert line["relative"] == pytest.approx(np.median(sizes))
        assert line["relative_q1"] == pytest.approx(np.percentile(sizes, 25))
        assert line["relative_q3"] == pytest.approx(np.percentile(sizes, 75))
        each = [in_probability(fits, start, s, kind) for s in (3, 8)]
        means = np.mean(each, 1)
        assert line["value"] == pytest.approx(means.mean())
        assert line["sd"] == pytest.approx(np.std(means, ddof=1))
        assert line["low"] < line["value"] < line["high"]
        if start != SCRATCH:
            beside = [in_probability(fits, SCRATCH, s, kind) for s in (3, 8)]
            gain = means.mean() - np.mean(beside)
            assert line["difference"] == pytest.approx(gain)
            inside = line["difference_low"] < 0 < line["difference_high"]
            assert inside == (line["p"] > 0.05)


def test_one_training_is_a_paired_t_over_people_and_has_no_p():
    fits = fits_of({SCRATCH: 1.0, "A": 0.2}, seeds=(3,))
    table = deviation_table([fits], resamples=100)
    for kind in KINDS:
        line = table[(table["kind"] == kind) & ~table["baseline"]].iloc[0]
        test = stats.ttest_rel(
            in_probability(fits, "A", 3, kind),
            in_probability(fits, SCRATCH, 3, kind),
        )
        limits = test.confidence_interval()
        assert line["difference_low"] == pytest.approx(limits.low)
        assert line["difference_high"] == pytest.approx(limits.high)
        assert np.isnan(line["p"]) and np.isnan(line["sd"])


def test_p_is_corrected_over_kinds_models_and_tasks():
    fits = [
        fits_of({SCRATCH: 1.0, "A": 0.2, "B": 0.7}, name=name)
        for name in ("lesion", "other")
    ]
    table = deviation_table(fits, resamples=100)
    compared = table[~table["baseline"]]
    assert len(compared) == 12
    p = compared["p"].to_numpy()
    order = np.argsort(p, kind="stable")
    largest = 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (12 - place) * p[number]))
        found = compared["p_corrected"].iloc[number]
        assert found == pytest.approx(largest)
    nothing = ["difference", "difference_low", "difference_high", "p"]
    assert table.loc[table["baseline"], nothing].isna().all(axis=None)
    assert table.loc[table["baseline"], "p_corrected"].isna().all()


def test_equal_networks_deviate_equally():
    fits = fits_of({SCRATCH: 1.0, "A": 1.0}, same=True)
    table = deviation_table([fits], resamples=100)
    compared = table[~table["baseline"]]
    columns = ["difference", "difference_low", "difference_high"]
    assert (compared[columns] == 0).all(axis=None)
    assert (compared["p"] == 1).all()


def test_fits_without_deviations_take_no_part():
    fits = fits_of({SCRATCH: 1.0, "A": 0.2})
    without = FineTuned(fits.target, fits.rows, fits.outputs, {0.5: 35}, {})
    table = deviation_table([without, fits], resamples=100)
    assert len(table) == 6
    # both are in the table of AUCs
    assert len(efficiency_table([without, fits], resamples=100)) == 6
    with pytest.raises(ValueError, match="none of 1 fits has any"):
        deviation_table([without])


def test_each_person_is_a_mean_over_transforms():
    fits = fits_of({SCRATCH: 1.0, "A": 0.2})
    table = person_deviations([fits])
    assert len(table) == 2 * len(KINDS) * 2 * len(PLACES)
    for (start, kind, seed), own in table.groupby(["model", "kind", "seed"]):
        expected = in_probability(fits, start, (3, 8)[seed], kind)
        assert own["person"].tolist() == PLACES.tolist()
        np.testing.assert_allclose(own["moved"], expected, rtol=1e-5)
