"""A number in a text comes from a table, or the text is refused."""

import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))

import filled_text  # noqa: E402

SCORES = pd.DataFrame(
    {
        "model": ["PCA-64", "RR", "RR", "random encoder"],
        "modality": ["T1", "T1", "fALFF", "T1"],
        "auc": [0.8749, 0.91, 0.5, float("nan")],
        "gain": [-0.25, 0.1, -0.1, 0.0],
        "baseline": [True, False, False, True],
    }
)
CLAIMS = pd.DataFrame(
    {
        "verdict": pd.Categorical(
            ["supported", "supported"],
            categories=["supported", "contradicted"],
        )
    }
)
TABLES = {"scores": SCORES, "claims": CLAIMS}


@pytest.mark.parametrize(
    ("placeholder", "expected"),
    [
        ("{{scores[model=PCA-64].auc:.2f}}", "0.87"),
        ("{{ scores[model=PCA-64].gain:+.2f }}", "−0.25"),
        ("{{scores[model=RR, modality=fALFF].auc}}", "0.5"),
        ("{{scores.count}}", "4"),
        ("{{scores[gain>-0.1].count}}", "2"),
        ("{{scores[gain<0].count}}", "2"),
        ("{{scores[model!=RR].count}}", "2"),
        ("{{scores[baseline=False].mean(auc):.3f}}", "0.705"),
        ("{{scores[model=RR].least(auc):.1f}}", "0.5"),
        ("{{scores[model=RR].largest(auc):.2f}}", "0.91"),
        ("{{scores.distinct(model)}}", "3"),
        ("{{scores[gain<0].names(model)}}", "PCA-64, RR"),
        ("{{scores[gain>1].names(model)}}", "none"),
        ("{{claims[verdict=contradicted].count}}", "0"),
    ],
)
def test_a_placeholder_is_what_it_names(placeholder, expected):
    text = f"before {placeholder}, after"
    filled = filled_text.fill(text, TABLES)
    assert filled == f"before {expected}, after"
    assert filled_text.is_filled_from(filled.replace(" ", "\n"), text)
    assert not filled_text.is_filled_from(filled, text.replace("be", "bi"))


@pytest.mark.parametrize(
    ("placeholder", "message"),
    [
        ("{{nothing.count}}", "no table 'nothing'"),
        ("{{scores.nothing}}", "no column 'nothing'"),
        ("{{scores[nothing=1].count}}", "no column 'nothing'"),
        ("{{scores[model=RRR].count}}", "no model 'RRR'"),
        ("{{claims[verdict=suported].count}}", "no verdict 'suported'"),
        ("{{scores[model!=RRR].count}}", "no model 'RRR'"),
        ("{{scores[model=RR].auc}}", "2 rows, expected one"),
        ("{{scores[model=RR, gain>1].auc}}", "0 rows, expected one"),
        ("{{scores[model=random encoder].auc}}", "value is missing"),
        ("{{scores[gain>1].mean(auc)}}", "no rows are left"),
        ("{{scores.median(auc)}}", "'median', expected one of"),
        ("{{scores[gain>much].count}}", "'much', expected a number"),
        ("{{scores[model].count}}", "expected column=value"),
        ("{{scores}}", "not a placeholder"),
        ("{{scores[model=RR.auc}}", "not a placeholder"),
        ("{{scores.count", "not a placeholder"),
    ],
)
def test_one_that_names_nothing_is_refused(placeholder, message):
    with pytest.raises(ValueError, match=message):
        filled_text.fill(f"so {placeholder} it is", TABLES)


def test_a_typed_digit_is_found():
    text = (
        "---\ndate: 2026-11-21\n---\nT1 of {{a[b=1].c:.2f}} `PCA-64`, "
        "$n = 3$ [@x2021; @y2020], [here](04_page) in 3D."
    )
    assert filled_text.typed_digits(text) == []
    text = "An AUC of 0.87, of {{a[b=1].c}} in 22\nand T2."
    assert filled_text.typed_digits(text) == ["0.87,", "22", "T2."]
