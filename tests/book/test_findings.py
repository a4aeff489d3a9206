"""What is said to have been found follows the tables."""

import pandas as pd
import pytest

from book import findings


def scores(low, above_low):
    """A self-supervised model and one that saw labels, beside PCA (.70) and
    untrained encoders.
    """
    nan = float("nan")
    names = ["random encoder", "PCA-64", "RR_x", "Supervised", "RR_x"]
    return pd.DataFrame(
        {
            "protocol": ["logistic regression"] * 4 + ["linear projection"],
            "model": names,
            "modality": "T1",
            "baseline": [True, True, False, False, False],
            "supervised": [False, False, False, True, False],
            "auc": [0.6, 0.7, 0.75, 0.9, 0.99],
            "auc_sd": [0.1, nan, nan, nan, nan],
            "low": [0.5, 0.6, 0.65, 0.8, 0.9],
            "high": [0.7, 0.8, 0.85, 1.0, 1.0],
            "difference": [nan, 0.1, 0.15, 0.3, 0.39],
            "difference_high": [nan, 0.2, 0.3, 0.4, 0.5],
            "minimum_detectable": [nan, 0.1, 0.1, 0.1, 0.1],
            "difference_low": [nan, 0.05, low, 0.2, 0.3],
            "above_pca": [-0.1, nan, 0.05, 0.2, 0.29],
            "above_pca_low": [-0.2, nan, above_low, 0.1, 0.2],
            "above_pca_high": [0.0, nan, 0.09, 0.3, 0.4],
        }
    )


def fine_tuned(at_most):
    """Two starts beside training from scratch, with 4 labelled people (.60)
    and 40.
    """
    nan = float("nan")
    lines = [
        ("from scratch", 4, 0.6, nan),
        ("A_x", 4, 0.7, 0.02),
        ("B", 4, 0.65, -0.1),
        ("from scratch", 40, at_most, nan),
        ("A_x", 40, 0.9, 0.05),
        ("B", 40, 0.9, 0.05),
    ]
    table = pd.DataFrame(
        lines, columns=["model", "labelled", "value", "difference_low"]
    )
    return table.assign(
        task="lesion",
        measure="AUC",
        baseline=table["model"] == "from scratch",
        ratio=table["labelled"] / 40,
        seeds=3,
        difference=0.1,
        low=0.5,
        high=0.9,
    )


@pytest.mark.parametrize(
    ("low", "above_low", "answer"),
    [
        (0.01, -0.01, "**No self-supervised representation was shown to beat"),
        (0.01, 0.0, "**No self-supervised representation was shown to beat"),
        (-0.01, 0.01, "**1 of 1 self-supervised representation was shown to"),
    ],
)
def test_a_paired_interval_above_components_is_of_the_self_supervised(
    low, above_low, answer
):
    said = findings.worth(scores(low, above_low))
    assert said.startswith(answer)
    gained = 1 + int(low > 0)
    assert f" {gained} of 2 learned representations beat" in said
    assert "same images** (ROC-AUC 0.70 on T1" in said
    limits = f"[{above_low:+.{2 if above_low else 3}f}, +0.09]"
    assert (
        f"The furthest above them is RR&#95;x on T1 (+0.05 {limits})" in said
    )
    assert ("about 0.025 would be by chance" in said) == (above_low > 0)


@pytest.mark.parametrize(
    ("above_low", "answer"),
    [(-0.01, "1 of 2 {}s was"), (0.01, "2 of 2 {}s were")],
)
def test_one_of_several_representations_is_one(above_low, answer):
    other = scores(0.01, above_low)
    other = other[other["model"] == "RR_x"].assign(model="CC")
    both = pd.concat([scores(0.01, 0.01), other], ignore_index=True)
    answer = answer.format("self-supervised representation")
    assert findings.worth(both).startswith(f"**{answer} shown to beat")


def test_a_limit_above_zero_is_not_printed_as_zero():
    said = findings.worth(scores(0.01, 0.0012))
    assert "RR&#95;x on T1 (+0.05 [+0.001, +0.09])" in said


def test_without_components_nothing_is_said_of_a_distance():
    table = scores(0.01, -0.01)
    table = table[table["model"] != "PCA-64"].assign(above_pca=float("nan"))
    said = findings.worth(table)
    assert said.startswith("**No self-supervised representation was shown")
    assert "ROC-AUC unknown" in said and "furthest" not in said


def test_agreement_counts_models_of_the_hold_out():
    table = pd.DataFrame(
        {
            "role": ["holdout", "holdout", "holdout", "train"],
            "group": ["all", "all", "AD", "all"],
            "measure": "debiased CKA",
            "estimate": [0.2, 0.1, 0.9, 0.8],
            "p": [0.05, 0.06, 0.01, 0.01],
        }
    )
    said = findings.agreement(table)
    assert "chance in 1 of 2 models" in said and "at most 0.20" in said


def test_maps_count_where_an_interval_is_known():
    gains = pd.DataFrame({"low": [0.01, -0.01, float("nan")]})
    said = findings.places(gains)
    assert said.startswith("1 of 2 maps of where patients differ overlapped")
    alone = findings.places(gains[:1])
    assert alone.startswith("1 of 1 map of where")


@pytest.mark.parametrize(
    ("above_low", "labelled_low", "answer"),
    [
        (
            -0.01,
            0.1,
            "given the labels 1 of 1 lies above principal components",
        ),
        (
            -0.01,
            -0.1,
            "given the labels none lies above principal components",
        ),
        (0.01, 0.1, None),
    ],
)
def test_that_none_lies_above_components_is_explained_by_what_is_known(
    above_low, labelled_low, answer
):
    table = scores(0.01, above_low)
    table.loc[table["supervised"], "above_pca_low"] = labelled_low
    said = findings.worth(table)
    assert ("given the labels" in said) == (answer is not None)
    # half of .10, the width of the only self-supervised interval
    assert ("median half-width of 0.05" in said) == (answer is not None)
    assert answer is None or answer in said


def test_few_labels_name_the_method_and_who_wins():
    said = findings.few_labels(fine_tuned(0.8), "PCRL")
    assert said == (
        "*PCRL.* With 4 labelled people (10%), pretraining beat training from "
        "scratch, by an interval above 0, for **A&#95;x** on *lesion* (+0.10 "
        "AUC). With more labels, training from scratch went from 0.60 to 0.80 "
        "AUC on *lesion* (4 and 40 people)."
    )


@pytest.mark.parametrize("at_most", [0.6, 0.5])
def test_fits_that_more_labels_do_not_help_are_said_to_tell_nothing(at_most):
    said = findings.few_labels(fine_tuned(at_most), "PCRL")
    assert "**More labels did not help on lesion: fine-tuning was" in said


def test_two_trainings_are_no_comparison():
    table = fine_tuned(0.8).assign(seeds=2)
    said = findings.few_labels(table, "PCRL")
    assert "nothing is concluded" in said and "A&#95;x" not in said
