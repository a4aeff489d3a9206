"""The sweep against a plain loop over people, points and models."""

import numpy as np
import pytest
import torch
from planted_models import Averager, linear_model
from torchio_reference import by_torchio

from mmssl.models.dcgan import Encoder
from mmssl.robustness import comparison, spaces
from mmssl.robustness.linear_models import LinearModel
from mmssl.robustness.sweep import (
    distortion_seeds,
    effective_voxels,
    sweep,
)


@pytest.fixture
def small(rng):
    """Give inputs of 6 people of two modalities, their names, two models with
    real encoders, and a few points.
    """
    inputs = {
        m: rng.normal(size=(6, 1, 16, 16, 16)).astype(np.float32)
        for m in ("T1", "fALFF")
    }
    for x in inputs.values():
        x[:, :, :4] = 0  # no brain
    torch.manual_seed(0)
    models = {"one": {}, "other": {}}
    for of_model in models.values():
        for m in inputs:
            encoder = Encoder(width=2, latent=4, size=16).eval()
            weight = rng.normal(size=4).astype(np.float32)
            of_model[m] = LinearModel(encoder, weight, 0.3)
    grid = spaces.grid_points(10).query(
        "distortion in ('affine', 'ghost', 'noise', 'gamma')"
    )
    subjects = np.array([f"sub-{i}" for i in range(6)])
    return inputs, subjects, models, grid


def averagers(inputs, voxels):
    """One model, the same in every modality."""
    return {"a": {m: linear_model(Averager(voxels)) for m in inputs}}


def test_sweep_equals_the_plain_loop(small, affine, tmp_path):
    inputs, subjects, models, grid = small
    for of_model in models.values():
        for model in of_model.values():
            model.encoder.train()  # as a training leaves it
    swept = sweep(*small, affine, tmp_path, seed=2, block=4, progress=False)
    assert swept.scores.shape == (1 + len(grid), 2, 2, 6)
    assert len(swept.excluded) == 0
    for p, line in enumerate(swept.points.itertuples()):
        point = (line.distortion, line.parameter, line.value)
        for n, subject in enumerate(subjects):
            seed = distortion_seeds([subject], *point, 2)[0]
            for j, m in enumerate(inputs):
                x = torch.from_numpy(inputs[m][n])
                if p > 0:
                    brain = (x != 0).float()
                    x = by_torchio(x, *point, seed, affine)
                    if line.distortion == "affine":
                        brain = by_torchio(brain, *point, seed, affine)
                    x = x * (brain > 0.5)
                for i, of_model in enumerate(models.values()):
                    model = of_model[m]
                    with torch.no_grad():
                        z = model.encoder(x[None]).z[0].numpy()
                    expected = z @ model.weight + model.bias
                    assert swept.scores[p, i, j, n] == pytest.approx(
                        expected, rel=1e-3, abs=1e-3
                    )


def test_seeds_belong_to_subject_panel_and_value():
    point = ("noise", "std", 0.4)
    first = distortion_seeds(["a", "b", "c"], *point)
    same_value = ("noise", "std", np.float64(0.4))
    assert first == distortion_seeds(["a", "b", "c"], *same_value)
    assert distortion_seeds(["c", "a"], *point) == [first[2], first[0]]
    others = [
        distortion_seeds(["a"], "noise", "std", 0.6)[0],
        distortion_seeds(["a"], "noise", "mean", 0.4)[0],
        distortion_seeds(["a"], "spike", "std", 0.4)[0],
        distortion_seeds(["a"], *point, seed=1)[0],
    ]
    assert len({first[0], *others}) == 5
    assert max(first + others) < 2**31


def test_a_stopped_sweep_goes_on_where_it_stood(small, affine, tmp_path):
    inputs, subjects, _, grid = small

    def run(models, folder):
        return sweep(
            inputs,
            subjects,
            models,
            grid,
            affine,
            tmp_path / folder,
            progress=False,
        )

    class Stops(Averager):
        def forward(self, x):
            if self.calls == 7:
                raise KeyboardInterrupt
            return super().forward(x)

    unbroken = run(averagers(inputs, 50), "unbroken")
    stopping = Stops(50)
    # nothing else tells the two models apart
    stopping.__class__.__name__ = "Averager"
    with pytest.raises(KeyboardInterrupt):
        run({"a": {m: linear_model(stopping) for m in inputs}}, "stopped")
    again = averagers(inputs, 50)
    resumed = run(again, "stopped")
    assert np.array_equal(resumed.scores, unbroken.scores)
    # two modalities a point: three points were whole, the fourth was half done
    assert again["a"]["T1"].encoder.calls == len(grid) + 1 - 3
    other = averagers(inputs, 51)
    run(other, "stopped")
    assert other["a"]["T1"].encoder.calls == len(grid) + 1


def test_what_is_not_finite_is_reported_and_not_scored(
    small, affine, tmp_path
):
    inputs, subjects, _, _ = small
    inputs["T1"][4] *= 1e4  # times e^82: beyond fp32
    points = spaces.grid_points().query(
        "parameter == 'order' and value in (3, 8)"
    )
    models = {
        "tame": {m: linear_model(Averager(4096, 1e-20)) for m in inputs},
        "wild": {m: linear_model(Averager(4096, 1e9)) for m in inputs},
    }
    swept = sweep(
        inputs, subjects, models, points, affine, tmp_path, progress=False
    )
    excluded = swept.excluded
    volume = excluded[excluded["not_finite"] == "volume"]
    columns = ["distortion", "parameter", "value", "modality", "subject"]
    assert volume[[*columns, "model"]].values.tolist() == [
        ["bias", "order", 8.0, "T1", "sub-4", "all"]
    ]
    embedding = excluded[excluded["not_finite"] == "embedding"]
    assert set(embedding["model"]) == {"wild"}
    assert set(embedding["value"]) == {8.0}
    in_falff = embedding[embedding["modality"] == "fALFF"]
    assert set(in_falff["subject"]) == set(subjects)
    missing = np.isnan(swept.scores[2, 0, 0])
    assert np.array_equal(missing, subjects == "sub-4")
    # "wild" leaves nobody in fALFF: no AUC for anybody there, and the panel
    # lives on what is left
    every = swept._replace(points=swept.points.assign(collapsed=False))
    boot = comparison.bootstrap(every, np.array([0, 1] * 3), resamples=100)
    assert np.isnan(boot.values[2, :, 1]).all()
    assert np.isfinite(boot.values[1]).all()
    areas = comparison.areas(boot)
    areas = areas.query("modality == 'fALFF' and model == 'tame'")
    assert areas["area"].to_numpy() == pytest.approx(boot.values[1, 0, 1])


def test_effective_voxels_count_what_shows():
    equal = torch.zeros(4, 1, 3, 4, 5)
    equal[0, 0, 0, 0] = torch.tensor([2.0, -2.0, 2.0, 2.0, -2.0])
    equal[1, 0, 1, 1, 1] = 1e30
    equal[2, 0, 2, 2, 2] = torch.inf
    counts = effective_voxels(equal)
    assert counts.tolist() == [5.0, 1.0, 0.0, 0.0]
    images = torch.randn(2, 1, 6, 7, 8, generator=torch.manual_seed(0))
    squares = images.flatten(1).double() ** 2
    kurtosis = (squares**2).mean(1) / squares.mean(1) ** 2
    torch.testing.assert_close(
        effective_voxels(1e30 * images), 6 * 7 * 8 / kurtosis
    )


def test_a_field_that_leaves_a_few_voxels_marks_its_points(
    small, affine, tmp_path
):
    inputs, subjects, models, _ = small
    points = spaces.grid_points().query("distortion == 'bias'")
    swept = sweep(
        inputs, subjects, models, points, affine, tmp_path, progress=False
    )
    marked = swept.points.set_index(["parameter", "value"])["collapsed"]
    assert not marked["coefficients", 0.1]
    assert marked["order", 8.0]
    assert not swept.points["collapsed"].iloc[0]


def test_bad_sweeps_are_named(small, affine, tmp_path):
    inputs, subjects, models, grid = small
    rest = (models, grid, affine, tmp_path)
    twice = subjects.copy()
    twice[2] = "sub-1"
    with pytest.raises(ValueError, match="'sub-1' stands 2 times"):
        sweep(inputs, twice, *rest)
    with pytest.raises(ValueError, match="inputs, T1: shape"):
        sweep({"T1": inputs["T1"][:, 0]}, subjects, *rest)
    message = r"models, 'one': no encoder for \['T2'\]"
    with pytest.raises(ValueError, match=message):
        sweep({"T2": inputs["T1"]}, subjects, *rest)


class InPlace(Averager):
    """An averager that rectifies its input in place first."""

    def forward(self, x):
        return super().forward(x.relu_())


def test_an_encoder_in_place_spoils_no_other_and_no_input(
    small, affine, tmp_path
):
    inputs, subjects, _, grid = small
    before = {m: x.copy() for m, x in inputs.items()}
    plain = {m: linear_model(Averager(4096)) for m in inputs}
    in_place = {m: linear_model(InPlace(4096)) for m in inputs}
    options = {"seed": 0, "progress": False}
    alone = sweep(
        inputs,
        subjects,
        {"a": plain},
        grid[:1],
        affine,
        tmp_path / "1",
        **options,
    )
    both = sweep(
        inputs,
        subjects,
        {"b": in_place, "a": plain},
        grid[:1],
        affine,
        tmp_path / "2",
        **options,
    )
    np.testing.assert_array_equal(both.scores[:, 1], alone.scores[:, 0])
    for m, x in inputs.items():
        np.testing.assert_array_equal(x, before[m])
