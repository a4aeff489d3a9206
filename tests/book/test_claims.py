"""The claims ledger: the list, each test against an independent computation,
the verdicts.
"""

import inspect
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
)

from book.claims import (
    architecture,
    catalogue,
    evidence,
    printed,
    rule,
    simulated_editions,
    tables,
)
from book.claims.page import filterable
from book.claims.rule import (
    CONTRADICTED,
    NOT_COMPUTED,
    SUPPORTED,
    UNRESOLVED,
    UNTESTABLE,
)
from mmssl import plotting
from mmssl.plotting import claims
from mmssl.similarity.measures import MEASURES

LIST = Path(__file__).parents[2] / "book" / "claims" / "claims.yaml"
PANELS = (
    "mean of panels",
    "ghost intensity",
    "spike intensity",
    "blur std",
    "noise std",
    "affine scales",
)
BASELINES = ("random encoder", "PCA-64")


@pytest.fixture(scope="module")
def book():
    """Give the papers and the claims of the book."""
    return catalogue.read(LIST)


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """Give a folder with every table the tests read, of random numbers for all
    rows.
    """
    folder = tmp_path_factory.mktemp("results") / "made"
    folder.mkdir()
    rows = yaml.safe_load(LIST.read_text())["rows"]["all objectives"]
    rows = [*BASELINES, *rows, "MMVAE", "Supervised-dropout", "XX-CC-noisy"]
    rng = np.random.default_rng(5)
    made = {
        "linear_evaluation_scores": _scores(rng, rows),
        "similarity": _similarities(rng, rows),
        "natural_images": _accuracies(rng, rows),
        "robustness_verdict": _robustness(rng, rows),
        "robustness_populations": _populations(rng, rows),
        "group_overlap": _overlaps(rng, rows),
        "similarity_groups": _groups(rng, rows),
    }
    for name, content in made.items():
        content.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    return folder


@pytest.fixture(scope="module")
def assessed(book, edition):
    """Give all claims, judged on the random tables."""
    return rule.assess(book[1], edition)


def _scores(rng, rows, people=40, positives=15):
    labels = (np.arange(people) < positives).astype(int)
    common = rng.normal(size=people)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "fold": fold,
                    "protocol": "logistic regression",
                    "model": row,
                    "modality": m,
                    "baseline": row in BASELINES,
                    "pair": 3 * np.arange(people) + 7,
                    "label": labels,
                    "score": common
                    + rng.normal(size=people)
                    + rng.uniform(0, 1.5) * labels,
                }
            )
            for fold in (0, 1)
            for row in rows
            for m in ("T1", "fALFF")
        ]
    )


def _similarities(rng, rows):
    lines = []
    for row in rows:
        for role, n in (("train", 200), ("holdout", 40)):
            for group in ("all", "HC", "AD"):
                for measure in MEASURES:
                    value, half = (
                        rng.uniform(0.3, 0.8),
                        rng.uniform(0.05, 0.15),
                    )
                    lines.append(
                        (
                            row,
                            "T1–fALFF",
                            role,
                            group,
                            measure,
                            value,
                            value - half,
                            value + half,
                            0.2,
                            rng.uniform(0.1, 0.3),
                            0.35,
                            0.01,
                            n,
                            64,
                        )
                    )
    return pd.DataFrame(
        lines,
        columns=[
            "model",
            "pair",
            "role",
            "group",
            "measure",
            "estimate",
            "low",
            "high",
            "chance",
            "shuffle_mean",
            "shuffle_95",
            "p",
            "n",
            "d",
        ],
    )


def _groups(rng, rows):
    return pd.DataFrame(
        [
            (
                row,
                "T1–fALFF",
                "holdout",
                25,
                15,
                measure,
                *rng.uniform(0.3, 0.8, 2),
                *rng.normal(0, 0.1, 2),
                rng.uniform(0.02, 0.1),
                0.5,
            )
            for row in rows
            for measure in MEASURES
        ],
        columns=[
            "model",
            "pair",
            "role",
            "n_first",
            "n_second",
            "measure",
            "first",
            "second",
            "difference",
            "null_difference",
            "null_sd",
            "p",
        ],
    )


def _accuracies(rng, rows):
    lines = []
    views = {
        "Two-View MNIST": ("view1", "view2"),
        "MNIST-SVHN": ("MNIST", "SVHN"),
    }
    for data, modalities in views.items():
        for row in rows:
            for m in modalities:
                right = int(rng.integers(300, 900))
                low, high = proportion_confint(right, 1000, method="wilson")
                lines.append((data, row, m, 0, right / 1000, low, high, 1000))
    return pd.DataFrame(
        lines,
        columns=[
            "data",
            "model",
            "modality",
            "fold",
            "accuracy",
            "low",
            "high",
            "test",
        ],
    )


def _robustness(rng, rows):
    lines = []
    for panel in PANELS:
        question = (
            "better under distortion"
            if panel == PANELS[0]
            else "in single panels"
        )
        for m in ("T1", "fALFF"):
            for first, second in combinations(rows, 2):
                d, half = rng.normal(0, 0.1), rng.uniform(0.02, 0.1)
                lines.append(
                    (
                        m,
                        panel,
                        first,
                        second,
                        d,
                        d - half,
                        d + half,
                        0.5,
                        "",
                        question,
                    )
                )
                lines.append(
                    (
                        m,
                        panel,
                        first,
                        second,
                        9.0,
                        8.0,
                        10.0,
                        0.5,
                        "",
                        "loses less",
                    )
                )
    return pd.DataFrame(
        lines,
        columns=[
            "modality",
            "panel",
            "first",
            "second",
            "difference",
            "low",
            "high",
            "p",
            "verdict",
            "question",
        ],
    )


def _populations(rng, rows):
    found = pd.DataFrame(
        [(row, m) for row in rows for m in ("T1", "fALFF")],
        columns=["model", "modality"],
    )
    for name in ("gap", "shift"):
        found[name] = rng.uniform(-0.1, 0.7, len(found))
        found[f"{name}_low"], found[f"{name}_high"] = (
            found[name] - 0.1,
            found[name] + 0.2,
        )
    return found


def _overlaps(rng, rows):
    return pd.DataFrame(
        [
            (row, m, sign, rng.uniform())
            for row in rows
            for m in ("T1", "fALFF")
            for sign in ("positive", "negative")
        ],
        columns=["source", "modality", "sign", "auprc"],
    )


# ---- the list ----------------------------------------------------------------------------------


def test_the_list_covers_five_papers_and_every_claim_is_tested_or_has_a_reason(
    book,
):
    papers, listed = book
    assert sorted(papers) == ["000", "001", "002", "003", "004"]
    by_paper = pd.Series([claim.id[:3] for claim in listed]).value_counts()
    assert by_paper.min() >= 30 and len({claim.id for claim in listed}) == len(
        listed
    )
    for claim in listed:
        ways = [bool(claim.test), bool(claim.chapter), bool(claim.untestable)]
        assert sum(ways) == 1, claim.id
        assert claim.kind in catalogue.KINDS and claim.where
        assert bool(claim.evidence) == bool(claim.test)


def test_every_test_is_used_by_a_claim(book):
    used = {claim.test for claim in book[1]}
    assert not set(catalogue.TESTS) - used - {"parameters"}


def test_at_least_25_are_computed_without_any_table_and_all_tests_with_tables(
    book, edition, assessed
):
    reading = [c for c in book[1] if c.evidence == catalogue.EVIDENCE[tables]]
    bare = assessed[~assessed["id"].isin([c.id for c in reading])]
    assert bare["estimate"].notna().sum() >= 25
    without = rule.assess(reading, edition.parent / "empty")
    assert set(without["verdict"]) <= {NOT_COMPUTED, UNTESTABLE}
    full = rule.assess(reading, edition, simulated=False)
    assert full["estimate"].notna().all()
    assert set(full["verdict"]) <= {SUPPORTED, CONTRADICTED, UNRESOLVED}


def test_a_missing_table_and_a_missing_row_say_what_makes_them(
    book, edition, tmp_path
):
    claim = next(c for c in book[1] if c.id == "001-R-17")
    answer = rule.assess([claim], tmp_path / "demo").iloc[0]
    assert answer["verdict"] == NOT_COMPUTED
    assert (
        "make reproduce EDITION=demo" in answer["why"]
        and "notebook 04" in answer["why"]
    )
    assert (
        "make smoke" in rule.assess([claim], tmp_path / "smoke").iloc[0]["why"]
    )
    scores = pd.read_csv(edition / tables.SCORES, sep="\t")
    folder = tmp_path / "some"
    folder.mkdir()
    scores[scores["model"] != "CR-XX"].to_csv(
        folder / tables.SCORES, sep="\t", index=False
    )
    answer = rule.assess([claim], folder).iloc[0]
    assert (
        answer["verdict"] == NOT_COMPUTED
        and "CR-XX is not among its rows" in answer["why"]
    )


def test_a_table_made_by_other_code_is_an_error(tmp_path):
    (tmp_path / "similarity.tsv").write_text("row\testimate\nCR\t0.5\n")
    with pytest.raises(
        ValueError, match="similarity.tsv: columns .*'role'.* are missing"
    ):
        tables.similarity_contrast(tmp_path, "CKA", ["CR"], ["CR"])


def test_levels_of_real_people_are_not_tested_on_simulated_ones(book, edition):
    level = [c for c in book[1] if c.real_people]
    assert len(level) >= 5
    assert set(rule.assess(level, edition, simulated=True)["verdict"]) == {
        UNTESTABLE
    }
    assert (
        rule.assess(level, edition, simulated=False)["estimate"].notna().all()
    )


GOOD = {
    "id": "004-R-01",
    "where": "section 4",
    "kind": "comparative",
    "claim": "A beats B.",
    "test": {"difference": {"first": [0.9], "second": [0.8]}},
    "holds": {"above": 0},
}


def _written(tmp_path, entry, **document):
    file = tmp_path / "claims.yaml"
    papers = {"004": {"title": "Title", "name": "Taxonomy"}}
    entries = entry if isinstance(entry, list) else [entry]
    file.write_text(
        yaml.safe_dump({"papers": papers, "claims": entries} | document)
    )
    return file


def test_a_good_entry_is_read(tmp_path):
    (claim,) = catalogue.load(_written(tmp_path, GOOD))
    assert claim.paper == "Taxonomy" and claim.run(
        tmp_path
    ).estimate == pytest.approx(0.1)
    assert (
        claim.described == "difference(first=0.9, second=0.8)"
        and claim.claimed == "above 0"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "004-R-1"}, "004-R-1: id: .*expected a paper of .*'004'"),
        ({"id": "007-R-01"}, "007-R-01: id: "),
        ({"kind": "bold"}, "004-R-01: kind: found 'bold', expected one of"),
        ({"claim": " "}, "004-R-01: claim: found ' ', expected text"),
        ({"claims": "x"}, "004-R-01: claims: unknown, expected of"),
        (
            {"chapter": "10"},
            r"test: found \['test', 'chapter'\], expected exactly one",
        ),
        (
            {"test": {"differenze": {}}},
            "test: found .*differenze.*, expected one of",
        ),
        (
            {"test": {"difference": {"first": [1.0]}}},
            "test difference: missing .*'second'",
        ),
        (
            {"test": {"difference": {"first": ["a"], "second": [1]}}},
            r"first: found \['a'\], expected ",
        ),
        (
            {"test": {"share": {"successes": True, "cases": 3}}},
            "successes: found True, expected .*int",
        ),
        (
            {"test": {"share": {"successes": 1.5, "cases": 3}}},
            "successes: found 1.5, expected .*int",
        ),
        (
            {"test": {"difference": {"first": [1.0], "second": [1], "x": 1}}},
            "unexpected .*'x'",
        ),
        ({"holds": {}}, "holds: found {}, expected one of"),
        ({"holds": {"above": 0, "below": 1}}, "holds: found "),
        (
            {"holds": {"above": "0"}},
            "holds, above: found '0', expected a number",
        ),
        (
            {"holds": {"between": [2, 1]}},
            "holds, between: found .*expected two numbers in order",
        ),
        (
            {"holds": {"above": 0, "negligible": -1}},
            "holds, negligible: found -1",
        ),
        (
            {"real_people": "yes"},
            "real_people: found 'yes', expected true or false",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_claim_and_field(
    tmp_path, change, message
):
    with pytest.raises(ValueError, match=message) as error:
        catalogue.load(_written(tmp_path, GOOD | change))
    assert str(error.value).startswith("claims.yaml: ")


def test_all_errors_are_said_at_once_and_doubles_are_found(tmp_path):
    with pytest.raises(ValueError, match="comes twice"):
        catalogue.load(_written(tmp_path, [GOOD, GOOD]))
    with pytest.raises(ValueError) as error:
        catalogue.load(
            _written(
                tmp_path, [GOOD | {"kind": 1}, GOOD | {"where": 3}, "text"]
            )
        )
    # kind; where; text and its missing id
    assert len(str(error.value).splitlines()) == 4
    with pytest.raises(ValueError, match="expected a mapping with papers"):
        catalogue.load(_written(tmp_path, GOOD, extra=1))
    with pytest.raises(ValueError, match="negligible: 'nothing' is no test"):
        catalogue.load(_written(tmp_path, GOOD, negligible={"nothing": 1}))


def test_every_test_has_plain_annotations():
    for name, test in catalogue.TESTS.items():
        for parameter in inspect.signature(
            test, eval_str=True
        ).parameters.values():
            assert parameter.annotation in (
                Path,
                int,
                float,
                str,
                bool,
                list[str],
                list[float],
                dict[str, list[float]],
            ), (name, parameter)


# ---- verdicts ----------------------------------------------------------------------------------

limits = st.tuples(*(st.floats(-3, 3) for _ in range(2))).map(sorted)
small, ends_ = st.sampled_from([0.0, 0.1, 0.5]), st.floats(-2, 2)
regions = st.one_of(
    st.builds(lambda a, n: {"above": a, "negligible": n}, ends_, small),
    st.builds(lambda a, n: {"below": a, "negligible": n}, ends_, small),
    st.builds(lambda ends: {"between": sorted(ends)}, st.tuples(ends_, ends_)),
)


@settings(max_examples=300, deadline=None)
@given(limits, regions)
def test_verdict_equals_its_words(ends, holds):
    low, high = ends
    said = rule.verdict(low, high, evidence.Region.of(**holds))
    if "between" in holds:
        a, b = holds["between"]
        expected = (
            CONTRADICTED
            if high < a or low > b
            else (SUPPORTED if a <= low and high <= b else UNRESOLVED)
        )
    else:
        sign = 1 if "above" in holds else -1
        low, high = sorted((sign * low, sign * high))
        end, e = (
            sign * holds.get("above", holds.get("below")),
            holds["negligible"],
        )
        nothing_left = high < end + e or (e == 0 and high <= end)
        expected = (
            CONTRADICTED
            if nothing_left
            else SUPPORTED
            if low > end
            else UNRESOLVED
        )
    assert said == expected


@settings(max_examples=200, deadline=None)
@given(st.floats(-2, 2), st.floats(0, 1), st.floats(0, 1), regions)
def test_more_people_never_turn_one_verdict_into_its_opposite_at_the_same_estimate(
    estimate, half, more, holds
):
    region = evidence.Region.of(**holds)
    narrow = rule.verdict(estimate - half, estimate + half, region)
    wide = rule.verdict(estimate - half - more, estimate + half + more, region)
    # else a sure advantage may be a negligible one
    if holds.get("negligible", 0) == 0:
        assert wide in (narrow, UNRESOLVED)


def test_the_verdict_of_a_band():
    above = evidence.Region.of(above=0, negligible=0.02)
    for low, high, expected in (
        (0.001, 0.09, SUPPORTED),
        (-0.001, 0.09, UNRESOLVED),
        (-0.09, 0.019, CONTRADICTED),
        (0.001, 0.019, CONTRADICTED),
        (-0.2, -0.1, CONTRADICTED),
    ):
        assert rule.verdict(low, high, above) == expected
    exactly = evidence.Region.of(above=0)
    assert rule.verdict(0, 0, exactly) == CONTRADICTED
    assert rule.verdict(1, 1, exactly) == SUPPORTED
    with pytest.raises(ValueError, match="expected low <= high"):
        rule.verdict(1, 0, exactly)
    with pytest.raises(ValueError, match="expected low <= high"):
        rule.verdict(np.nan, 0, exactly)


def test_correction_decides_as_many_as_benjamini_and_hochberg():
    above = evidence.Region.of(above=0)
    for seed in range(30):
        z = np.random.default_rng(seed).normal(np.repeat((0.0, 2.5), 10))
        judged = [(evidence.normal(value, 1.0, "", ""), above) for value in z]
        level = rule.corrected_level(judged)
        said = [
            rule.verdict(*rule.widened(found, level), above) != UNRESOLVED
            for found, _ in judged
        ]
        rejected = multipletests(
            2 * scipy_stats.norm.sf(np.abs(z)), 0.05, "fdr_bh"
        )[0]
        assert said == rejected.tolist()


def test_families_are_corrected_apart_and_exact_findings_are_in_none(
    book, assessed
):
    families = (
        assessed.dropna(subset="level").groupby("evidence")["level"].unique()
    )
    assert families.map(len).eq(1).all() and len(families) == 2
    ours = [c for c in book[1] if c.evidence == catalogue.EVIDENCE[tables]]
    judged = assessed[assessed["id"].isin([c.id for c in ours])].dropna(
        subset="level"
    )
    m, decided = len(judged), (judged["verdict"] != UNRESOLVED).sum()
    assert judged["level"].iloc[0] == pytest.approx(
        1 - 0.05 * decided / m, abs=0.05 / m
    )
    alone = assessed["method"].isin(["exact", "simulation"])
    assert alone.sum() > 80 and assessed.loc[alone, "level"].isna().all()
    assert (assessed.loc[alone, "low"] == assessed.loc[alone, "low_95"]).all()


def test_limits_at_other_levels_are_those_of_their_own_method(edition):
    x, y = np.random.default_rng(4).normal(size=(2, 9))
    for level in (0.5, 0.95, 0.9998):
        found = evidence.normal(0.3, 0.2, "", "", df=1)
        assert found.limits(level) == pytest.approx(
            scipy_stats.t.interval(level, 1, 0.3, 0.2)
        )
        found = printed.correlation(x.tolist(), (x + 0.1 * y).tolist())
        own = scipy_stats.pearsonr(x, x + 0.1 * y).confidence_interval(level)
        assert (
            found.limits(level) == pytest.approx(tuple(own)) and max(own) < 1
        )
        wilson = proportion_confint(30, 31, 1 - level, "wilson")
        assert printed.share(30, 31).limits(level) == pytest.approx(wilson)
        low, high = printed.auc(0.97, 8, 60).limits(level)
        assert 0 < low < 0.97 < high < 1
        low, high = tables.auc_level(edition, ["CR"], ["T1"]).limits(level)
        assert 0 <= low < high <= 1
    lead = tables.auc_lead(edition, "RR", ["CR", "XX", "CC"], ["T1"])
    each = [
        tables.auc_contrast(edition, ["RR"], [other], ["T1"])
        for other in ("CR", "XX", "CC")
    ]
    assert lead.limits(0.99) == pytest.approx(
        (
            min(e.limits(0.99)[0] for e in each),
            min(e.limits(1 - 0.01 / 3)[1] for e in each),
        )
    )
    # a table with limits of 95 % only
    stretched = evidence.Found(0.1, 0.0, 0.3, "", "bootstrap").limits(0.99)
    factor = scipy_stats.norm.ppf(0.995) / scipy_stats.norm.ppf(0.975)
    assert stretched == pytest.approx((0.1 - 0.1 * factor, 0.1 + 0.2 * factor))


def test_exact_findings_need_no_correction_and_widening_is_the_normals():
    exact = evidence.exact(1.0, "")
    assert rule.widened(exact, 0.999) == (1.0, 1.0)
    assert np.isnan(rule.detectable(exact))
    found = evidence.normal(0.3, 0.2, "", "")
    low, high = scipy_stats.norm.interval(0.99, 0.3, 0.2)
    assert rule.widened(found, 0.99) == pytest.approx((low, high))
    # a two-sided test at .05 of an effect of that size has power .8 (its other
    # tail is empty)
    power = scipy_stats.norm.sf(1.959964 - rule.detectable(found) / 0.2)
    assert power == pytest.approx(0.8, abs=1e-4)


# ---- tests on printed numbers ------------------------------------------------------------------


def test_sums_leads_and_gaps_against_loops(rng):
    first = rng.normal(size=7).tolist()
    others = {name: rng.normal(size=7).tolist() for name in "abcd"}
    lead = min(
        first[k] - max(line[k] for line in others.values()) for k in range(7)
    )
    gap = max(
        abs(first[k] - line[k]) for line in others.values() for k in range(7)
    )
    assert printed.smallest_lead(first, others).estimate == pytest.approx(lead)
    assert printed.largest_gap(first, others).estimate == pytest.approx(gap)
    assert printed.total([1, 2, -3.5]).estimate == -0.5
    assert printed.ratio([3.0, 5.0], [2.0]).estimate == 2.0
    with pytest.raises(ValueError, match="others: b differ in length"):
        printed.smallest_lead([1.0, 2.0], {"a": [1, 2], "b": [1]})


def test_correlation_and_shares_against_scipy_and_statsmodels(rng):
    x, y = rng.normal(size=(2, 9))
    y = y + x
    reference = scipy_stats.pearsonr(x, y)
    found = printed.correlation(x.tolist(), y.tolist())
    assert found[:3] == pytest.approx(
        (reference.statistic, *reference.confidence_interval())
    )
    assert printed.share(7, 31)[1:3] == pytest.approx(
        proportion_confint(7, 31, method="wilson")
    )
    found = printed.share_difference(0.6, 0.5, 200, correlation=0.0)
    wald = confint_proportions_2indep(120, 200, 100, 200, method="wald")
    assert found[1:3] == pytest.approx(wald)


def test_implied_spread_gives_back_the_p():
    found = printed.repeats(1.7, 0.013, 4).estimate
    z = np.array([-1.2, -0.3, 0.4, 1.1])
    data = 1.7 + found * (z - z.mean()) / z.std(ddof=1)
    assert scipy_stats.ttest_1samp(data, 0).pvalue == pytest.approx(0.013)


def test_auc_gap_against_drawn_studies():
    rng = np.random.default_rng(2)
    common, own = (
        rng.normal(size=(2000, 1, 90)),
        rng.normal(size=(2000, 2, 90)),
    )
    scores = np.sqrt(0.5) * (common + own) + 1.2 * (np.arange(90) < 30)
    # (studies, 2)
    gaps = (scores[..., :30, None] > scores[..., None, 30:]).mean((-1, -2))
    auc, r = gaps.mean(), np.corrcoef(gaps.T)[0, 1]
    found = printed.auc_gap(auc, auc, 30, 60, correlation=r)
    drawn = (gaps[:, 0] - gaps[:, 1]).std()
    assert (found.high - found.low) / 3.92 == pytest.approx(drawn, rel=0.1)
    wide = printed.auc_gap(auc, auc, 30, 60, correlation=r, design_effect=4.0)
    assert wide.high == pytest.approx(2 * found.high)


# ---- tests on the method -----------------------------------------------------------------------


def test_parameters_and_operations_against_the_sums_of_their_layers():
    channels = [1, 32, 64, 128, 256]
    convs = sum(
        a * b * 4**3
        for a, b in zip(channels, [*channels[1:], 64], strict=True)
    )
    norms = 2 * sum(channels[2:])
    assert architecture.parameters("encoder").estimate == convs + norms
    encoder = sum(
        a * b * 4**3 * side**3
        for a, b, side in zip(
            channels, [*channels[1:], 64], [32, 16, 8, 4, 1], strict=True
        )
    )
    head = 8**3 * (128 * 64 + 64 * 64 + 128 * 64)
    # transposed convolutions are counted like their mirror images
    expected = (encoder + head) / (2 * encoder)
    found = architecture.operations("CR-XX-CC", "RR-AE")
    assert found.estimate == pytest.approx(expected, rel=0.01)
    with pytest.raises(ValueError, match="network='tower'"):
        architecture.parameters("tower")
    with pytest.raises(ValueError, match="what='depth'"):
        architecture.local_features("depth", size=16)


def test_shapes_and_counts():
    assert (
        architecture.local_features("channels", size=32, dims=2).estimate == 64
    )
    assert architecture.connections("CR").estimate == 2
    assert architecture.connections("CC").estimate == 1
    assert architecture.combinations(["CR", "XX", "RR"]).estimate == 2**3 - 1
    assert architecture.visible_brain(0.5).estimate == 1.0
    shares = [architecture.visible_brain(s).estimate for s in (1.0, 1.7, 2.5)]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 0.4


def test_chance_levels_against_what_is_known():
    assert architecture.chance_level(
        "CCA", people=10, dimensions=12
    ).estimate == pytest.approx(1.0)
    unbiased = architecture.chance_level(
        "debiased CKA", people=40, dimensions=9, draws=40
    )
    assert unbiased.low < 0 < unbiased.high
    gap = architecture.chance_similarity(
        "CKA", people=12, others=60, dimensions=8
    )
    # roughly d / (n + d)
    known = [np.sqrt(1.0) * 8 / (8 + n) for n in (12, 60)]
    assert (
        gap.estimate == pytest.approx(known[0] - known[1], abs=0.08)
        and gap.low > 0
    )
    with pytest.raises(ValueError, match="measure='CKB'"):
        architecture.chance_level("CKB", people=10)


def test_luck_of_the_best_against_a_closed_form():
    people, pairs = 50, 8 * 8
    t = scipy_stats.t.isf((1 - 0.5 ** (1 / pairs)) / 2, people - 2)
    # of the largest of independent correlations
    median = t / np.sqrt(people - 2 + t**2)
    found = architecture.luck_of_the_best(0.9, people, dimensions=8, draws=200)
    assert 0.9 - found.estimate == pytest.approx(median, abs=0.02)


def test_equipartition_against_a_loop():
    batch, prototypes, rng = 6, 5, np.random.default_rng(0)
    z, c = rng.normal(size=(batch, 128)), rng.normal(size=(prototypes, 128))
    q = np.zeros((prototypes, batch))
    for k in range(prototypes):
        for b in range(batch):
            cosine = z[b] @ c[k] / np.linalg.norm(z[b]) / np.linalg.norm(c[k])
            q[k, b] = np.exp(cosine / 0.03)
    for _ in range(3):
        for k in range(prototypes):
            q[k] = q[k] / q[k].sum() / prototypes
        for b in range(batch):
            q[:, b] = q[:, b] / q[:, b].sum() / batch
    least = min(q[k].sum() * prototypes for k in range(prototypes))
    assert architecture.equipartition(
        batch, prototypes
    ).estimate == pytest.approx(least)
    assert architecture.equipartition(
        batch, prototypes, 500
    ).estimate == pytest.approx(1, abs=1e-3)


# ---- tests on tables ---------------------------------------------------------------------------


def _auc(edition, row, m, fold):
    found = pd.read_csv(edition / tables.SCORES, sep="\t").query(
        "model == @row and modality == @m and fold == @fold"
    )
    return roc_auc_score(found["label"], found["score"])


def test_auc_contrast_estimate_by_loop_and_error_by_bootstrap(edition):
    rows = (["XX", "CC", "RR"], ["AE"])
    found = tables.auc_contrast(edition, *rows, ["T1", "fALFF"])
    means = [
        np.mean(
            [
                _auc(edition, row, m, fold)
                for row in side
                for m in ("T1", "fALFF")
                for fold in (0, 1)
            ]
        )
        for side in rows
    ]
    assert found.estimate == pytest.approx(means[0] - means[1])
    scores = pd.read_csv(edition / tables.SCORES, sep="\t")
    wide = scores.pivot(
        index=["label", "pair"],
        columns=["model", "modality", "fold"],
        values="score",
    )
    labels, rng = (
        wide.index.get_level_values("label").to_numpy(),
        np.random.default_rng(1),
    )
    draws = []
    ones, zeros = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    for _ in range(600):
        one, zero = rng.choice(ones, len(ones)), rng.choice(zeros, len(zeros))
        means = [
            np.mean(
                [
                    (z[one, None] > z[zero]).mean()
                    for row in side
                    for z in wide[row].to_numpy().T
                ]
            )
            for side in rows
        ]
        draws.append(means[0] - means[1])
    assert (found.high - found.low) / 3.92 == pytest.approx(
        np.std(draws), rel=0.12
    )


def test_auc_contrast_of_modalities_and_of_a_row_with_itself(edition):
    found = tables.auc_contrast(edition, ["CR"], ["CR"], ["T1"], ["fALFF"])
    means = [
        np.mean([_auc(edition, "CR", m, fold) for fold in (0, 1)])
        for m in ("T1", "fALFF")
    ]
    assert found.estimate == pytest.approx(means[0] - means[1])
    same = tables.auc_contrast(edition, ["CR"], ["CR"], ["T1"])
    assert same[:3] == (0, 0, 0)
    with pytest.raises(evidence.NotInEdition, match="no modality PET"):
        tables.auc_contrast(edition, ["CR"], ["CC"], ["PET"])
    with pytest.raises(
        evidence.NotInEdition, match="CR, CC are not among its rows"
    ):
        tables.auc_contrast(
            edition, ["CR", "CC"], ["AE"], ["T1"], protocol="linear projection"
        )


def test_auc_level_and_perfect_separation(edition, tmp_path):
    found = tables.auc_level(edition, ["CR"], ["T1"])
    assert found.estimate == pytest.approx(
        np.mean([_auc(edition, "CR", "T1", fold) for fold in (0, 1)])
    )
    labels = (np.arange(30) < 10).astype(int)
    rng = np.random.default_rng(0)
    perfect = pd.concat(
        [
            pd.DataFrame(
                {
                    "fold": 0,
                    "protocol": "logistic regression",
                    "model": row,
                    "modality": "T1",
                    "pair": np.arange(30),
                    "label": labels,
                    "score": 9 * labels + rng.normal(size=30),
                }
            )
            for row in "ab"
        ]
    )
    perfect.to_csv(tmp_path / tables.SCORES, sep="\t", index=False)
    found = tables.auc_contrast(tmp_path, ["a"], ["b"], ["T1"])
    assert found.estimate == 0 and found.low < -0.05 and found.high > 0.05
    assert tables.auc_level(tmp_path, ["a"], ["T1"]).low < 0.95


def test_auc_lead_is_the_smallest_of_all_pairs(edition):
    rivals = ["CR", "XX", "CC", "AE"]
    found = tables.auc_lead(edition, "RR", rivals, ["T1"])
    each = [
        tables.auc_contrast(edition, ["RR"], [rival], ["T1"])
        for rival in rivals
    ]
    assert found.estimate == pytest.approx(min(e.estimate for e in each))
    assert found.low == pytest.approx(min(e.low for e in each))
    strict = scipy_stats.norm.isf(0.025 / 4) / scipy_stats.norm.isf(0.025)
    assert found.high == pytest.approx(
        min(e.estimate + strict * (e.high - e.estimate) for e in each)
    )


def test_the_lead_of_the_luckiest_of_equals_is_rarely_supported():
    rng, wrong, best = np.random.default_rng(3), 0, evidence.Region.of(above=0)
    for _ in range(60):
        labels = (np.arange(80) < 30).astype(int)
        scores = rng.normal(size=(6, 80)) + labels
        aucs = [roc_auc_score(labels, s) for s in scores]
        winner = int(np.argmax(aucs))
        each = [
            tables._difference(labels, scores[[winner]], scores[[k]])
            for k in range(6)
            if k != winner
        ]
        wrong += rule.verdict(min(e.low for e in each), 1.0, best) == SUPPORTED
    # looking first and then testing the winner against each other row at .025:
    # few pass all
    assert (
        scipy_stats.binomtest(wrong, 60, 0.05, alternative="greater").pvalue
        > 0.01
    )


def test_similarity_contrast_from_the_numbers_of_the_table(edition):
    table = pd.read_csv(edition / "similarity.tsv", sep="\t").set_index(
        ["model", "role", "group", "measure"]
    )

    def cell(row, role, group, measure):
        line = table.loc[row, role, group, measure]
        return (
            line["estimate"],
            line["shuffle_mean"],
            line["high"] - line["estimate"],
        )

    a, b = cell("CR", "train", "AD", "CKA"), cell("XX", "train", "AD", "CKA")
    c, d = cell("RR", "train", "HC", "CCA"), cell("XX", "holdout", "AD", "CKA")
    found = tables.similarity_contrast(
        edition,
        "CKA",
        ["CR", "XX"],
        ["RR"],
        role="train",
        group="AD",
        other_group="HC",
        other_measure="CCA",
    )
    expected = (a[0] - a[1] + b[0] - b[1]) / 2 - (c[0] - c[1])
    assert found.estimate == pytest.approx(expected)
    half = np.hypot((a[2] + b[2]) / 2, c[2])
    assert found.high - found.estimate == pytest.approx(half)
    # 20 blocks: t of 19 at every level
    error = half / scipy_stats.t.ppf(0.975, 19)
    assert rule.widened(found, 0.998) == pytest.approx(
        scipy_stats.t.interval(0.998, 19, expected, error)
    )
    plain = tables.similarity_contrast(
        edition,
        "CKA",
        ["CR"],
        ["XX"],
        role="train",
        group="AD",
        other_role="holdout",
        above_chance=False,
    )
    assert (
        plain.estimate == pytest.approx(a[0] - d[0])
        and plain.sample == "200 and 40 people"
    )


def test_the_level_under_shuffling_is_no_correction_for_two_sizes(edition):
    two = {"role": "train", "other_role": "holdout"}
    for measures in (
        {"measure": "SVCCA"},
        {"measure": "debiased CKA", "other_measure": "CKA"},
    ):
        with pytest.raises(
            ValueError,
            match="200 and 40 people: its bias .*expected debiased CKA",
        ):
            tables.similarity_contrast(
                edition, first=["CR"], second=["CR"], **measures, **two
            )
    tables.similarity_contrast(edition, "debiased CKA", ["CR"], ["CR"], **two)


def test_group_contrast_from_the_numbers_of_the_table(edition, tmp_path):
    table = pd.read_csv(edition / "similarity_groups.tsv", sep="\t")
    cells = table.query("measure == 'SVCCA' and row in ['CR', 'XX']")
    mean = cells["difference"].mean() - cells["null_difference"].mean()
    found = tables.group_contrast(edition, "SVCCA", ["CR", "XX"])
    assert found[:3] == pytest.approx(
        (mean, *scipy_stats.norm.interval(0.95, mean, cells["null_sd"].mean()))
    )
    assert found.sample == "15 and 25 people"
    table.assign(null_sd=1e-12).to_csv(
        tmp_path / "similarity_groups.tsv", sep="\t", index=False
    )
    with pytest.raises(
        evidence.NotInEdition, match="CCA cannot move with so few people"
    ):
        tables.group_contrast(tmp_path, "CCA", ["CR"])


def _cca(x, y):
    """Mean canonical correlation, by QR (Bjoerck & Golub 1973)."""
    x, y = (np.linalg.qr(z - z.mean(axis=0))[0] for z in (x, y))
    return np.linalg.svd(x.T @ y, compute_uv=False).mean()


def test_groups_of_two_sizes_and_one_coupling_differ_by_shuffling_and_not_by_labels(
    tmp_path,
):
    rng, patients, by_shuffling, lines = (
        np.random.default_rng(8),
        np.arange(124) < 34,
        [],
        [],
    )

    def gap(x, y, first):
        return _cca(x[first], y[first]) - _cca(x[~first], y[~first])

    for study in range(30):
        factors, x, y = rng.normal(size=(3, 124, 16))
        x, y = (
            z * np.sqrt(np.where(np.arange(16) < 8, 0.3, 1.0))
            + factors * np.sqrt(np.where(np.arange(16) < 8, 0.7, 0.0))
            for z in (x, y)
        )
        unrelated = [
            _cca(x[g], rng.permutation(y[g])) for g in (patients, ~patients)
        ]
        by_shuffling.append(
            gap(x, y, patients) - (unrelated[0] - unrelated[1])
        )
        null = [gap(x, y, rng.permutation(patients)) for _ in range(40)]
        lines.append(
            (
                f"study {study}",
                "holdout",
                "CCA",
                gap(x, y, patients),
                np.mean(null),
                np.std(null, ddof=1),
                90,
                34,
            )
        )
    pd.DataFrame(
        lines,
        columns=[
            "model",
            "role",
            "measure",
            "difference",
            "null_difference",
            "null_sd",
            "n_first",
            "n_second",
        ],
    ).to_csv(tmp_path / "similarity_groups.tsv", sep="\t", index=False)
    # negligible is .02
    assert scipy_stats.ttest_1samp(by_shuffling, -0.04).statistic < -3
    found = [
        tables.group_contrast(tmp_path, "CCA", [f"study {study}"])
        for study in range(30)
    ]
    missed = sum(not f.low <= 0 <= f.high for f in found)
    assert scipy_stats.binomtest(missed, 30, 0.05, "greater").pvalue > 0.01
    assert abs(np.mean([f.estimate for f in found])) < 0.02


def test_similarity_of_a_collapsed_code_is_not_computed(edition, tmp_path):
    table = pd.read_csv(edition / "similarity.tsv", sep="\t")
    table.loc[table["model"] == "RR", ["estimate", "low", "high"]] = np.nan
    table.to_csv(tmp_path / "similarity.tsv", sep="\t", index=False)
    with pytest.raises(evidence.NotInEdition, match="collapsed"):
        tables.similarity_contrast(tmp_path, "CKA", ["CR"], ["RR"])


def test_limits_that_a_table_does_not_know_decide_nothing(
    book, edition, tmp_path
):
    table = pd.read_csv(edition / "similarity.tsv", sep="\t")
    table[["low", "high"]] = np.nan
    table.to_csv(tmp_path / "similarity.tsv", sep="\t", index=False)
    claim = next(c for c in book[1] if c.id == "001-R-21")
    answer = rule.assess([claim], tmp_path).iloc[0]
    assert answer["verdict"] == NOT_COMPUTED and "no limits" in answer["why"]


def test_similarity_and_auc_against_scipy(edition):
    rows = ["CR", "XX", "CC", "RR", "AE", "RR-AE", "DCCAE"]
    table = (
        pd.read_csv(edition / "similarity.tsv", sep="\t")
        .query("measure == 'CKA' and role == 'holdout' and group == 'all'")
        .set_index("model")
    )
    aucs = [
        np.mean([_auc(edition, row, "T1", fold) for fold in (0, 1)])
        for row in rows
    ]
    found = tables.similarity_and_auc(edition, "CKA", rows, ["T1"])
    expected = scipy_stats.spearmanr(
        table.loc[rows, "estimate"], aucs
    ).statistic
    assert found.estimate == pytest.approx(expected)
    assert -1 < found.low < found.estimate < found.high < 1
    with pytest.raises(ValueError, match="at least 5"):
        tables.similarity_and_auc(edition, "CKA", rows[:3], ["T1"])


def test_accuracy_contrast_is_newcombes(edition, tmp_path):
    table = pd.read_csv(edition / "natural_images.tsv", sep="\t")
    right = table.query(
        "data == 'MNIST-SVHN' and modality == 'SVHN'"
    ).set_index("model")["accuracy"]
    a, b = (int(round(1000 * right[row])) for row in ("CR", "AE"))
    found = tables.accuracy_contrast(
        edition, "-SVHN", ["CR"], ["AE"], ["SVHN"]
    )
    reference = confint_proportions_2indep(a, 1000, b, 1000, method="newcomb")
    assert found[:3] == pytest.approx(((a - b) / 1000, *reference))
    table["data"] = table["data"].replace(
        "MNIST-SVHN", "MNIST-painted (a stand-in for MNIST-SVHN)"
    )
    table.to_csv(tmp_path / "natural_images.tsv", sep="\t", index=False)
    with pytest.raises(
        evidence.NotInEdition, match="no SVHN in this edition, only .*painted"
    ):
        tables.accuracy_contrast(tmp_path, "-SVHN", ["CR"], ["AE"], ["MNIST"])


def test_robustness_contrast_turns_pairs_round(edition):
    table = pd.read_csv(edition / "robustness_verdict.tsv", sep="\t").query(
        "panel == 'blur std' and modality == 'T1' and question == 'in single panels'"
    )
    forward = table.query("first == 'CR' and second == 'AE'").iloc[0]
    backward = table.query("first == 'CR' and second == 'XX'").iloc[0]
    found = tables.robustness_contrast(
        edition, ["AE", "XX"], ["CR"], ["T1"], ["blur std"]
    )
    assert found.estimate == pytest.approx(
        -(forward["difference"] + backward["difference"]) / 2
    )
    assert found.low == pytest.approx(
        -(forward["high"] + backward["high"]) / 2
    )
    overall = tables.robustness_contrast(edition, ["CR"], ["AE"], ["T1"])
    assert overall.high < 8  # "loses less" is another question
    with pytest.raises(evidence.NotInEdition):
        tables.robustness_contrast(
            edition, ["CR"], ["AE"], ["T1"], ["gamma log_gamma"]
        )


def test_populations_and_overlaps(edition):
    table = pd.read_csv(
        edition / "robustness_populations.tsv", sep="\t"
    ).set_index(["model", "modality"])
    found = tables.population(edition, ["CR", "AE"], ["T1"], "shift")
    expected = table.loc[
        [("CR", "T1"), ("AE", "T1")], ["shift", "shift_low", "shift_high"]
    ].mean()
    assert found[:3] == pytest.approx(tuple(expected))
    maps = pd.read_csv(edition / "group_overlap.tsv", sep="\t").pivot(
        index=["modality", "sign"], columns="source", values="auprc"
    )
    found = tables.overlap_contrast(
        edition, ["Supervised"], ["random encoder"], ["T1", "fALFF"]
    )
    maps = maps.groupby("modality").mean()
    reference = scipy_stats.ttest_rel(
        maps["Supervised"], maps["random encoder"]
    )
    for level in (0.95, 0.9993):
        assert found.limits(level) == pytest.approx(
            tuple(reference.confidence_interval(level))
        )
    assert found[1:3] == found.limits(0.95)
    with pytest.raises(
        evidence.NotInEdition, match="1 modality of both sides"
    ):
        tables.overlap_contrast(edition, ["Supervised"], ["AE"], ["T1"])


def test_a_table_that_changed_is_read_again(edition, tmp_path):
    scores = pd.read_csv(edition / tables.SCORES, sep="\t")
    scores.to_csv(tmp_path / tables.SCORES, sep="\t", index=False)
    before = tables.auc_level(tmp_path, ["CR"], ["T1"]).estimate
    scores.assign(score=-scores["score"]).to_csv(
        tmp_path / tables.SCORES, sep="\t", index=False
    )
    assert tables.auc_level(
        tmp_path, ["CR"], ["T1"]
    ).estimate == pytest.approx(1 - before)


# ---- simulated worlds --------------------------------------------------------------------------


def _share_at_least(found, share):
    """Whether the lower 95 % limit of the share of right verdicts (Clopper &
    Pearson) is above.
    """
    right = int((found["truth"] == found["verdict"]).sum())
    return (
        scipy_stats.binomtest(right, len(found), alternative="greater")
        .proportion_ci(0.95)
        .low
        >= share
    )


def test_known_truth_is_found_where_people_are_enough():
    found = simulated_editions.right(4, 4000, 4000)
    assert set(found["truth"]) == {SUPPORTED, CONTRADICTED}
    assert _share_at_least(found, 0.9), found[
        found["truth"] != found["verdict"]
    ]


def _wrong_among_decided(found):
    """V / max(R, 1) of each world: V wrong verdicts, R decided ones."""
    decided = found[found["verdict"] != UNRESOLVED]
    rates = (
        (decided["verdict"] != decided["truth"])
        .groupby(decided["world"])
        .mean()
    )
    return rates.reindex(found["world"].unique(), fill_value=0.0)


def _at_most(rates, share):
    """Whether a mean of rates within [0, 1] may be `share` (Hoeffding's first
    bound, 1963).
    """
    mean, n = rates.mean(), len(rates)
    if mean <= share:
        return True
    log = mean * np.log(share / mean) + (1 - mean) * np.log(
        (1 - share) / max(1 - mean, 1e-300)
    )
    return np.exp(n * log) > 0.01


def test_wrong_among_decided_by_hand():
    verdict = [
        SUPPORTED,
        SUPPORTED,
        UNRESOLVED,
        UNRESOLVED,
        UNRESOLVED,
        CONTRADICTED,
    ]
    found = pd.DataFrame(
        {
            "world": [0, 0, 0, 1, 1, 2],
            "verdict": verdict,
            "truth": [SUPPORTED, CONTRADICTED, *[SUPPORTED] * 4],
        }
    )
    assert _wrong_among_decided(found).tolist() == [0.5, 0.0, 1.0]
    assert _at_most(pd.Series([0.0, 0.1]), 0.05) and not _at_most(
        pd.Series([0.4] * 20), 0.05
    )


def test_at_the_papers_size_most_are_not_resolvable_and_few_are_wrong():
    found = simulated_editions.right(10, 22, 66)
    assert (found["verdict"] == UNRESOLVED).mean() > 0.6
    assert _at_most(_wrong_among_decided(found), 0.05)


@pytest.mark.slow
def test_known_truth_is_found_in_nine_of_ten_full_size():
    found = simulated_editions.right(40, 4000, 4000, seed=100)
    for test, part in found.groupby(found["test"].str.partition("(")[0]):
        assert _share_at_least(part, 0.9), test
    small = simulated_editions.right(100, 22, 66, seed=100)
    assert (small["verdict"] == UNRESOLVED).mean() > 0.6
    assert _at_most(_wrong_among_decided(small), 0.05)


# ---- the page and the figures ------------------------------------------------------------------


class _Page(HTMLParser):
    """Rows, menus and addresses of a page; every tag must be closed."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.options, self.open, self.links = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [
            v for k, v in attributes.items() if k in ("src", "href")
        ]
        if tag not in ("input", "br"):
            self.open.append(tag)
        if tag == "tr" and "data-verdict" in attributes:
            self.rows.append(attributes)
        if tag == "option":
            self.options.append(attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_small_and_offline(assessed):
    assessed = assessed.copy()
    assessed.loc[0, "claim"] = "a < b & <script>alert('x')</script>"
    text = filterable(assessed)
    page = _Page(text)
    assert (
        len(page.rows) == len(assessed)
        and not page.links
        and "http" not in text
    )
    assert [row["data-verdict"] for row in page.rows] == assessed[
        "verdict"
    ].tolist()
    assert "&lt;script&gt;alert" in text and "alert('x')</script>" not in text
    assert len(text.encode()) < 1_000_000
    assert len(page.options) == 4 + sum(
        assessed[c].replace("", np.nan).nunique()
        for c in ("paper", "verdict", "kind", "evidence")
    )


def test_every_unresolved_line_shows_what_could_have_been_seen(assessed):
    unresolved = assessed[assessed["verdict"] == UNRESOLVED]
    assert len(unresolved) and unresolved["detectable"].gt(0).all()
    assert filterable(unresolved).count("detectable: ") == len(unresolved)


def test_figures_and_counts(assessed):
    counted = rule.counts(assessed)
    assert counted.loc["all"].sum() == len(assessed)
    assert tuple(counted.columns) == rule.VERDICTS
    figure = plotting.claim_counts(assessed)
    assert (
        len(figure.axes)
        == 1 + assessed.loc[assessed["estimate"].notna(), "evidence"].nunique()
    )
    bars = sum(
        patch.get_width() for axis in figure.axes for patch in axis.patches
    )
    assert bars == pytest.approx(len(assessed))
    figure = plotting.claim_intervals(
        assessed, ("auc_contrast",), "difference"
    )
    shown = (
        assessed["test"].str.startswith("auc_contrast")
        & assessed["estimate"].notna()
    )
    assert len(figure.axes[0].get_yticklabels()) == shown.sum()
    plotting.claim_intervals(
        assessed.iloc[:0], ("auc_contrast",), "difference"
    )


def test_figures_know_every_verdict():
    assert tuple(claims.VERDICT) == rule.VERDICTS
