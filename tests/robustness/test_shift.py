"""The gap between two populations against scikit-learn, planted and absent."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmssl.robustness.shift import compare_populations


def test_populations_report_gap_and_equivalence(rng):
    labels = np.tile(np.arange(2000) % 3 % 2, 2)
    source, shift = np.arange(0, 2000), np.arange(2000, 4000)
    fair = np.tile(rng.normal(size=2000), 2) + 1.5 * labels
    unfair = fair - 1.2 * labels * (np.arange(4000) >= 2000)
    scores = {"fair": {"T1": fair}, "unfair": {"T1": unfair}}
    table = compare_populations(labels, scores, source, shift, margin=0.05)
    table = table.set_index("model")
    assert table.loc["fair", "conclusion"] == "equivalent"
    assert table.loc["unfair", "conclusion"] == "different"
    for model, by_modality in scores.items():
        score = by_modality["T1"]
        auc_source = roc_auc_score(labels[source], score[source])
        auc_shift = roc_auc_score(labels[shift], score[shift])
        line = table.loc[model]
        assert line["source"] == pytest.approx(auc_source)
        assert line["shift"] == pytest.approx(auc_shift)
        assert line["gap"] == pytest.approx(auc_shift - auc_source)
        assert line["gap_low"] < line["gap"] < line["gap_high"]


def test_a_population_of_one_class_is_named(rng):
    labels, scores = np.arange(20) % 2, {"m": {"T1": rng.normal(size=20)}}
    message = r"shift: 3 people of the classes \[0\]"
    with pytest.raises(ValueError, match=message):
        compare_populations(
            labels, scores, np.arange(10), np.array([10, 12, 14])
        )
