"""What the front page says was found follows the tables."""

import pandas as pd
import pytest

from book import front_page
from mmssl.ledger.artefacts import Provenance


def _scores(auc, low):
    """One learned model beside PCA (.70) and untrained encoders."""
    return pd.DataFrame(
        {
            "protocol": ["logistic regression"] * 3 + ["linear projection"],
            "model": ["random encoder", "PCA-64", "RR_x", "RR_x"],
            "modality": "T1",
            "baseline": [True, True, False, False],
            "auc": [0.6, 0.7, auc, 0.99],
            "difference_low": [float("nan"), 0.05, low, 0.3],
        }
    )


@pytest.mark.parametrize(
    ("auc", "low", "answer"),
    [
        (0.69, 0.01, "**Nothing that was learned here"),
        (0.80, -0.01, "**Nothing that was learned here"),
        (0.80, 0.01, "**1 of 1 learned representation beat untrained"),
    ],
)
def test_a_learned_representation_must_beat_both_baselines(auc, low, answer):
    said = front_page.worth(_scores(auc, low))
    assert said.startswith(answer)
    assert f"; {int(low > 0)} of 1 learned representation gained" in said
    assert "0.70 on T1)" in said
    if "beat untrained" in answer:
        assert "RR&#95;x on T1, with a ROC-AUC of 0.80" in said


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
    said = front_page.agreement(table)
    assert "chance in 1 of 2 models" in said and "at most 0.20" in said


def test_maps_count_where_an_interval_is_known():
    gains = pd.DataFrame({"low": [0.01, -0.01, float("nan")]})
    said = front_page.places(gains)
    assert said.startswith("1 of 2 maps of where patients differ overlapped")
    alone = front_page.places(gains[:1])
    assert alone.startswith("1 of 1 map of where")


def test_an_edition_without_tables_says_so(tmp_path):
    folder = tmp_path / "book" / "_build" / "front"
    file = front_page.write("none", tmp_path, folder)
    assert "No table of this edition" in file.read_text()
    assert "figure" not in file.read_text()


def test_the_forest_plot_is_that_of_the_edition(tmp_path):
    figures = tmp_path / "figures" / "tiny"
    made = Provenance({}, {}, 0, ("mmssl.ledger.artefacts",))
    from mmssl import plotting

    drawn, _ = plotting.look.canvas()
    made.save(figures, "04_", {"logistic_regression": drawn})
    results = tmp_path / "data" / "results" / "tiny"
    made.save(results, "", {"linear_evaluation": _scores(0.8, 0.1)})
    folder = tmp_path / "book" / "_build" / "front"
    text = front_page.write("tiny", tmp_path, folder).read_text()
    assert "{figure} _build/front/forest.png" in text
    assert "(tiny edition)" in text and "1 of 1 learned" in text
    figure = figures / "04_logistic_regression.png"
    assert (folder / "forest.png").read_bytes() == figure.read_bytes()
    figure.write_bytes(b"another")
    with pytest.raises(ValueError, match="run page 04 again"):
        front_page.write("tiny", tmp_path, folder)
