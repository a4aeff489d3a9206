"""Sanity checks: an encoder that responds where the groups differ passes, one
that learned nothing fails.
"""

import numpy as np
import pandas as pd
import pytest
from checked_case import KEY, SHAPE
from scipy.stats import binomtest, norm, rankdata

from mmssl import plotting
from mmssl.groupmaps.mann_whitney import rank_biserial
from mmssl.ledger.artefacts import (
    CHECKS,
    KEYS,
    POSITIVE_CONTROL,
    UNTRAINED,
    CheckResult,
    SanityReport,
    map_hash,
)
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.saliency import dimensions, sanity_checks


def _reports(case):
    measured = case.measured
    return sanity_checks.sanity_reports(
        case.maps, measured.randomisation, measured.null_maps, measured.areas
    )


def _answers(report):
    return {check: r.answer for check, r in report.results.items()}


def test_an_encoder_of_the_region_passes_and_an_untrained_one_does_not(case):
    picks = case.picks.set_index(list(KEYS))
    assert picks.loc[KEY, "dimension"] == 0
    assert (np.abs(case.maps[KEY][0][case.region]) > 0.5).all()
    reports = _reports(case)
    assert list(_answers(reports[KEY]).values()) == ["yes"] * 4
    assert str(reports[KEY]) == "checks: 4 of 4"
    for sign in dimensions.SIGNS:
        answers = _answers(reports["untrained", "T1", sign])
        # among 19 of its kind it is the strongest once in 20 times, whatever
        # it responds to
        assert answers["labels"] == "no", answers
        assert answers["deletion"] == "no", answers


def test_the_tables_hold_answers_and_reasons(case):
    reports = _reports(case)
    table = sanity_checks.report_table(reports)
    assert len(table) == 4
    assert table.loc[0, list(CHECKS)].tolist() == ["yes"] * 4
    reasons = sanity_checks.reason_table(reports)
    assert len(reasons) == 16
    first = reasons.set_index([*KEYS, "check"]).loc[(*KEY, "deletion")]
    assert tuple(first) == reports[KEY].results["deletion"]
    exempt = SanityReport("", {}, UNTRAINED)
    assert sanity_checks.reason_table({KEY: exempt}).empty
    line = sanity_checks.report_table({KEY: exempt}).loc[0]
    assert line[list(CHECKS)].tolist() == ["–"] * 4


def test_the_figures_show_each_map_among_its_null_maps(case):
    table = case.measured.null_maps
    figure = plotting.null_maps(table)
    marks = []
    for line in figure.axes[0].lines:
        if line.get_marker() in "os":
            marks.append(float(line.get_ydata()[0]))
    strengths = table.drop_duplicates([*KEYS, "check"])
    is_trained = strengths["source"] == "trained"
    assert sorted(marks) == sorted(strengths[is_trained]["map_strength"])


def test_the_figure_of_deletion_draws_the_curve_of_the_map(case):
    curves = case.measured.curves
    figure = plotting.deletion_curves(curves, case.measured.areas)
    drawn = figure.axes[0].lines[0].get_ydata()
    is_key = (curves[list(KEYS)] == list(KEY)).all(axis=1)
    assert np.array_equal(drawn, curves[is_key]["map"])


def test_the_figure_of_randomisation_draws_every_map(case):
    table = case.measured.randomisation
    figure = plotting.group_randomisation(table)
    drawn = figure.axes[0].lines[0].get_ydata()
    is_key = (table[list(KEYS)] == list(KEY)).all(axis=1)
    assert np.array_equal(drawn, table[is_key]["correlation"])
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["trained", "untrained"]


def test_where_labels_mean_nothing_the_choice_is_one_more_permuted_draw(
    rng, monkeypatch
):
    """With training labels drawn at random the true choice is exchangeable
    with the null maps: ranks are uniform.
    """
    z = {"T1": rng.normal(size=(40, 12)).astype("f4")}
    fit = dimensions.fit_probes(
        {"model": z}, np.arange(40) % 2, np.arange(40), trials=1, folds=2
    )["model"]
    strengths = rng.uniform(size=12)

    def strength_of_picks(encoders, volumes, labels, picks, mask, **options):
        return strengths[picks["dimension"]][:, None]

    monkeypatch.setattr(dimensions, "group_differences", strength_of_picks)
    ranks, p = [], []
    for world in range(150):
        labels = rng.permutation(np.arange(40) % 2)
        probe = sanity_checks.refitted(fit["T1"], z["T1"], labels)
        chosen, _ = dimensions.extreme_coefficients(probe)
        strength = strengths[chosen]
        null_maps = sanity_checks.permuted_label_maps(
            {}, fit, z, labels, {}, None, None, 9, seed=world
        )
        null_strengths = null_maps["T1", "positive"][:, 0]
        assert null_strengths.shape == (9,)
        rank = rankdata([strength, *null_strengths])[0]
        ranks.append((rank - 0.5) / 10)
        p.append((1 + (null_strengths >= strength).sum()) / 10)
    error = np.std(ranks) / len(ranks) ** 0.5
    assert abs(np.mean(ranks) - 0.5) < norm.ppf(0.9995) * error
    hits = int((np.array(p) <= 0.1).sum())
    assert binomtest(hits, len(p), 0.1, alternative="greater").pvalue > 0.001


def test_permuted_labels_refit_the_probe_at_its_penalty(case):
    fit, z = case.fits["trained"]["T1"], case.z["trained"]["T1"]
    again = sanity_checks.refitted(fit, z, case.learned_labels)
    assert np.allclose(again[-1].coef_, fit.pipeline[-1].coef_, atol=1e-6)
    assert again is not fit.pipeline
    assert again[-1].C == fit.parameters["C"]


def _two_picks(beta):
    return pd.DataFrame(
        {
            "source": "a",
            "modality": ["T1", "T1"],
            "sign": list(dimensions.SIGNS),
            "beta": beta,
        }
    )


def test_maps_and_null_maps_are_compared_by_correlation_and_strength(rng):
    rbc, null = rng.uniform(-1, 1, (2, 9)), rng.uniform(-1, 1, (4, 9))
    null_maps = {("T1", "positive"): null, ("T1", "negative"): null[:3]}
    table = sanity_checks.compare_with_null_maps(
        rbc, _two_picks([0.3, -0.2]), null_maps, "labels"
    )
    assert table["sign"].tolist() == ["positive"] * 4 + ["negative"] * 3
    for line in table.itertuples():
        effect = rbc[0 if line.sign == "positive" else 1]
        drawn = null[line.draw]
        expected = np.corrcoef(effect, drawn)[0, 1]
        assert line.correlation == pytest.approx(expected)
        assert line.map_strength == np.abs(effect).max()
        assert line.null_strength == np.abs(drawn).max()


def test_maps_are_compared_in_half_of_each_group():
    labels = np.array([0] * 11 + [1] * 7)
    rows = sanity_checks.balanced_rows(labels, 10)
    assert np.bincount(labels[rows]).tolist() == [5, 5]
    rows = sanity_checks.balanced_rows(labels, 99)
    assert np.bincount(labels[rows]).tolist() == [7, 7]
    assert np.array_equal(sanity_checks.balanced_rows(labels), np.arange(18))


def _measured(
    r=0.1, alike=0.1, stronger=0, draws=19, low=0.01, intact=0.6, p=0.01
):
    """One map, and tables in which every check can be passed."""
    key = dict(zip(KEYS, KEY, strict=True))
    volume = np.full(SHAPE, 0.4, "f4")
    maps = {KEY: (volume, np.full(SHAPE, p))}
    randomisation = pd.DataFrame(
        [
            {**key, "layers": 0, "correlation": 1.0},
            {**key, "layers": 3, "correlation": r},
        ]
    )
    null_maps = []
    for check in ("labels", "random encoder"):
        for draw in range(draws):
            numbers = {
                "check": check,
                "correlation": -alike,
                "map_strength": 0.5,
                "null_strength": 0.5 if draw < stronger else 0.4,
            }
            null_maps.append({**key, **numbers})
    numbers = {
        "intact": 0.7,
        "intact_low": intact,
        "area": 0.02,
        "low": low,
        "high": 0.1,
    }
    areas = pd.DataFrame([{**key, **numbers}])
    return maps, randomisation, pd.DataFrame(null_maps), areas


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({}, "yes yes yes yes"),
        ({"r": -0.5}, "no yes yes yes"),
        ({"r": -0.49}, "yes yes yes yes"),
        ({"r": np.nan}, "undecided yes yes yes"),
        ({"p": 0.05}, "undecided yes yes yes"),
        ({"alike": 0.5}, "yes no no yes"),
        # as strong is strong enough: p = .1
        ({"stronger": 1}, "yes no no yes"),
        ({"draws": 39, "stronger": 1}, "yes yes yes yes"),  # p = 2 / 40
        ({"draws": 18}, "yes undecided undecided yes"),
        ({"alike": np.nan}, "yes undecided undecided yes"),
        ({"low": 0.0}, "yes yes yes no"),
        ({"intact": 0.5}, "yes yes yes undecided"),
    ],
)
def test_each_check_answers_by_its_threshold(numbers, expected):
    measured = _measured(**numbers)
    report = sanity_checks.sanity_reports(*measured)[KEY]
    answers = expected.split()
    assert list(_answers(report).values()) == answers
    passed = answers.count("yes")
    assert str(report).startswith(f"checks: {passed} of 4")
    assert ("no: " in str(report)) == ("no" in answers)
    assert ("undecided: " in str(report)) == ("undecided" in answers)
    report.check_map(measured[0][KEY][0])


def test_a_report_belongs_to_one_map_and_needs_all_checks():
    report = sanity_checks.sanity_reports(*_measured())[KEY]
    with pytest.raises(ValueError, match="is of another map"):
        report.check_map(np.full(SHAPE, 0.41))
    assert set(report.record()["checks"]) == set(CHECKS)
    for results, exemption in (
        ({}, ""),
        ({}, "no need"),
        ({"weights": CheckResult("yes", "")}, ""),
    ):
        with pytest.raises(ValueError, match="a report on"):
            SanityReport(map_hash(np.ones(SHAPE)), results, exemption)
    maps, randomisation, null_maps, areas = _measured()
    of_labels = null_maps[null_maps["check"] == "labels"]
    with pytest.raises(
        ValueError, match="expected labels, random encoder and one deletion"
    ):
        sanity_checks.sanity_reports(maps, randomisation, of_labels, areas)
    with pytest.raises(ValueError, match="0 deletions"):
        sanity_checks.sanity_reports(maps, randomisation, null_maps, areas[:0])


def test_the_positive_control_is_the_images(tiny_phantom):
    rows = np.arange(len(tiny_phantom))
    rows = rows[tiny_phantom.labels() >= 0]
    landmarks = fit_landmarks(tiny_phantom, 0)
    maps, reports = sanity_checks.positive_control(
        tiny_phantom, landmarks, rows, 19
    )
    images = standardised(tiny_phantom, landmarks, rows=rows)
    group = tiny_phantom.labels()[rows] == 1
    for m, x in images.items():
        key = ("voxels", m, "voxels")
        values = x[:, 0][:, tiny_phantom.mask]
        expected = rank_biserial(values[group], values[~group]).rbc
        rbc, _ = maps[key]
        assert np.allclose(rbc[tiny_phantom.mask], expected, atol=1e-6)
        assert str(reports[key]) == POSITIVE_CONTROL
        reports[key].check_map(rbc)


def test_only_an_untrained_encoder_is_exempt(case):
    untrained = case.encoders["untrained"]
    reports = sanity_checks.untrained_reports(
        "untrained", case.maps, untrained, case.trained, 0
    )
    assert len(reports) == 2
    assert {str(report) for report in reports.values()} == {UNTRAINED}
    for encoders, seed in ((case.trained, 0), (untrained, 1)):
        with pytest.raises(ValueError, match="is checked, not exempt"):
            sanity_checks.untrained_reports(
                "untrained", case.maps, encoders, case.trained, seed
            )


def test_a_dimension_that_no_coefficient_chose_is_undecided(rng):
    rbc, null = rng.uniform(-1, 1, (2, 9)), rng.uniform(-0.1, 0.1, (19, 9))
    picks = _two_picks([0.3, 0.0])
    assert dimensions.lacks_coefficient(picks).tolist() == [False, True]
    null_maps = {("T1", sign): null for sign in dimensions.SIGNS}
    table = sanity_checks.compare_with_null_maps(
        rbc, picks, null_maps, "labels"
    )
    for sign, expected in (("positive", "yes"), ("negative", "undecided")):
        draws = table[table["sign"] == sign]
        assert sanity_checks._check_null_maps(draws, 0.05).answer == expected


def test_bad_input_is_named(case, rng):
    picks = case.picks[case.picks["source"] == "trained"]
    rbc = []
    for key, (effect, _) in case.maps.items():
        if key[0] == "trained":
            rbc.append(effect[case.mask])
    rbc = np.stack(rbc)
    null_maps = {}
    for m, sign in picks[["modality", "sign"]].itertuples(index=False):
        null_maps[m, sign] = rng.normal(size=(3, rbc.shape[1]))
    holed = rbc.copy()
    holed[1, 4] = np.nan

    def compare(rbc):
        sanity_checks.compare_with_null_maps(rbc, picks, null_maps, "labels")

    with pytest.raises(ValueError, match="1 values not finite"):
        compare(holed)
    with pytest.raises(ValueError, match=r"expected finite \(2, voxels\)"):
        compare(rbc[:1])
    with pytest.raises(ValueError, match="null maps .*expected .draws"):
        compare(rbc[:, 1:])
    with pytest.raises(ValueError, match="expected two"):
        sanity_checks.balanced_rows(np.ones(20), 8)
