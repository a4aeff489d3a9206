"""The tables of similarity and the figures drawn from them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from mmssl import plotting
from mmssl.similarity.inference import chance_level, shuffled_null
from mmssl.similarity.measures import MEASURES, cka, svcca
from mmssl.similarity.simulations import (
    simulated_codes,
    studies_without_difference,
)
from mmssl.similarity.tables import group_table, similarity_table
from mmssl.stats.permutation import permutation_p


@pytest.fixture
def study(rng):
    """Give a cohort-like object of 60 people and the codes of three runs, one
    collapsed.
    """
    labels = np.repeat((0, 1, 0, 1), (20, 10, 26, 4))
    role = {"train": slice(0, 30), "holdout": slice(30, 60)}
    cohort = SimpleNamespace(
        modalities=("T1", "fALFF"),
        tasks={"diagnosis": {"classes": ["HC", "AD"]}},
        rows=lambda name, fold=0: np.arange(60)[role[name]],
        downstream=lambda rows, modalities: rows,
        labels=lambda: labels,
    )
    t1, falff = simulated_codes(60, 6, 0.7, 3, rng)
    return cohort, {
        "CR": {"T1": t1, "fALFF": falff},
        "RR": {"T1": t1, "fALFF": np.full((60, 6), 0.5, np.float32)},
        "AE": {"T1": t1[:, :4], "fALFF": falff[:, :4]},
    }


def test_table_holds_every_cell_and_what_each_function_says(study):
    cohort, embeddings = study
    table = similarity_table(cohort, embeddings, permutations=29)
    assert len(table) == 3 * 2 * 3 * 5
    keyed = table.set_index(["model", "role", "group", "measure"]).sort_index()
    assert keyed.loc["RR", "estimate"].isna().all()
    # four people
    assert keyed.loc[("CR", "holdout", "AD"), "estimate"].isna().all()
    assert set(keyed["n"]) == {30, 20, 10, 26, 4} and set(keyed["d"]) == {4, 6}
    x, y = (z[:20] for z in embeddings["CR"].values())
    line = keyed.loc[("CR", "train", "HC", "SVCCA")]
    assert line["estimate"] == pytest.approx(svcca(x, y))
    assert line["chance"] == chance_level(20, 6)["SVCCA"]
    null = shuffled_null(x, y, 29)["SVCCA"]
    assert line["shuffle_mean"] == pytest.approx(null.mean())
    assert line["p"] == permutation_p(svcca(x, y), null)
    assert line["low"] <= line["estimate"] <= line["high"]
    groups = group_table(cohort, embeddings, "train", permutations=9)
    assert set(groups["model"]) == {"CR", "AE"} and set(
        groups["n_second"]
    ) == {10}
    assert list(groups)[:3] == ["model", "pair", "role"]
    with pytest.raises(
        ValueError, match="groups of 26 and 4 people, expected at least 5"
    ):
        group_table(cohort, embeddings, "holdout", permutations=9)
    pd.testing.assert_frame_equal(
        similarity_table(cohort, embeddings, permutations=29), table
    )


def test_table_reads_a_real_cohort(tiny_phantom, rng):
    """One pair of each labelled person, whoever has several sessions."""
    embeddings = {
        m: rng.normal(size=(len(tiny_phantom), 8))
        for m in tiny_phantom.modalities
    }
    table = similarity_table(tiny_phantom, {"CR": embeddings}, permutations=9)
    rows = tiny_phantom.downstream(tiny_phantom.rows("train", 0))
    line = table.query(
        "role == 'train' and group == 'all' and measure == 'CKA'"
    ).iloc[0]
    assert line["n"] == len(rows) == len(set(tiny_phantom.subjects[rows]))
    assert line["estimate"] == pytest.approx(
        cka(*(z[rows] for z in embeddings.values()))
    )


def test_figures_show_each_line_at_its_place(study):
    cohort, embeddings = study
    table = similarity_table(cohort, embeddings, permutations=9)
    figure = plotting.similarity_measures(table)
    panels = figure.axes
    assert [axis.get_title() for axis in panels] == list(MEASURES)
    # from the bottom: the connections, above them the baselines of the paper
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        "RR",
        "CR",
        "AE",
    ]
    auc = pd.DataFrame(
        {
            "model": ["CR", "CR", "AE", "AE"],
            "modality": ["T1", "fALFF"] * 2,
            "auc": [0.6, 0.7, 0.9, 0.8],
            "low": 0.5,
            "high": 0.95,
        }
    )
    auc = pd.concat(
        [
            auc.assign(protocol="logistic regression"),
            auc.assign(protocol="linear projection", auc=1 - auc["auc"]),
        ]
    )
    figure = plotting.similarity_and_auc(auc, table)
    assert [a.get_title() for a in figure.axes][1:] == [
        "CKA",
        "SVCCA",
        "debiased CKA",
    ]
    assert [
        label.get_text() for label in figure.axes[0].get_yticklabels()
    ] == ["CR", "AE"]
    dots = figure.axes[1].collections[1].get_offsets()  # HC
    shown = table.query(
        "role == 'holdout' and group == 'HC' and measure == 'CKA'"
    )
    expected = shown.set_index("model").loc[["CR", "AE"], "estimate"]
    np.testing.assert_allclose(dots[:, 0], expected)
    figure = plotting.spurious_differences(
        studies_without_difference(3, (12, 6), 4, permutations=5)
    )
    assert len(figure.axes) == len(MEASURES)


def test_the_figure_beside_the_auc_shows_every_pair_of_modalities():
    shape = {"role": "holdout", "group": "HC", "n": 9, "measure": "CKA"}
    lines = []
    for place, pair in enumerate(("T1 – fALFF", "T1 – dMRI", "fALFF – dMRI")):
        numbers = dict.fromkeys(("low", "high", "chance", "shuffle_95"), 0.1)
        estimate = {"estimate": 0.2 + 0.2 * place}
        lines.append(
            {"model": "CR", "pair": pair} | shape | numbers | estimate
        )
    auc = {
        "model": "CR",
        "modality": "T1",
        "auc": 0.6,
        "low": 0.5,
        "high": 0.7,
    }
    figure = plotting.similarity_and_auc(
        pd.DataFrame([auc]), pd.DataFrame(lines), ["CKA"]
    )
    places = []
    for collection in figure.axes[1].findobj(PathCollection):
        places += collection.get_offsets().tolist()
    estimates, heights = zip(*places, strict=True)
    np.testing.assert_allclose(sorted(estimates), [0.2, 0.4, 0.6])
    assert len(set(heights)) == 3
