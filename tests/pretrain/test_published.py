"""Encoders that come with the repository are found by name alone, and are
those that were published.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from small_cohort import SMALL_RUN, write_small_cohort

from mmssl.ledger.leakage import read_exposures
from mmssl.ledger.manifest import write_manifest
from mmssl.preprocessing import standardised
from mmssl.preprocessing.exported_encoders import EXPOSURES as SEEN
from mmssl.pretrain import (
    export_encoders,
    fit,
    load_encoders,
    load_published,
    published_for,
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Give a cohort of images in [0, 1]."""
    return write_small_cohort(tmp_path_factory.mktemp("people") / "cohort")


@pytest.fixture(scope="module")
def exported(cohort, tmp_path_factory):
    """Give the encoders of a run, exported."""
    folder = tmp_path_factory.mktemp("run")
    run = fit(cohort, "RR", folder / "RR-fold0-seed0", **SMALL_RUN)
    return export_encoders(run, folder / "RR", cohort=cohort)


def _publish(folder, edition, exported, *names):
    for name in names:
        shutil.copytree(exported, folder / edition / "encoders" / name)
    write_manifest(folder / edition)


@pytest.fixture
def folder(exported, tmp_path):
    """Give two published editions, which share a name."""
    _publish(tmp_path, "night", exported, "RR", "AE")
    _publish(tmp_path, "older", exported, "RR")
    return tmp_path


def test_one_line_gives_an_encoder_and_what_prepares_its_input(folder, cohort):
    encoder = load_published("AE", folder)["T1"]
    volumes = cohort.volumes["T1"][:3]
    z = encoder.network(encoder.prepare(volumes)).z.detach().numpy()
    assert z.shape == (3, 4)
    np.testing.assert_array_equal(z, encoder.embed(volumes))


def test_the_repositorys_own_are_the_default(folder, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    place = tmp_path / "book" / "published"
    shutil.copytree(folder / "older", place / "older")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert set(load_published("RR")) == {"T1", "fALFF"}
    shutil.rmtree(place)
    with pytest.raises(FileNotFoundError, match="make publish EDITION="):
        load_published("RR")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("CC", "no such model"),
        ("", "no such model"),
        ("night", "no such model"),
        ("../night/encoders/RR", "no such model"),
        ("RR", "in several editions"),
    ],
)
def test_another_name_is_answered_by_what_is_there(name, why, folder):
    with pytest.raises(ValueError) as told:
        load_published(name, folder)
    assert f"{name!r} is {why}, expected one of " in str(told.value)
    assert str(told.value).endswith("night/AE, night/RR, older/RR")


def test_an_edition_tells_equal_names_apart(folder):
    assert set(load_published("older/RR", folder)) == {"T1", "fALFF"}


def test_what_is_half_written_is_not_there(folder):
    shutil.copytree(folder / "night", folder / ".tmp-x" / "night")
    (folder / "night").rename(folder / ".tmp-night")
    assert set(load_published("RR", folder)) == {"T1", "fALFF"}


@pytest.mark.parametrize("name", ["config.json", "T1.safetensors"])
def test_a_changed_file_is_refused_by_name(name, folder):
    file = folder / "night" / "encoders" / "AE" / name
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"AE/{name}: "):
        load_published("AE", folder)


def test_an_exchanged_export_is_refused_by_the_editions_manifest(folder):
    own = folder / "night" / "encoders" / "AE"
    (own / "config.json").write_text("{}")
    write_manifest(own)
    with pytest.raises(ValueError, match="AE/manifest.json: was changed"):
        load_published("AE", folder)


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    """Give a cohort of brains, and the published editions of its encoders."""
    folder = tmp_path_factory.mktemp("heads")
    people = write_small_cohort(folder / "cohort", intensity="brain")
    run = fit(people, "RR", folder / "RR-fold0-seed0", **SMALL_RUN)
    exported = export_encoders(run, folder / "RR", cohort=people)
    _publish(folder / "published", "night", exported, "RR")
    return people, run, folder / "published"


def test_published_encoders_stand_in_for_a_run(brains):
    people, run, folder = brains
    encoders, landmarks, model, file = published_for(people, "RR", folder)
    assert (model, file.parent.parent.name) == ("RR", "encoders")
    of_run, learned = load_encoders(run)
    assert landmarks == learned
    exported = load_published("RR", folder)
    inputs = standardised(people, landmarks, np.float16)
    for m, x in inputs.items():
        prepared = exported[m].prepare(people.volumes[m]).numpy()
        np.testing.assert_array_equal(x, prepared)
        assert encoders.keys() == of_run.keys()


def test_modalities_that_the_cohort_lacks_are_left_out(brains):
    people, _, folder = brains
    alone = replace(people, modalities=("T1",))
    encoders, landmarks, *_ = published_for(alone, "RR", folder)
    assert set(encoders) == set(landmarks) == {"T1"}
    other = replace(people, modalities=("PET",))
    with pytest.raises(ValueError, match="PET found.* RR's, T1, fALFF"):
        published_for(other, "RR", folder)


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        ("size", "(1, 8, 8, 8)", "(1, 16, 16, 16)"),
        ("channels", "(3, 16, 16, 16)", "(1, 16, 16, 16)"),
        ("intensity", "unit", "brain"),
        ("affine", "[12.0, 0.0, 0.0, 2.0]", "[12.0, 0.0, 0.0, 0.0]"),
    ],
)
def test_other_images_are_refused_with_both_sides(
    change, found, expected, brains
):
    people, _, folder = brains
    moved = people.affine.copy()
    moved[0, 3] += 2
    smaller = {m: x[:, ::2, ::2, ::2] for m, x in people.volumes.items()}
    changes = {
        "size": {"volumes": smaller},
        "channels": {"channels": {"T1": 3, "fALFF": 1}},
        "intensity": {"intensity": "unit"},
        "affine": {"affine": moved},
    }
    other = replace(people, **changes[change])
    with pytest.raises(ValueError) as told:
        published_for(other, "RR", folder)
    said = str(told.value)
    assert said.startswith(f"{people.path}: ")
    assert said.endswith("of the published encoder RR")
    assert said.index(found) < said.index(expected)


def test_whom_it_has_seen_is_published_of_simulated_people(brains, tmp_path):
    people, run, folder = brains
    assert not (
        published_for(people, "RR", folder).file.parent / SEEN
    ).exists()
    folder = tmp_path / "published"
    exported = export_encoders(
        run, tmp_path / "RR", cohort=people, simulated="people"
    )
    _publish(folder, "night", exported, "RR")
    file = published_for(people, "RR", folder).file.parent / SEEN
    assert read_exposures(file) == read_exposures(run / SEEN)
    file.write_text(file.read_text().replace('"choose"', '"test"', 1))
    with pytest.raises(ValueError, match="RR/exposures.json: was changed"):
        published_for(people, "RR", folder)


def test_a_changed_model_does_not_stand_in(folder, cohort):
    (folder / "night" / "encoders" / "AE" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="AE/config.json: "):
        published_for(cohort, "AE", folder)
