"""Encoders that know one thing alone: the audit must name it, and nothing
else.
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from mmssl.evaluate import shortcuts
from mmssl.models.dcgan import Features
from mmssl.objectives.views import PadCropFlip

SIDES = (9, 10, 11)


class Position(torch.nn.Module):
    """z is where the brightness lies, in voxels, on the unit sphere: the crop
    and nothing of the person.
    """

    def forward(self, volumes):
        """Centre of mass along each axis, and a constant."""
        x = volumes.flatten(0, 1)
        parts = []
        for axis, side in enumerate(SIDES):
            others = [a for a in (1, 2, 3) if a != axis + 1]
            profile = x.sum(others)
            place = torch.arange(side) - (side - 1) / 2
            parts.append((profile @ place) / profile.sum(1))
        z = torch.stack([*parts, torch.ones(len(x))], 1)
        return Features(torch.nn.functional.normalize(z), None)


class Brightness(torch.nn.Module):
    """z is a function of the sum of the voxels: the person, whatever the
    crop.
    """

    def forward(self, volumes):
        """Points of a circle."""
        total = volumes.flatten(1).sum(1)
        return Features(torch.stack([total.cos(), total.sin()], 1), None)


@pytest.fixture
def inputs():
    """Give 48 people of two modalities: one shape, its brightness the
    person's.
    """
    shape = torch.zeros(1, 1, *SIDES)
    shape[:, :, 2:5, 2:5, 2:5] = 1
    level = torch.linspace(0.1, 6.2, 48).view(-1, 1, 1, 1, 1)
    volumes = (shape / shape.sum() * level).numpy()
    return {"T1": volumes, "fALFF": volumes.copy()}


def encoders(kind):
    return {"T1": kind(), "fALFF": kind()}


def table(views, **options):
    lines = shortcuts.nuisance_table(views, **options)
    return lines.set_index(["modality", "nuisance"])


def test_an_encoder_of_the_position_is_found_out(inputs):
    recipe = PadCropFlip(1, flips=True)
    views = shortcuts.augmented_views(encoders(Position), inputs, recipe)
    assert views.z["T1"].shape == (48, 4, 4)
    found = table(views)
    for m in inputs:
        assert found.loc[(m, "crop"), "share"] > 0.1
        assert found.loc[(m, "flip"), "share"] > 0.3
        assert found.loc[(m, "person"), "share"] < 0.05
        assert found.loc[(m, "person"), "value"] < 0.2
        assert found.loc[(m, "flip"), "value"] > 0.9
    still = shortcuts.augmented_views(
        encoders(Position), inputs, PadCropFlip(2)
    )
    found = table(still)
    assert found.loc[("T1", "crop"), "value"] > 0.8
    assert found.loc[("T1", "crop"), "share"] > 0.8
    assert ("T1", "flip") not in found.index


def test_an_encoder_of_the_person_is_not_accused(inputs, rng):
    recipe = PadCropFlip(2, flips=True)
    views = shortcuts.augmented_views(encoders(Brightness), inputs, recipe)
    traits = {
        "level": np.arange(48.0),
        "site": np.array(["A", "B", "C"])[np.arange(48) // 16],
        "coin": rng.permutation(np.repeat(["x", "y"], 24)),
    }
    found = table(views, traits=traits)
    line = found.loc["fALFF"]
    assert (
        line.loc["person", "value"] == 1 and line.loc["person", "share"] > 0.99
    )
    assert line.loc["crop", "value"] < 0.05
    assert abs(line.loc["crop", "share"]) < 0.05
    assert abs(line.loc["flip", "value"] - 0.5) < 0.15
    assert line.loc["level", "value"] > 0.5
    assert line.loc["site", "value"] > 0.7
    assert abs(line.loc["coin", "value"] - 0.5) < 0.25
    assert list(line["chance"]) == [0, 0.5, 1 / 48, 0, 0.5, 0.5]


def test_a_shared_crop_is_enough_to_match_and_separate_ones_are_not(inputs):
    """The shortcut on purpose: position knows nobody, and still matches."""
    found = shortcuts.matching_table(
        encoders(Position), inputs, PadCropFlip(2), batch_size=8
    ).set_index("augmentation")["accuracy"]
    assert found["same"] > 0.9
    assert found["separate"] < 0.3
    assert found["none"] <= 0.3
    person = shortcuts.matching_table(
        encoders(Brightness), inputs, PadCropFlip(2), batch_size=8
    )
    assert (person["accuracy"] == 1).all()
    assert (person["chance"] == 1 / 8).all() and len(person) == 3


def test_without_a_seed_people_are_dealt_by_the_first(inputs):
    def found(**options):
        table = shortcuts.matching_table(
            encoders(Position), inputs, PadCropFlip(2), 8, 2, **options
        )
        return table["accuracy"].tolist()

    assert found() == found(seed=0) != found(seed=1)


def test_explained_share_is_the_adjusted_r2_of_least_squares(rng):
    columns = rng.normal(size=(50, 3))
    z = columns @ rng.normal(size=(3, 6)) + 2 * rng.normal(size=(50, 6)) + 4
    model = LinearRegression().fit(columns, z)
    left = ((z - model.predict(columns)) ** 2).sum() / 46
    expected = 1 - left / z.var(0, ddof=1).sum()
    assert shortcuts.explained_share(z, columns) == pytest.approx(expected)


def test_person_share_is_the_variance_component(rng):
    people = rng.normal(size=(4000, 1, 5)) * 2
    z = people + rng.normal(size=(4000, 3, 5)) * 3
    assert shortcuts.person_share(z) == pytest.approx(4 / 13, abs=0.02)
    assert shortcuts.person_share(z - people) < 0.01


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_person_share_is_that_of_sums_of_squares_at_any_scale(rng, scale):
    people, draws, latent = 7, 4, 3
    z = rng.normal(size=(people, 1, latent))
    z = scale * (z + rng.normal(size=(people, draws, latent)))
    between = within = 0.0
    for values in np.moveaxis(z, 2, 0):
        means = values.mean(1)
        squares = draws * ((means - values.mean()) ** 2).sum()
        errors = ((values - means[:, None]) ** 2).sum()
        error = errors / (people * (draws - 1))
        between += (squares / (people - 1) - error) / draws
        within += error
    assert between > 0
    expected = between / (between + within)
    assert shortcuts.person_share(z) == pytest.approx(expected)


def test_too_little_is_named(inputs):
    with pytest.raises(ValueError, match="draws=1, expected at least 2"):
        shortcuts.augmented_views(
            encoders(Position), inputs, PadCropFlip(1), draws=1
        )
    with pytest.raises(ValueError, match="48 people of 2 .*at least 64"):
        shortcuts.matching_table(
            encoders(Position), inputs, PadCropFlip(1), batch_size=64
        )


def test_three_people_are_read_in_three_folds(inputs):
    few = {m: x[:3] for m, x in inputs.items()}
    recipe = PadCropFlip(2)
    views = shortcuts.augmented_views(encoders(Brightness), few, recipe)
    found = table(views)
    assert found["value"].notna().all()
    assert found.equals(table(views, folds=3))
