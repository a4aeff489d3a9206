"""The saliency court: it upholds an encoder that looks where it should and
none that does not.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from scipy.stats import binomtest, norm, rankdata
from sklearn.metrics import roc_auc_score
from torch import nn

from mmssl import plotting
from mmssl.groupmaps.clusters import to_volume
from mmssl.groupmaps.mann_whitney import rank_biserial
from mmssl.ledger.artefacts import (
    CONTROL,
    UNTRAINED,
    KEYS,
    TESTS,
    Ruling,
    Verdict,
    stamp,
)
from mmssl.models.dcgan import Features
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.saliency import deletion_curves, dimensions, sanity_checks
from mmssl.saliency.parameter_randomisation import randomised

SHAPE, LATENT = (7, 8, 9), 40
KEY = ("looks", "T1", "positive")


class Toy(nn.Module):
    """z of two layers with a soft rectifier between: its gradient depends on
    who is looked at.
    """

    def __init__(self, seed=0):
        super().__init__()
        self.first, self.last = (
            nn.Linear(int(np.prod(SHAPE)), 60),
            nn.Linear(60, LATENT),
        )
        torch.manual_seed(seed)
        for layer in (self.first, self.last):
            layer.reset_parameters()

    def forward(self, x):
        return Features(
            self.last(nn.functional.softplus(self.first(x.flatten(1)))), x
        )


def _looking(region):
    """A toy whose dimension 0 alone looks into a region, and at nothing
    else.
    """
    toy = Toy(1)
    with torch.no_grad():
        inside = torch.as_tensor(region).flatten()
        toy.first.weight[:, inside] = 0.0
        toy.first.weight[0] = torch.where(inside, 4.0 / inside.sum(), 0.0)
        toy.first.bias[0] = -1.0
        toy.last.weight[0], toy.last.weight[1:, 0] = 0.0, 0.0
        toy.last.weight[0, 0] = 3.0
    return toy.eval()


def _people(rng, n, region, shift):
    labels = np.arange(n) % 3 == 0
    images = rng.normal(size=(n, 1, *SHAPE)).astype("f4")
    images[labels, 0] += shift * region
    return {"T1": images}, labels.astype(int)


@pytest.fixture(scope="module")
def case():
    """People who differ in a region, an encoder that looks there and one that
    learned nothing.
    """
    rng, mask = np.random.default_rng(5), np.ones(SHAPE, dtype=bool)
    mask[0], mask[:, :, 8] = False, False
    region = np.zeros(SHAPE, dtype=bool)
    region[3:5, 2:5, 4:7] = True
    (learned, taught), (seen, labels) = (
        _people(rng, n, region, 0.8) for n in (90, 48)
    )
    looks = {"T1": _looking(region)}
    encoders = {
        "looks": looks,
        "naive": {"T1": randomised(looks["T1"], seed=0).eval()},
    }
    z = {
        s: {"T1": of["T1"](torch.as_tensor(learned["T1"])).z.detach().numpy()}
        for s, of in encoders.items()
    }
    fits = dimensions.fit(z, taught, np.arange(90), trials=2, folds=3)
    how = {"std": 0.05, "scaled": False, "sigma": 0.0, "seed": 0}
    maps, picks = dimensions.compare(
        encoders,
        seen,
        labels,
        dimensions.choose(fits),
        mask,
        199,
        samples=1,
        **how,
    )
    heard = sanity_checks.hear(
        ["looks", "naive"],
        picks,
        encoders,
        fits,
        learned,
        taught,
        seen,
        labels,
        np.arange(48),
        mask,
        naive="naive",
        **how,
    )
    return SimpleNamespace(**{k: v for k, v in locals().items() if k != "rng"})


def test_an_encoder_that_looks_at_the_region_is_upheld_and_an_untrained_one_is_not(
    case,
):
    c = case
    assert c.picks.set_index(list(KEYS)).loc[KEY, "dimension"] == 0
    assert (np.abs(c.maps[KEY][0][c.region]) > 0.5).all()
    verdicts = sanity_checks.judge(
        c.maps, c.heard.cascade, c.heard.rivals, c.heard.areas
    )
    assert [r.answer for r in verdicts[KEY].rulings.values()] == ["yes"] * 4
    assert str(verdicts[KEY]) == "court: 4 of 4"
    for key in (("naive", "T1", sign) for sign in dimensions.SIGNS):
        answers = {t: r.answer for t, r in verdicts[key].rulings.items()}
        # among 19 of its kind it is the strongest once in 20 times, whatever
        # it looks at
        assert answers["labels"] == answers["deletion"] == "no", answers
    table = sanity_checks.table(verdicts)
    assert (
        table.loc[0, list(TESTS)].tolist() == ["yes"] * 4 and len(table) == 4
    )


def _own(case):
    """The pick of the dimension that looks, and everybody's maps of it (n, 1,
    voxels).
    """
    own = case.picks[(case.picks[list(KEYS)] == list(KEY)).all(axis=1)]
    return own, dimensions.subject_maps(
        case.looks, case.seen, own, case.mask, samples=1, **case.how
    )


def test_the_right_encoder_with_its_voxels_in_wrong_places_loses_its_case(
    case,
):
    """The tests are of the map, not of the encoder."""
    c = case
    own, values = _own(c)
    wrong = values[..., np.random.default_rng(0).permutation(values.shape[-1])]
    mean = {"T1": c.learned["T1"].mean(0)}
    _, areas = deletion_curves.deletion(
        c.looks,
        c.fits["looks"],
        c.seen,
        c.labels,
        np.arange(48),
        wrong,
        own,
        c.mask,
        mean,
        progress=False,
    )
    right = c.heard.areas.set_index(list(KEYS)).loc[KEY]
    assert (
        areas["low"][0] < 0 < right["low"]
        and right["area"] > areas["area"][0] + 0.1
    )


# ---- deletion ----------------------------------------------------------------------------------


def test_deletion_equals_a_slow_loop(case):
    c, steps, orders = case, 3, 2
    own, values = _own(c)
    values = values + np.random.default_rng(1).normal(0, 1e-4, values.shape)
    subjects, mean = np.arange(48)[::-1], c.learned["T1"].mean(0)
    curves, areas = deletion_curves.deletion(
        c.looks,
        c.fits["looks"],
        c.seen,
        c.labels,
        subjects,
        values,
        own,
        c.mask,
        {"T1": mean},
        steps=steps,
        orders=orders,
        seed=3,
        progress=False,
    )
    where, fit = np.argwhere(c.mask), c.fits["looks"]["T1"].pipeline

    def auc(people, order, count):
        images = c.seen["T1"][people].copy()
        for person in images:
            for at in order[:count]:
                x, y, z = where[at]
                person[0, x, y, z] = mean[0, x, y, z]
        with torch.no_grad():
            z = c.looks["T1"](torch.as_tensor(images)).z.numpy()
        return roc_auc_score(c.labels[people], fit.decision_function(z))

    def order_of(people):
        patients, controls = (
            values[people][c.labels[people] == k, 0] for k in (1, 0)
        )
        higher = [
            np.mean(np.sign(patients[:, None, v] - controls[None, :, v]))
            for v in range(values.shape[-1])
        ]
        return higher, sorted(
            range(len(higher)), key=lambda v: -abs(higher[v])
        )

    first, second = deletion_curves.halves(c.labels, subjects)
    by_first, by_second = order_of(first), order_of(second)
    sigma = np.mean(
        [
            deletion_curves.smoothness(np.array(m), c.mask)
            for m, _ in (by_first, by_second)
        ]
    )
    blind = [
        deletion_curves.blobs(c.mask, sigma, 3 + i) for i in range(orders)
    ]
    gaps = []
    for step, share in enumerate((0, 1 / 32, 1 / 16, 1 / 8)):
        count, line = round(share * len(where)), curves.iloc[step]
        by_map = (
            auc(first, by_second[1], count) + auc(second, by_first[1], count)
        ) / 2
        by_blobs = np.mean(
            [auc(half, o, count) for half in (first, second) for o in blind]
        )
        assert line["fraction"] == share
        assert line["map"] == pytest.approx(by_map, abs=1e-9)
        assert line["blobs"] == pytest.approx(by_blobs, abs=1e-9)
        gaps.append(by_blobs - by_map)
    assert gaps[0] == pytest.approx(0, abs=1e-12)
    assert areas["area"][0] == pytest.approx(np.mean(gaps[1:]))
    assert areas["intact"][0] == pytest.approx(
        auc(np.arange(48), [], 0), abs=1e-9
    )
    assert areas["low"][0] < areas["area"][0] < areas["high"][0]


def test_nobody_is_deleted_by_a_map_of_himself():
    labels, subjects = (
        np.array([1] * 9 + [0] * 12),
        np.repeat(np.arange(21), 1),
    )
    first, second = deletion_curves.halves(labels, subjects)
    assert sorted([*first, *second]) == list(range(21))
    assert [
        np.bincount(labels[part]).tolist() for part in (first, second)
    ] == [[6, 5], [6, 4]]
    twice = np.repeat(np.arange(20), 2)
    parts = deletion_curves.halves(np.repeat([0, 1], 20), twice)
    assert not set(twice[parts[0]]) & set(twice[parts[1]])
    with pytest.raises(ValueError, match="a group of fewer than 8 people"):
        deletion_curves.halves(np.array([1] * 7 + [0] * 12), np.arange(19))


def test_too_few_people_decide_nothing(case):
    c = case
    own, values = _own(c)
    few = np.r_[
        np.flatnonzero(c.labels)[:7], np.flatnonzero(c.labels == 0)[:9]
    ]
    curves, areas = deletion_curves.deletion(
        c.looks,
        c.fits["looks"],
        {"T1": c.seen["T1"][few]},
        c.labels[few],
        few,
        values[few],
        own,
        c.mask,
        {"T1": c.learned["T1"].mean(0)},
        progress=False,
    )
    assert (
        areas[["area", "low", "high"]].isna().all(axis=None)
        and areas["intact"][0] > 0.5
    )
    assert curves["fraction"].tolist() == [0.0]
    cascade, rivals = (
        t[(t[list(KEYS)] == list(KEY)).all(axis=1)]
        for t in (c.heard.cascade, c.heard.rivals)
    )
    verdict = sanity_checks.judge(c.maps, cascade, rivals, areas)[KEY]
    assert verdict.rulings["deletion"].answer == "undecided"
    figure = plotting.deletion(curves, areas)
    assert (
        "too few people"
        in figure.axes[0].get_legend().get_texts()[0].get_text()
    )


def test_the_figures_show_each_map_among_its_rivals(case):
    c = case
    figure = plotting.rivals(c.heard.rivals)
    marks = [
        line.get_ydata()
        for line in figure.axes[0].lines
        if line.get_marker() in "os"
    ]
    own = c.heard.rivals.drop_duplicates([*KEYS, "test"])
    own = own[own["source"] == "looks"]["own"]
    assert sorted(float(y[0]) for y in marks) == sorted(own)
    figure = plotting.deletion(c.heard.curves, c.heard.areas)
    drawn = figure.axes[0].lines[0].get_ydata()
    mine = c.heard.curves[
        (c.heard.curves[list(KEYS)] == list(KEY)).all(axis=1)
    ]
    assert np.array_equal(drawn, mine["map"])


def test_the_interval_holds_people_and_orders(rng):
    """Losses made of a person's part and an order's part, each of known
    variance.
    """
    inside, p, o = 0, 0.02, 0.03
    for _ in range(400):
        # the last order is the map's
        people, orders = rng.normal(0, p), rng.normal(0, o, 8)
        again = rng.normal(people, p, 300)
        losses = np.concatenate(
            [np.full((7, 1), people), np.tile(again, (7, 1))], axis=1
        )
        blind = (losses + orders[:7, None])[:, None]
        area, low, high = deletion_curves._area(
            blind, np.full((1, 301), orders[7])
        )
        assert area == pytest.approx(people + orders[:7].mean() - orders[7])
        inside += low < 0 < high
    assert binomtest(inside, 400, 0.95).pvalue > 0.001


def test_a_map_of_accidents_does_not_pass_where_nothing_differs(rng):
    """Maps of the very people who are tested would: their labels made the
    order.
    """
    areas = []
    for trial in range(12):
        seen, labels = _people(rng, 48, np.zeros(SHAPE), 0.0)
        picks = pd.DataFrame(
            [dict(zip(KEYS, KEY, strict=True)) | {"dimension": 0}]
        )
        # what the images are by accident
        values = seen["T1"].reshape(48, 1, -1)
        toy, mask = {"T1": Toy(trial)}, np.ones(SHAPE, dtype=bool)
        fit = dimensions.fit(
            {"a": {"T1": rng.normal(size=(30, LATENT)).astype("f4")}},
            np.arange(30) % 2,
            np.arange(30),
            trials=1,
            folds=2,
        )["a"]
        _, area = deletion_curves.deletion(
            toy,
            fit,
            seen,
            labels,
            np.arange(48),
            values,
            picks,
            mask,
            {"T1": np.zeros((1, *SHAPE), "f4")},
            steps=4,
            orders=2,
            resamples=100,
            progress=False,
        )
        areas.append(area["area"][0])
    assert abs(np.mean(areas)) < 3 * np.std(areas) / len(areas) ** 0.5


def test_deleting_everything_leaves_the_mean_image_and_nothing_else(case):
    c, mean = case, case.learned["T1"].mean(0)
    order = np.arange(c.mask.sum())
    gone = deletion_curves.deleted(
        c.seen["T1"], c.mask, order, len(order), mean
    )
    assert (gone[:, :, c.mask] == mean[:, c.mask]).all()
    assert np.array_equal(gone[:, :, ~c.mask], c.seen["T1"][:, :, ~c.mask])
    assert np.array_equal(
        deletion_curves.deleted(c.seen["T1"], c.mask, order, 0, mean),
        c.seen["T1"],
    )


def test_a_persons_score_does_not_depend_on_the_others(case):
    c, mean = case, case.learned["T1"].mean(0)
    order = np.random.default_rng(0).permutation(c.mask.sum())
    fit = c.fits["looks"]["T1"]
    together = deletion_curves.deleted(c.seen["T1"], c.mask, order, 60, mean)
    for i in (0, 7, 47):
        alone = deletion_curves.deleted(
            c.seen["T1"][i : i + 1], c.mask, order, 60, mean
        )
        assert np.array_equal(alone[0], together[i])
        assert deletion_curves.scores(c.looks["T1"], fit, alone)[
            0
        ] == pytest.approx(
            deletion_curves.scores(c.looks["T1"], fit, together)[i], abs=1e-5
        )


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_smoothness_is_that_of_the_gaussian_that_was_used(rng, sigma):
    shape = (29, 31, 33)
    mask = (
        ndimage.distance_transform_edt(
            np.pad(np.ones(shape)[2:-2, 2:-2, 2:-2], 2)
        )
        > 1
    )
    found = [
        deletion_curves.smoothness(
            ndimage.gaussian_filter(rng.normal(size=shape), sigma)[mask], mask
        )
        for _ in range(6)
    ]
    assert np.mean(found) == pytest.approx(sigma, rel=0.08)
    assert deletion_curves.smoothness(rng.normal(size=mask.sum()), mask) < 0.4


def test_blobs_are_a_random_order_that_comes_in_pieces(case):
    order = deletion_curves.blobs(case.mask, 1.5, 1)
    assert np.array_equal(np.sort(order), np.arange(case.mask.sum()))
    assert not np.array_equal(order, deletion_curves.blobs(case.mask, 1.5, 2))

    def pieces(order):
        first = np.isin(np.arange(len(order)), order[: len(order) // 10])
        return ndimage.label(to_volume(first, case.mask))[1]

    scattered = np.random.default_rng(0).permutation(len(order))
    assert 3 * pieces(order) < pieces(scattered)


# ---- rivals ------------------------------------------------------------------------------------


def test_rivals_of_labels_are_exchangeable_with_the_choice_where_labels_mean_nothing(
    rng, monkeypatch
):
    """With training labels drawn at random the choice is one more draw: ranks
    are uniform.
    """
    z = {"T1": rng.normal(size=(40, 12)).astype("f4")}
    fit = dimensions.fit(
        {"row": z}, np.arange(40) % 2, np.arange(40), trials=1, folds=2
    )["row"]
    strengths = rng.uniform(size=12)
    monkeypatch.setattr(
        dimensions,
        "group_differences",
        lambda e, v, g, picks, mask, **o: strengths[picks["dimension"]][
            :, None
        ],
    )
    ranks, p = [], []
    for trial in range(150):
        labels = rng.permutation(np.arange(40) % 2)
        mine = strengths[
            dimensions.extremes(
                sanity_checks.refit(fit["T1"], z["T1"], labels)
            )[0]
        ]
        others = sanity_checks.relabelled(
            {}, fit, z, labels, {}, None, None, 9, seed=trial
        )
        others = others["T1", "positive"][:, 0]
        assert others.shape == (9,)
        ranks.append((rankdata([mine, *others])[0] - 0.5) / 10)
        p.append((1 + (others >= mine).sum()) / 10)
    error = np.std(ranks) / len(ranks) ** 0.5
    assert abs(np.mean(ranks) - 0.5) < norm.ppf(0.9995) * error
    hits = int((np.array(p) <= 0.1).sum())
    assert binomtest(hits, len(p), 0.1, alternative="greater").pvalue > 0.001


def test_permuted_labels_refit_the_probe_at_its_penalty(case):
    fit, z = case.fits["looks"]["T1"], case.z["looks"]["T1"]
    again = sanity_checks.refit(fit, z, case.taught)
    assert np.allclose(again[-1].coef_, fit.pipeline[-1].coef_, atol=1e-6)
    assert again is not fit.pipeline and again[-1].C == fit.parameters["C"]


def test_against_is_correlation_and_strength(rng):
    rbc, others = rng.uniform(-1, 1, (2, 9)), rng.uniform(-1, 1, (4, 9))
    picks = pd.DataFrame(
        {
            "source": "a",
            "modality": ["T1", "T1"],
            "sign": list(dimensions.SIGNS),
            "beta": [0.3, -0.2],
        }
    )
    rivals = {("T1", "positive"): others, ("T1", "negative"): others[:3]}
    table = sanity_checks.against(rbc, picks, rivals, "labels")
    assert table["sign"].tolist() == ["positive"] * 4 + ["negative"] * 3
    for line in table.itertuples():
        own, other = (
            rbc[0 if line.sign == "positive" else 1],
            others[line.draw],
        )
        assert line.correlation == pytest.approx(np.corrcoef(own, other)[0, 1])
        assert (line.own, line.strength) == (
            np.abs(own).max(),
            np.abs(other).max(),
        )


def test_the_panel_is_half_of_each_group():
    labels = np.array([0] * 11 + [1] * 7)
    heard = sanity_checks.panel(labels, 10)
    assert np.bincount(labels[heard]).tolist() == [5, 5]
    assert np.bincount(labels[sanity_checks.panel(labels, 99)]).tolist() == [
        7,
        7,
    ]
    assert np.array_equal(sanity_checks.panel(labels), np.arange(18))


# ---- verdicts ----------------------------------------------------------------------------------


def _evidence(
    r=0.1, alike=0.1, stronger=0, draws=19, low=0.01, intact=0.6, p=0.01
):
    key = dict(zip(KEYS, KEY, strict=True))
    volume = np.full(SHAPE, 0.4, "f4")
    maps = {KEY: (volume, np.full(SHAPE, p))}
    cascade = pd.DataFrame(
        [key | {"layers": n, "correlation": c} for n, c in ((0, 1.0), (3, r))]
    )
    rivals = pd.DataFrame(
        [
            key
            | {
                "test": test,
                "correlation": -alike,
                "own": 0.5,
                "strength": 0.5 if i < stronger else 0.4,
            }
            for test in TESTS[1:3]
            for i in range(draws)
        ]
    )
    areas = pd.DataFrame(
        [
            key
            | {
                "intact": 0.7,
                "intact_low": intact,
                "area": 0.02,
                "low": low,
                "high": 0.1,
            }
        ]
    )
    return maps, cascade, rivals, areas


@pytest.mark.parametrize(
    ("evidence", "expected"),
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
def test_each_test_rules_by_its_threshold(evidence, expected):
    verdict = sanity_checks.judge(*_evidence(**evidence))[KEY]
    assert " ".join(r.answer for r in verdict.rulings.values()) == expected
    said = {"yes": 0, "no": 0, "undecided": 0}
    for answer in expected.split():
        said[answer] += 1
    assert str(verdict).startswith(f"court: {said['yes']} of 4")
    assert ("no: " in str(verdict)) == bool(said["no"])
    verdict.check(_evidence()[0][KEY][0])


def test_a_verdict_belongs_to_one_map_and_needs_all_tests():
    verdict = sanity_checks.judge(*_evidence())[KEY]
    with pytest.raises(ValueError, match="given on another map"):
        verdict.check(np.full(SHAPE, 0.41))
    assert set(verdict.record()["tests"]) == set(TESTS)
    for rulings, instead in (
        ({}, ""),
        ({}, "no need"),
        ({"weights": Ruling("yes", "")}, ""),
    ):
        with pytest.raises(ValueError, match="a verdict with rulings on"):
            Verdict(stamp(np.ones(SHAPE)), rulings, instead)
    maps, cascade, rivals, areas = _evidence()
    with pytest.raises(
        ValueError, match="expected labels, random encoder and one deletion"
    ):
        sanity_checks.judge(
            maps, cascade, rivals[rivals["test"] == "labels"], areas
        )
    with pytest.raises(ValueError, match="0 deletions"):
        sanity_checks.judge(maps, cascade, rivals, areas[:0])


def test_the_positive_control_is_the_images_and_the_floor_untrained(
    tiny_phantom, case
):
    rows = np.arange(len(tiny_phantom))
    rows = rows[tiny_phantom.labels() >= 0]
    landmarks = fit_landmarks(tiny_phantom, 0)
    maps, verdicts = sanity_checks.control(tiny_phantom, landmarks, rows, 19)
    images = standardised(tiny_phantom, landmarks, rows=rows)
    group = tiny_phantom.labels()[rows] == 1
    for m, x in images.items():
        key = ("voxels", m, "voxels")
        values = x[:, 0][:, tiny_phantom.mask]
        expected = rank_biserial(values[group], values[~group]).rbc
        assert np.allclose(
            maps[key][0][tiny_phantom.mask], expected, atol=1e-6
        )
        assert str(verdicts[key]) == CONTROL
        verdicts[key].check(maps[key][0])

    c = case
    baseline = sanity_checks.baseline(
        "naive", c.maps, c.encoders["naive"], c.looks, 0
    )
    assert {str(v) for v in baseline.values()} == {UNTRAINED} and len(
        baseline
    ) == 2
    for encoders, seed in ((c.looks, 0), (c.encoders["naive"], 1)):
        with pytest.raises(ValueError, match="is judged, not exempt"):
            sanity_checks.baseline("naive", c.maps, encoders, c.looks, seed)


def test_a_dimension_that_no_coefficient_chose_is_undecided(rng):
    rbc, others = rng.uniform(-1, 1, (2, 9)), rng.uniform(-0.1, 0.1, (19, 9))
    picks = pd.DataFrame(
        {
            "source": "a",
            "modality": ["T1", "T1"],
            "sign": list(dimensions.SIGNS),
            "beta": [0.3, 0.0],
        }
    )
    assert dimensions.unchosen(picks).tolist() == [False, True]
    table = sanity_checks.against(
        rbc,
        picks,
        dict.fromkeys([("T1", s) for s in dimensions.SIGNS], others),
        "labels",
    )
    by = dict(list(table.groupby("sign")))
    assert sanity_checks._rivals(by["positive"], 0.05).answer == "yes"
    assert sanity_checks._rivals(by["negative"], 0.05).answer == "undecided"


# ---- bad input ---------------------------------------------------------------------------------


def test_bad_input_is_named(case, rng):
    c = case
    own = c.picks[c.picks["source"] == "looks"]
    rbc = np.stack([c.maps[k][0][c.mask] for k in c.maps if k[0] == "looks"])
    rivals = {
        (m, s): rng.normal(size=(3, rbc.shape[1]))
        for m, s in own[["modality", "sign"]].itertuples(index=False)
    }
    holed = rbc.copy()
    holed[1, 4] = np.nan
    with pytest.raises(ValueError, match="1 values not finite"):
        sanity_checks.against(holed, own, rivals, "labels")
    with pytest.raises(ValueError, match=r"expected finite \(2, voxels\)"):
        sanity_checks.against(rbc[:1], own, rivals, "labels")
    with pytest.raises(ValueError, match="rivals .*expected .draws"):
        sanity_checks.against(rbc[:, 1:], own, rivals, "labels")

    def delete(values, labels):
        deletion_curves.deletion(
            c.looks,
            c.fits["looks"],
            c.seen,
            labels,
            np.arange(48),
            values,
            own,
            c.mask,
            {"T1": c.learned["T1"].mean(0)},
            progress=False,
        )

    values = np.ones((48, 2, 4))
    with pytest.raises(ValueError, match=r"expected finite \(48, 2, voxels\)"):
        delete(values[:, :1], c.labels)
    with pytest.raises(ValueError, match="expected two"):
        delete(values, np.zeros(48, dtype=int))
    values[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="1 not finite"):
        delete(values, c.labels)
    with pytest.raises(ValueError, match="expected two"):
        sanity_checks.panel(np.ones(20), 8)
