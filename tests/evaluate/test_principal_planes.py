"""The plane of a representation is that of its two largest variances."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from mmssl.evaluate import known_of_people, principal_planes
from mmssl.evaluate.confounds import covariates


def test_the_plane_is_that_of_an_independent_analysis(rng):
    z = rng.normal(size=(30, 7)) * np.arange(1, 8)
    rows = np.arange(3, 28)
    planes = principal_planes({"RR": {"T1": z.astype(np.float32)}}, rows)
    assert list(planes["row"]) == list(rows)
    expected = PCA(2).fit(z[rows])
    for axis, name in enumerate(("first", "second")):
        found = planes[name].to_numpy()
        other = expected.transform(z[rows])[:, axis]
        other *= np.sign(found @ other)
        np.testing.assert_allclose(found, other, atol=1e-3)
        assert found[np.abs(found).argmax()] > 0
    share = expected.explained_variance_ratio_.sum()
    assert planes["share"].to_numpy() == pytest.approx(share, abs=1e-5)


def test_who_is_not_drawn_moves_nobody(rng):
    z = rng.normal(size=(20, 5))
    other = z.copy()
    other[10:] *= 100
    rows = np.arange(10)
    planes = [principal_planes({"a": {"T1": x}}, rows) for x in (z, other)]
    pd.testing.assert_frame_equal(*planes)


def test_who_lacks_a_modality_has_no_place(rng):
    z = {m: rng.normal(size=(12, 4)) for m in ("T1", "fALFF")}
    z["fALFF"][[2, 5]] = np.nan
    planes = principal_planes({"a": z}, np.arange(8))
    rows = planes.groupby("modality")["row"].apply(list)
    assert rows["T1"] == list(range(8))
    assert rows["fALFF"] == [0, 1, 3, 4, 6, 7]


def test_nothing_to_draw_is_an_empty_table(rng):
    few = principal_planes({"a": {"T1": rng.normal(size=(9, 4))}}, [0, 1])
    narrow = principal_planes({"a": {"T1": rng.normal(size=(9, 1))}}, range(9))
    assert few.empty and narrow.empty
    assert list(few) == list(principal_planes({}, []))
    alike = principal_planes({"a": {"T1": np.ones((9, 4))}}, range(9))
    assert (alike[["first", "second", "share"]] == 0).all(axis=None)


def test_what_is_known_is_that_of_the_very_pair(tiny_phantom):
    rows = np.array([7, 2, 11])
    known = known_of_people(tiny_phantom, rows)
    assert list(known) == ["group", "severity", "site", "head size"]
    assert list(known.index) == list(rows)
    table = covariates(tiny_phantom).iloc[rows]
    np.testing.assert_array_equal(known["head size"], table["head size"])
    assert list(known["site"]) == list(table["site"])
    file = tiny_phantom.path / "truth" / "factors.tsv"
    factors = pd.read_csv(file, sep="\t", index_col="participant_id")
    for row, line in known.iterrows():
        truth = factors.loc[tiny_phantom.subjects[row]]
        assert line["severity"] == truth["severity"]
        assert line["group"] == truth["group"]
