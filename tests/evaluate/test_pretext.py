"""What frozen features know: positive where they must, at chance where
nothing is to be known.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmssl.evaluate import known_people, pretext
from mmssl.models.dcgan import Features
from mmssl.models.keyed_random import Stream
from mmssl.objectives.language import build
from mmssl.objectives.preservation import MOMENTUM, ORDINARY

PEOPLE, SIDE = 24, 16


class Pixels(nn.Module):
    """z is the image itself, coarsely."""

    latent = local_channels = 4**3

    def forward(self, x, stream=None):
        z = F.adaptive_avg_pool3d(x, 4).flatten(1)
        return Features(z, z[..., None])


class Noise(Pixels):
    """z is another number for every image, and says nothing."""

    def forward(self, x, stream=None):
        keys = (x.flatten(1).double().sum(1) * 1e6).long()
        z = Stream(keys, 0, 0).uniform("z", self.latent)
        return Features(z, z[..., None])


@pytest.fixture(scope="module")
def images():
    """Give heads of people: bright in one corner, each with noise."""
    rng = np.random.default_rng(2)
    ramp = np.linspace(0, 1, SIDE) ** 2
    head = ramp[:, None, None] + 3 * ramp[None, :, None] + ramp
    noise = 0.1 * rng.standard_normal((PEOPLE, 1, *(SIDE,) * 3))
    return (head + noise).astype(np.float32)


TRAIN, TEST = np.arange(16), np.arange(16, PEOPLE)


def test_turned_images_are_the_four_quarters_of_numpy(images):
    examples = pretext.rotation_examples(Pixels(), images)
    assert examples.z.shape == (PEOPLE, 4, 64)
    for quarter in range(4):
        turned = np.rot90(images, quarter, (2, 3)).copy()
        expected = Pixels()(torch.from_numpy(turned)).z
        assert np.array_equal(examples.z[:, quarter], expected)
    assert examples.classes.tolist() == [[0, 1, 2, 3]] * PEOPLE


def test_patches_lie_where_their_class_says():
    """Of an image that holds its own coordinates."""
    places = np.stack(np.meshgrid(*[np.arange(20.0)] * 3, indexing="ij"))

    class Centre(nn.Module):
        """z is the mean coordinate of what is seen."""

        def forward(self, x, stream=None):
            return Features(x.mean((2, 3, 4)), x)

    images = np.repeat(places[None], PEOPLE, 0)
    examples = pretext.position_examples(Centre(), images, seed=1)
    first, second = examples.z[..., :3], examples.z[..., 3:]
    step = (second - first) / (20 / pretext.PATCHES)
    expected = np.array(pretext.NEIGHBOURS)[examples.classes]
    assert step[..., :2] == pytest.approx(expected, abs=0.02)
    assert step[..., 2] == pytest.approx(0, abs=0.02)
    # whole along the third axis, inside the image, anywhere
    assert first[..., 2] == pytest.approx(9.5, abs=0.02)
    assert 0 < examples.z[..., [0, 1, 3, 4]].min()
    assert examples.z[..., [0, 1, 3, 4]].max() < 19
    assert len(np.unique(first[..., :2].round(3), axis=0)) > 3
    assert set(examples.classes.ravel()) == set(range(8))


def test_pixels_know_and_noise_does_not(images):
    models = {"noise": Noise(), "pixels": Pixels()}
    answers = pretext.pretext_answers(models, images, TRAIN, TEST)
    table = pretext.pretext_table(answers, "noise")
    table = table.set_index(["task", "model"])
    assert table["chance"].tolist() == [0.25, 0.25, 0.125, 0.125]
    for task in pretext.TASKS:
        known, unknown = table.loc[task, "pixels"], table.loc[task, "noise"]
        # no interval where everybody is told rightly
        assert known["accuracy"] == 1 or known["low"] > known["chance"]
        assert known["difference_low"] > 0
        assert not unknown["low"] > unknown["chance"]
        assert np.isnan(unknown["difference"])
        gain = known["accuracy"] - unknown["accuracy"]
        assert known["difference"] == pytest.approx(gain)
        assert known["people"] == len(TEST)


def pcrl(**options):
    torch.manual_seed(3)
    return build("PCRL", ("T1",), width=2, size=SIDE, queue=8, **options)


def test_the_turn_of_a_target_is_in_no_view(images):
    """A readout of it is at chance; that of the input is not."""
    objective = pcrl(shares=(1.0,))
    objective.encoders["T1"] = Pixels()
    many = np.concatenate([images] * 6)
    examples = pretext.target_examples(objective, {"T1": many}, "T1")
    train, test = np.arange(96), np.arange(96, 144)
    right = pretext.share_right(examples, train, test).mean()
    # 96 answers, p = 1/4
    assert abs(right - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 96)
    # it would be noticed
    leaked = examples.z.copy()
    leaked[..., :4] = 9 * np.eye(4)[examples.classes]
    known = examples._replace(z=leaked)
    assert pretext.share_right(known, train, test).mean() > 0.9


class Seen:
    """Stands for a projection: the sorted values of an image, which no turn
    changes, or nothing of it.
    """

    def __init__(self, knows):
        self.knows = knows

    def __call__(self, ctx):
        projected = {}
        for name in (ORDINARY, MOMENTUM):
            clean, _ = ctx.view(name).targets["input"]["T1"]
            values = clean.flatten(1).sort(1).values[:, ::32]
            projected[name] = values - values.mean(0)
            if not self.knows:
                projected[name] = torch.ones_like(values)
        return {"T1": projected}


@pytest.mark.parametrize("knows", [True, False])
def test_who_knows_people_loses_by_another_persons_key(knows, monkeypatch):
    rng = np.random.default_rng(4)
    # people whose images have values of their own
    own = rng.gamma(1, size=(PEOPLE, 1, 1, 1, 1))
    shape = (PEOPLE, 1, *(SIDE,) * 3)
    images = (rng.random(shape) ** (0.2 + own)).astype(np.float32)
    objective = pcrl(shares=(1.0,)).eval()
    term = objective.terms["PCRL"]
    with pytest.raises(ValueError, match="no contrast with a queue that is"):
        pretext.contrast_table(objective, {"T1": images})
    draw = torch.Generator().manual_seed(1)
    term.queue_T1.copy_(torch.randn(8, 128, generator=draw))
    term.filled_T1.fill_(True)
    monkeypatch.setattr(term, "projections", Seen(knows))
    line = pretext.contrast_table(objective, {"T1": images}).iloc[0]
    assert line["chance"] == pytest.approx(np.log(9))
    assert line["people"] == PEOPLE
    difference = line["loss"] - line["others"]
    assert line["difference"] == pytest.approx(difference, abs=1e-5)
    if knows:
        assert line["difference_high"] < 0
    else:
        # below chance although nobody is known: all alike, unlike the queue
        assert line["loss"] < line["chance"] - 0.5
        assert line["difference"] == pytest.approx(0, abs=1e-6)


def test_another_persons_key_is_seen_in_the_crop_of_ones_own(images):
    objective = pcrl()
    inputs = {"T1": images}
    own = pretext._views(objective, inputs, 0, 0)
    moved = pretext._views(objective, inputs, 0, 0, 1)
    rolled = pretext._views(objective, {"T1": np.roll(images, -1, 0)}, 0, 0)
    for name in (ORDINARY, MOMENTUM):
        assert torch.equal(
            moved[name].volumes["T1"], rolled[name].volumes["T1"]
        )
        assert not torch.equal(
            moved[name].volumes["T1"], own[name].volumes["T1"]
        )


def test_the_sentence_on_contrasts_counts_those_that_know_people():
    columns = ["difference", "difference_low", "difference_high"]
    nothing = pd.DataFrame([(-0.007, -0.018, 0.004)], columns=columns)
    people = pd.DataFrame([(-0.2, -0.3, -0.1)], columns=columns)
    said = known_people(nothing)
    assert "In the one contrast the loss was not shown to be lower" in said
    assert "(difference -0.007, interval -0.018 to +0.004)" in said
    said = known_people(people)
    assert "In the one contrast the loss is lower" in said
    assert "not shown" not in said and "a sign that people" in said
    said = known_people(pd.concat([nothing, people, nothing]))
    assert "In **1** of the 3 contrasts the loss is lower" in said
    said = known_people(pd.concat([nothing, nothing]))
    assert "In none of the 2 contrasts was the loss shown" in said
