"""Maps on demand are those that the page computes, and are computed once."""

import numpy as np
import pytest
from small_cohort import SMALL_RUN, write_small_cohort

from mmssl import preprocessing, pretrain, saliency
from mmssl.saliency import person_maps

OPTIONS = {"samples": 2, "std": 0.05}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Give a cohort and two runs on it."""
    folder = tmp_path_factory.mktemp("maps")
    people = write_small_cohort(folder / "people")
    runs = {}
    for name, objective in (("one", "AE"), ("two", "RR")):
        runs[name] = folder / name
        pretrain.fit(people, objective, runs[name], **SMALL_RUN)
    return people, runs


def test_they_are_those_of_the_page(case):
    people, runs = case
    maps_of = saliency.PersonMaps(people, runs, seed=3, sigma=1.0, **OPTIONS)
    rows = people.rows("holdout")[:2]
    for name, run in runs.items():
        encoders, landmarks = pretrain.load_encoders(run)
        volumes = preprocessing.standardised(
            people, landmarks, np.float16, rows
        )
        for i, row in enumerate(rows):
            expected = saliency.average(
                encoders["fALFF"],
                volumes["fALFF"][i : i + 1],
                people.mask,
                1.0,
                seed=[3 + int(row)],
                **OPTIONS,
            ).scaled
            found = np.stack([*maps_of(name, "fALFF", row)])
            assert found.shape == (4, 16, 16, 16)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_encoders_stand_in_for_their_run(case):
    people, runs = case
    given = {"other": pretrain.load_encoders(runs["one"])}
    found = saliency.PersonMaps(people, given, **OPTIONS)("other", "T1", 20)
    own = saliency.PersonMaps(people, runs, **OPTIONS)
    np.testing.assert_array_equal(found[1], own("one", "T1", 20)[1])
    assert (found[1] != own("two", "T1", 20)[1]).any()


def test_they_are_computed_once(case, monkeypatch):
    people, runs = case
    computed = []
    smoothgrad = person_maps.smoothgrad

    def counted(*arguments, **options):
        computed.append(options["seed"])
        return smoothgrad(*arguments, **options)

    monkeypatch.setattr(person_maps, "smoothgrad", counted)
    maps_of = saliency.PersonMaps(people, runs, **OPTIONS)
    first = maps_of("one", "T1", 20)
    assert maps_of("one", "T1", np.int64(20)) is first
    maps_of("two", "T1", 20)
    maps_of("one", "T1", 21)
    assert computed == [[20], [20], [21]]


def test_what_is_not_there_is_named(case):
    people, runs = case
    maps_of = saliency.PersonMaps(people, runs)
    with pytest.raises(ValueError, match="run 'three': expected one of one,"):
        maps_of("three", "T1", 0)
    with pytest.raises(ValueError, match="one, modality 'PET': expected"):
        maps_of("one", "PET", 0)
