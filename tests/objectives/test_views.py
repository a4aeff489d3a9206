"""Augmentation against NumPy's pad, slice and flip; a crop a modality, row by
row.
"""

import numpy as np
import pytest
import torch

from mmssl.models.keyed_random import Stream
from mmssl.objectives import views
from mmssl.objectives.views import (
    Clean,
    Noisy,
    PadCropFlip,
    make_views,
    merge,
    paper_recipe,
    shift_and_flip,
)


@pytest.mark.parametrize("large", [1, 1_000_000])
@pytest.mark.parametrize("pad", [3, 12])
@pytest.mark.parametrize("sides", [(7, 8, 9), (6, 5)])
def test_equals_pad_crop_flip_of_numpy(sides, pad, large, rng, monkeypatch):
    """By rows and by a gather; also where nothing of an image stays."""
    monkeypatch.setattr(views, "_LARGE", large)
    batch, axes = 5, len(sides)
    volumes = torch.from_numpy(rng.normal(size=(batch, 2, *sides)))
    start = torch.from_numpy(rng.integers(0, 2 * pad + 1, (batch, axes)))
    flip = torch.from_numpy(rng.random((batch, axes)) < 0.5)
    moved = shift_and_flip(volumes, start - pad, flip)
    for b in range(batch):
        widths = [(0, 0)] + [(pad, pad)] * axes
        padded = np.pad(volumes[b].numpy(), widths)
        window = tuple(
            slice(s, s + n)
            for s, n in zip(start[b].tolist(), sides, strict=True)
        )
        expected = padded[(slice(None), *window)]
        expected = np.flip(
            expected, [k + 1 for k in range(axes) if flip[b, k]]
        )
        assert np.array_equal(moved[b].numpy(), expected)


@pytest.mark.parametrize("large", [1, 1_000_000])
def test_halves_move_unchanged(large, rng, monkeypatch):
    monkeypatch.setattr(views, "_LARGE", large)
    volumes = torch.from_numpy(rng.normal(size=(2, 1, 7, 8, 9))).half()
    offset = torch.tensor([[1, -2, 3], [0, 0, 0]])
    flip = torch.tensor([[True, False, True]] * 2)
    expected = shift_and_flip(volumes.double(), offset, flip)
    assert torch.equal(
        shift_and_flip(volumes, offset, flip).double(), expected
    )


@pytest.mark.parametrize("shared", [False, True])
def test_crops_are_shared_on_demand_and_rows_stand_alone(shared, rng):
    first = torch.from_numpy(rng.normal(size=(4, 1, 16, 16, 16)))
    volumes = {"T1": first, "fALFF": 2 * first}
    recipe = PadCropFlip(pad=2, flips=True, shared=shared)
    out = recipe(volumes, Stream(torch.arange(4), 0, 0))
    assert torch.equal(out["fALFF"], 2 * out["T1"]) == shared
    assert not torch.equal(out["T1"], first)
    alone = recipe({"T1": first[2:3]}, Stream(torch.tensor([2]), 0, 0))
    assert torch.equal(alone["T1"][0], out["T1"][2])


def test_crops_of_two_modalities_are_independent():
    ramp = torch.arange(1, 17.0).expand(2000, 1, 16, 16, 16)
    volumes = {"T1": ramp, "fALFF": ramp}
    out = PadCropFlip(pad=3)(volumes, Stream(torch.arange(2000), 1, 2))
    middle = torch.stack([x[:, 0, 8, 8, 8] for x in out.values()])
    assert abs(torch.corrcoef(middle)[0, 1].item()) < 0.08


@pytest.mark.parametrize(("side", "pad"), [(32, 1), (64, 2), (16, 1)])
def test_the_usual_crop_is_small_and_the_papers_an_eighth(side, pad):
    ramp = torch.arange(1.0, side + 1).expand(400, 1, 1, 1, side)
    ramp = ramp.expand(400, 1, side, 8, side)
    stream = Stream(torch.arange(400), 3, 4)
    middle = PadCropFlip()({"T1": ramp}, stream)["T1"][:, 0, 8, 4, side // 2]
    offsets = (middle - ramp[0, 0, 0, 0, side // 2]).unique().tolist()
    assert offsets == list(range(-pad, pad + 1))
    expected = PadCropFlip(side // 8, flips=True, shared=True)
    assert paper_recipe(side) == expected


def test_crops_reach_every_offset_and_flips_half_of_the_rows():
    ramp = torch.arange(16.0).expand(600, 1, 16, 16, 16)
    stream = Stream(torch.arange(600), 3, 4)
    recipe = PadCropFlip(pad=2, flips=True)
    lines = recipe({"T1": ramp}, stream)["T1"][:, 0, 8, 8]
    flipped = lines[:, 8] < lines[:, 7]
    assert 0.4 < flipped.float().mean() < 0.6
    middle = lines[~flipped][:, 8]
    assert sorted(middle.unique().tolist()) == [6, 7, 8, 9, 10]
    unmoved = PadCropFlip(pad=0, flips=False)({"T1": ramp}, stream)
    assert torch.equal(unmoved["T1"], ramp)


def test_views_merge_or_clash():
    assert merge([{"main": None}, {"main": None, "clean": Clean()}]) == {
        "main": None,
        "clean": Clean(),
    }
    with pytest.raises(ValueError, match="'main'.*PadCropFlip"):
        merge([{"main": Clean()}, {"main": PadCropFlip()}])


def test_views_of_two_names_differ_and_none_is_the_runs_own(rng):
    inputs = {"T1": torch.from_numpy(rng.normal(size=(5, 1, 8, 8, 8))).float()}
    rows = {"T1": torch.tensor([4, 0, 2])}
    spec = {"main": None, "other": PadCropFlip(pad=2), "clean": Clean()}
    views = make_views(
        inputs, rows, spec, PadCropFlip(pad=2), Stream(torch.arange(3), 0, 0)
    )
    assert torch.equal(views["clean"].volumes["T1"], inputs["T1"][[4, 0, 2]])
    assert not torch.equal(
        views["main"].volumes["T1"], views["other"].volumes["T1"]
    )
    assert views["main"].kind == "main"


@pytest.mark.parametrize("sides", [(7, 8, 9), (6, 5)])
def test_views_do_not_depend_on_the_blocks_they_are_made_in(
    sides, rng, monkeypatch
):
    inputs = {
        m: torch.from_numpy(rng.normal(size=(9, 2, *sides))).half()
        for m in ("T1", "fALFF")
    }
    rows = {m: torch.from_numpy(rng.integers(0, 9, 7)) for m in inputs}
    arguments = (
        rows,
        {"main": None},
        Noisy(PadCropFlip(pad=1)),
        Stream(torch.arange(7) + 3, 0, 0),
    )
    whole = make_views(inputs, *arguments)["main"].volumes
    monkeypatch.setattr(
        "mmssl.objectives.views._BLOCK_BYTES", 3 * inputs["T1"][0].nbytes
    )
    layout = torch.channels_last
    if len(sides) == 3:
        layout = torch.channels_last_3d
    for m, x in make_views(inputs, *arguments)["main"].volumes.items():
        assert x.dtype == torch.float32
        assert x.is_contiguous(memory_format=layout)
        assert torch.equal(x, whole[m])


def test_noise_falls_on_a_third_of_the_pairs_with_a_uniform_deviation():
    still = {m: torch.ones(3000, 1, 6, 7, 8) for m in ("T1", "fALFF")}
    for x in still.values():
        x[:, :, 0] = 0
    out = Noisy(Clean(), largest_std=0.8)(
        still, Stream(torch.arange(3000), 5, 6)
    )
    assert all((x[:, :, 0] == 0).all() for x in out.values())
    out = {m: x[:, :, 1:] for m, x in out.items()}
    spread = {m: x.flatten(1).std(1) for m, x in out.items()}
    hit = spread["T1"] > 0
    assert torch.equal(hit, spread["fALFF"] > 0)  # one coin a pair
    assert abs(hit.float().mean().item() - 0.33) < 0.03
    drawn = spread["T1"][hit]
    # uniform on [0, .8]: mean .4, standard deviation .8 / sqrt(12), of about
    # 990 draws
    assert abs(drawn.mean().item() - 0.4) < 0.03 and drawn.max() < 0.95
    assert abs(drawn.std().item() - 0.231) < 0.02
    both = torch.stack([drawn, spread["fALFF"][hit]])
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.15
    noise = torch.stack([x[hit][0].flatten() for x in out.values()])
    assert abs(torch.corrcoef(noise)[0, 1].item()) < 0.3


def test_noise_comes_after_the_recipe_and_rows_stand_alone(rng):
    volumes = {
        "T1": torch.from_numpy(rng.normal(size=(40, 1, 8, 8, 8))).half()
    }
    stream = Stream(torch.arange(40), 1, 2)
    cropped = PadCropFlip(pad=2)(volumes, stream)["T1"].float()
    out = Noisy(PadCropFlip(pad=2))(volumes, stream)["T1"]
    still = (out == cropped).flatten(1).all(1)
    assert 0 < still.sum() < 40
    row = int((~still).nonzero()[0])
    one = {"T1": volumes["T1"][row : row + 1]}
    alone = Noisy(PadCropFlip(pad=2))(one, Stream(torch.tensor([row]), 1, 2))
    assert torch.equal(alone["T1"][0], out[row])
    silent = Noisy(PadCropFlip(pad=2), largest_std=0.0)(volumes, stream)
    assert torch.equal(silent["T1"], cropped)
    never = Noisy(Clean(), probability=0.0)(volumes, stream)
    assert torch.equal(never["T1"], volumes["T1"].float())


def test_the_name_of_a_noisy_recipe_says_everything():
    assert repr(Noisy()) == (
        "Noisy(recipe=PadCropFlip(pad=None, flips=False, shared=False), "
        "largest_std=1.0, probability=0.33)"
    )
    assert Noisy() == Noisy(PadCropFlip()) != Noisy(largest_std=0.5)
    for wrong in ({"largest_std": -1.0}, {"probability": 1.2}):
        with pytest.raises(ValueError, match="Noisy: largest_std="):
            Noisy(**wrong)
