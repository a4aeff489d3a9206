"""Distortions against TorchIO, the sweep against a plain loop, verdicts
against planted truth.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torchio as tio
from sklearn.metrics import roc_auc_score

from mmssl.evaluate.probes import linear_probe
from mmssl.models.dcgan import Encoder
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.fit import fit
from mmssl.robustness import comparison, distortions, spaces
from mmssl.robustness.shift import populations
from mmssl.robustness.sweep import (
    Reader,
    Sweep,
    chosen_runs,
    linear_models,
    project,
    seeds,
    sweep,
)

PANELS = [
    (d, p) for d, values in spaces.PARAMETER_SPACES.items() for p in values
]
each_panel = pytest.mark.parametrize(
    ("distortion", "parameter"),
    PANELS,
    ids=[" ".join(panel) for panel in PANELS],
)


@pytest.fixture
def volumes(rng):
    """Give three z-scored-like volumes of unequal sides with a flat
    background.
    """
    x = rng.normal(size=(3, 1, 7, 8, 9)).astype(np.float32)
    x[:, :, :2] = -0.7
    return torch.from_numpy(x)


def torchio_transform(distortion, parameter, value):
    """The random transform of appendix A.1 as the paper writes it: one
    parameter as (v, v).
    """
    kept = {
        "affine": {"scales": (1, 1), "degrees": (0, 0), "translation": (0, 0)},
        "elastic": {},
        "motion": {
            "degrees": (0, 0),
            "translation": (0, 0),
            "num_transforms": 1,
        },
        "ghost": {"num_ghosts": (1, 1), "intensity": (0.5, 0.5)},
        "spike": {"num_spikes": (1, 1), "intensity": (0.5, 0.5)},
        "blur": {"std": (0.25, 0.25)},
        "bias": {"coefficients": (0.5, 0.5), "order": 3},
        "noise": {"mean": (0, 0), "std": (0.25, 0.25)},
        "gamma": {},
    }
    names = [
        "RandomAffine",
        "RandomElasticDeformation",
        "RandomMotion",
        "RandomGhosting",
        "RandomSpike",
        "RandomBlur",
        "RandomBiasField",
        "RandomNoise",
        "RandomGamma",
    ]
    single = parameter in ("num_control_points", "max_displacement", "order")
    given = value if single else (value, value)
    name = dict(zip(kept, names, strict=True))[distortion]
    return getattr(tio, name)(**{**kept[distortion], parameter: given})


def by_torchio(volume, distortion, parameter, value, seed, affine):
    """TorchIO's random transform after torch.manual_seed."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore", RuntimeWarning)  # "folding may occur"
        torch.manual_seed(seed)
        image = tio.ScalarImage(tensor=volume.clone(), affine=affine)
        return torchio_transform(distortion, parameter, value)(image).data


# ---- spaces -------------------------------------------------------------------------------------


def test_spaces_hold_the_papers_values():
    found = {
        f"{d} {p}": v.tolist()
        for d, of in spaces.PARAMETER_SPACES.items()
        for p, v in of.items()
    }
    assert found == {
        "affine scales": [
            0.5,
            0.7,
            0.9,
            1.1,
            1.3,
            1.5,
            1.7,
            1.9,
            2.1,
            2.3,
            2.5,
        ],
        "affine degrees": [-90, -72, -54, -36, -18, 0, 18, 36, 54, 72, 90],
        "affine translation": [-45, -36, -27, -18, -9, 0, 9, 18, 27, 36, 45],
        "elastic num_control_points": [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16],
        "elastic max_displacement": [
            1,
            4.1,
            7.2,
            10.3,
            13.4,
            16.5,
            19.6,
            22.7,
            25.8,
            28.9,
            32,
        ],
        "motion degrees": [-90, -72, -54, -36, -18, 0, 18, 36, 54, 72, 90],
        "motion translation": [-9, -7, -5, -3, -1, 0, 1, 3, 5, 7, 9],
        "ghost intensity": [
            0.1,
            0.18,
            0.26,
            0.34,
            0.42,
            0.5,
            0.58,
            0.66,
            0.74,
            0.82,
            0.9,
        ],
        "spike intensity": [0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2],
        "blur std": [1, 1.9, 2.8, 3.7, 4.6, 5.5, 6.4, 7.3, 8.2, 9.1, 10],
        "bias coefficients": [
            0.1,
            0.29,
            0.48,
            0.67,
            0.86,
            1.05,
            1.24,
            1.43,
            1.62,
            1.81,
            2,
        ],
        "bias order": [1, 1, 2, 3, 4, 5, 6, 7, 8],
        "noise mean": [-2, -1.6, -1.2, -0.8, -0.4, 0, 0.4, 0.8, 1.2, 1.6, 2],
        "noise std": [0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2],
        "gamma log_gamma": [
            -0.9,
            -0.72,
            -0.54,
            -0.36,
            -0.18,
            0,
            0.18,
            0.36,
            0.54,
            0.72,
            0.9,
        ],
    }
    # the one that is -0.0
    assert np.signbit(spaces.PARAMETER_SPACES["noise"]["mean"][5])
    assert (
        spaces.PARAMETER_SPACES["elastic"]["num_control_points"].dtype.kind
        == "i"
    )


def test_points_are_163_and_say_what_happened_to_them():
    points = spaces.points()
    assert (
        len(points) == 163
        and points.groupby(["distortion", "parameter"]).ngroups == 15
    )
    orders = points[points["parameter"] == "order"]
    assert orders["flag"].iloc[1] == "truncated from 1.88, drawn twice"
    cut = points[points["flag"].str.contains("truncated")]
    assert set(cut["parameter"]) == {
        "num_control_points",
        "translation",
        "order",
    }
    assert set(points["unit"]) == {"", "mm", "°", "SD"}
    half = spaces.points(2)
    assert len(half) == 14 * 6 + 5
    panels = points.groupby(["distortion", "parameter"])["value"].agg(
        ["first", "last"]
    )
    thin = spaces.points(4).groupby(["distortion", "parameter"])["value"]
    assert thin.agg(["first", "last"]).equals(panels)
    with pytest.raises(ValueError, match="step=0"):
        spaces.points(0)


def test_spaces_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        spaces.PARAMETER_SPACES["blur"]["std"][0] = 3
    with pytest.raises(TypeError):
        spaces.DEFAULTS["blur"]["std"] = 3


# ---- distortions --------------------------------------------------------------------------------


@each_panel
def test_every_point_equals_torchio(distortion, parameter, volumes, affine):
    volumes = volumes[:2]
    for value in spaces.PARAMETER_SPACES[distortion][parameter].tolist():
        found = distortions.distort(
            volumes, distortion, parameter, value, [11, 12], affine
        )
        for x, y, seed in zip(volumes, found, (11, 12), strict=True):
            expected = by_torchio(
                x, distortion, parameter, value, seed, affine
            )
            worst = (y - expected).abs().max() / expected.abs().max()
            assert worst < 1e-5, f"{value}: {worst}"


@each_panel
def test_equals_torchio_on_even_sides_of_another_orientation(
    distortion, parameter, rng
):
    affine = np.array(
        [[0, -6.0, 0, 91], [6.0, 0, 0, -101], [0, 0, 6.0, -87], [0, 0, 0, 1]]
    )
    x = torch.from_numpy(rng.normal(size=(1, 1, 12, 10, 8))).float()
    value = spaces.PARAMETER_SPACES[distortion][parameter].tolist()[-2]
    found = distortions.distort(x, distortion, parameter, value, 7, affine)[0]
    expected = by_torchio(x[0], distortion, parameter, value, 7, affine)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@each_panel
def test_a_replay_is_bit_identical_and_a_row_stands_alone(
    distortion, parameter, volumes, affine
):
    value = spaces.PARAMETER_SPACES[distortion][parameter][-1]
    before = torch.random.get_rng_state()
    point = (distortion, parameter, value)
    found = distortions.distort(volumes, *point, [3, 4, 5], affine)
    assert found.dtype == torch.float32 and found.shape == volumes.shape
    assert torch.equal(
        distortions.distort(volumes, *point, [3, 4, 5], affine), found
    )
    turned = distortions.distort(volumes.flip(0), *point, [5, 4, 3], affine)
    assert torch.equal(turned.flip(0), found)
    for i in range(3):
        alone = distortions.distort(volumes[i : i + 1], *point, 3 + i, affine)
        assert torch.equal(alone[0], found[i])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(distortions.distort(volumes[:0], *point, 0, affine)) == 0


@pytest.mark.parametrize(
    ("distortion", "parameter", "random"),
    [
        ("elastic", "max_displacement", True),
        ("ghost", "intensity", True),
        ("spike", "intensity", True),
        ("motion", "degrees", True),
        ("noise", "std", True),
        ("affine", "scales", False),
        ("blur", "std", False),
        ("bias", "order", False),
    ],
)
def test_the_seed_matters_where_something_is_random(
    distortion, parameter, random, volumes, affine
):
    value = spaces.PARAMETER_SPACES[distortion][parameter][-1]
    many = volumes[:1].expand(12, 1, 7, 8, 9)
    found = distortions.distort(
        many, distortion, parameter, value, range(12), affine
    )
    assert (len(found.flatten(1).unique(dim=0)) > 1) == random


@pytest.mark.parametrize(
    ("distortion", "parameter"),
    [
        ("affine", "degrees"),
        ("affine", "translation"),
        ("motion", "degrees"),
        ("motion", "translation"),
        ("spike", "intensity"),
        ("noise", "std"),
        ("gamma", "log_gamma"),
    ],
)
def test_the_neutral_value_changes_nothing(
    distortion, parameter, volumes, affine
):
    found = distortions.distort(volumes, distortion, parameter, 0, 1, affine)
    torch.testing.assert_close(found, volumes, atol=1e-5, rtol=0)


def test_a_translation_moves_towards_right_anterior_superior_by_millimetres(
    volumes,
):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    found = distortions.distort(volumes, "affine", "translation", 6, 0, affine)
    torch.testing.assert_close(
        found[..., 2:, 2:, 2:], volumes[..., :-2, :-2, :-2]
    )
    background = volumes.flatten(1).min(1).values.view(-1, 1, 1, 1, 1)
    assert (found[..., :2, :, :] == background).all()


def test_one_ghost_dims_towards_the_mean_of_a_line(volumes, affine):
    found = distortions.distort(
        volumes, "ghost", "intensity", 0.9, [0, 1, 2], affine
    )
    for x, y in zip(volumes[:, 0], found[:, 0], strict=True):
        near = [
            (y - (0.1 * x + 0.9 * x.mean(axis, keepdim=True))).abs().max()
            for axis in range(3)
        ]
        assert min(near) < 1e-5


def test_half_precision_is_distorted_in_fp32(volumes, affine):
    found = distortions.distort(volumes.half(), "bias", "order", 8, 0, affine)
    assert found.isfinite().all() and found.abs().max() > 1e30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"distortion": "fog"},
            "distortion 'fog', expected one of affine, elastic",
        ),
        (
            {"parameter": "sigma"},
            "blur: parameter 'sigma', expected one of std",
        ),
        (
            {"value": 10.1},
            "blur std: value 10.1, expected one from 1.0 to 10.0",
        ),
        ({"value": np.nan}, "blur std: value nan"),
        (
            {"distortion": "bias", "parameter": "order", "value": 2.5},
            "expected a whole number",
        ),
        (
            {"volumes": torch.zeros(2, 7, 8, 9)},
            r"volumes: shape \(2, 7, 8, 9\)",
        ),
        (
            {"volumes": torch.full((2, 1, 7, 8, 9), torch.inf)},
            r"volumes: rows \[0, 1\] hold values",
        ),
        ({"seed": [1, 2, 3]}, "seed: 3 of them, expected 1 or 2"),
        ({"affine": np.zeros((4, 4))}, "expected an invertible"),
    ],
)
def test_bad_input_is_named(change, message, affine):
    given = {
        "volumes": torch.zeros(2, 1, 7, 8, 9),
        "distortion": "blur",
        "parameter": "std",
        "value": 2.0,
        "seed": 0,
        "affine": affine,
    }
    with pytest.raises(ValueError, match=message):
        distortions.distort(**{**given, **change})


def test_gallery_shows_every_panel_and_anisotropy(volumes, affine):
    images = distortions.gallery(volumes[0, 0], affine, seed=3)
    assert list(images)[:15] == [f"{d} {p}" for d, p in PANELS]
    assert list(images["bias order"]) == ["1", "6", "8"]
    expected = distortions.distort(
        volumes[:1], "noise", "std", 2.0, 3, affine
    )[0, 0]
    assert np.array_equal(images["noise std"]["2"], expected.numpy())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        image = tio.ScalarImage(tensor=volumes[0], affine=affine)
        expected = tio.RandomAnisotropy(downsampling=(2, 2))(image).data[0]
    assert np.array_equal(
        images["anisotropy downsampling"]["2"], expected.numpy()
    )


def test_a_real_t1_passes_through_every_distortion(real_data):
    import nibabel as nib

    from mmssl.preprocessing import intensity

    path = next(
        iter(sorted((real_data / "ds002748_T1w_brain").rglob("*T1w*.nii.gz")))
    )
    image = nib.as_closest_canonical(nib.load(path))
    whole = torch.from_numpy(image.get_fdata(dtype=np.float32).copy())[None]
    small = tio.Resample(6)(tio.ScalarImage(tensor=whole, affine=image.affine))
    z = torch.from_numpy(
        np.asarray(intensity.z_normalise(small.numpy()))
    ).float()
    for distortion, parameter in PANELS:
        for value in spaces.PARAMETER_SPACES[distortion][parameter][
            [0, -1]
        ].tolist():
            point = (distortion, parameter, value)
            found = distortions.distort(z[None], *point, 5, small.affine)[0]
            expected = by_torchio(z, *point, 5, small.affine)
            assert (
                found - expected
            ).abs().max() < 1e-4 * expected.abs().max(), point


# ---- the sweep ----------------------------------------------------------------------------------


class Averager(torch.nn.Module):
    """A planted model: z is the mean over its voxels; over few of them it is
    brittle to noise.
    """

    def __init__(self, voxels, gain=1.0):
        super().__init__()
        self.register_buffer("voxels", torch.tensor(voxels))
        self.gain, self.calls = gain, 0

    def forward(self, x):
        self.calls += 1
        z = (
            x.flatten(1)[:, : int(self.voxels)].mean(1, keepdim=True)
            * self.gain
        )
        return SimpleNamespace(z=torch.cat([z, torch.zeros_like(z)], 1))


def reader(encoder, weight=(1.0, 0.0)):
    return Reader(encoder, np.array(weight, np.float32), 0.0)


@pytest.fixture
def small(rng):
    """Give inputs of 6 people of two modalities, two real encoders, and a few
    points.
    """
    inputs = {
        m: rng.normal(size=(6, 1, 16, 16, 16)).astype(np.float32)
        for m in ("T1", "fALFF")
    }
    torch.manual_seed(0)
    readers = {
        row: {
            m: Reader(
                Encoder(width=2, latent=4, size=16).eval(),
                rng.normal(size=4).astype(np.float32),
                0.3,
            )
            for m in inputs
        }
        for row in ("one", "other")
    }
    grid = spaces.points(10).query(
        "distortion in ('affine', 'ghost', 'noise', 'gamma')"
    )
    return inputs, np.array([f"sub-{i}" for i in range(6)]), readers, grid


def test_sweep_equals_the_plain_loop(small, affine, tmp_path):
    inputs, subjects, readers, grid = small
    swept = sweep(*small, affine, tmp_path, seed=2, block=4, progress=False)
    assert swept.scores.shape == (1 + len(grid), 2, 2, 6) and not len(
        swept.excluded
    )
    for p, point in enumerate(swept.points.itertuples()):
        where = (point.distortion, point.parameter, point.value)
        for n, subject in enumerate(subjects):
            seed = seeds([subject], *where, 2)[0]
            for j, m in enumerate(inputs):
                x = torch.from_numpy(inputs[m][n])
                x = x if p == 0 else by_torchio(x, *where, seed, affine)
                for i, row in enumerate(readers):
                    model = readers[row][m]
                    with torch.no_grad():
                        z = model.encoder(x[None]).z[0].numpy()
                    expected = z @ model.weight + model.bias
                    assert swept.scores[p, i, j, n] == pytest.approx(
                        expected, rel=1e-3, abs=1e-3
                    )


def test_seeds_belong_to_subject_panel_and_value(small):
    first = seeds(["a", "b", "c"], "noise", "std", 0.4)
    assert first == seeds(["a", "b", "c"], "noise", "std", np.float64(0.4))
    assert seeds(["c", "a"], "noise", "std", 0.4) == [first[2], first[0]]
    others = [
        seeds(["a"], *point)[0]
        for point in (
            ("noise", "std", 0.6),
            ("noise", "mean", 0.4),
            ("spike", "std", 0.4),
            ("noise", "std", 0.4, 1),
        )
    ]
    assert len({first[0], *others}) == 5 and max(first + others) < 2**31


def test_a_stopped_sweep_goes_on_where_it_stood(small, affine, tmp_path):
    inputs, subjects, _, grid = small
    whole = {"a": {m: reader(Averager(50)) for m in inputs}}
    expected = sweep(
        inputs, subjects, whole, grid, affine, tmp_path / "1", progress=False
    )

    class Stops(Averager):
        def forward(self, x):
            if self.calls == 7:
                raise KeyboardInterrupt
            return super().forward(x)

    stopping = Stops(50)
    # nothing else tells the two models apart
    stopping.__class__.__name__ = "Averager"
    halted = {"a": {m: reader(stopping) for m in inputs}}
    with pytest.raises(KeyboardInterrupt):
        sweep(
            inputs,
            subjects,
            halted,
            grid,
            affine,
            tmp_path / "2",
            progress=False,
        )
    again = {"a": {m: reader(Averager(50)) for m in inputs}}
    found = sweep(
        inputs, subjects, again, grid, affine, tmp_path / "2", progress=False
    )
    assert np.array_equal(found.scores, expected.scores)
    # two modalities a point: three points were whole, the fourth was half done
    assert again["a"]["T1"].encoder.calls == len(grid) + 1 - 3
    other = {"a": {m: reader(Averager(51)) for m in inputs}}
    sweep(
        inputs, subjects, other, grid, affine, tmp_path / "2", progress=False
    )
    assert other["a"]["T1"].encoder.calls == len(grid) + 1


def test_what_is_not_finite_is_reported_and_not_scored(
    small, affine, tmp_path
):
    inputs, subjects, _, _ = small
    inputs["T1"][4] *= 1e4  # times e^82: beyond fp32
    points = spaces.points().query("parameter == 'order' and value in (3, 8)")
    models = {
        "tame": {m: reader(Averager(4096, 1e-20)) for m in inputs},
        "wild": {m: reader(Averager(4096, 1e9)) for m in inputs},
    }
    swept = sweep(
        inputs, subjects, models, points, affine, tmp_path, progress=False
    )
    excluded = swept.excluded
    volume = excluded[excluded["what"] == "volume"]
    assert volume[
        ["distortion", "parameter", "value", "modality", "subject", "model"]
    ].values.tolist() == [["bias", "order", 8.0, "T1", "sub-4", "all"]]
    embedding = excluded[excluded["what"] == "embedding"]
    assert set(embedding["model"]) == {"wild"} and set(embedding["value"]) == {
        8.0
    }
    assert set(embedding.query("modality == 'fALFF'")["subject"]) == set(
        subjects
    )
    assert np.isnan(swept.scores[2, 0, 0]).tolist() == [
        s == "sub-4" for s in subjects
    ]
    # "wild" leaves nobody in fALFF: no AUC for anybody there, and the panel
    # lives on what is left
    boot = comparison.bootstrap(swept, np.array([0, 1] * 3), resamples=100)
    assert np.isnan(boot.auc[2, :, 1]).all() and np.isfinite(boot.auc[1]).all()
    areas = comparison.areas(boot).query(
        "modality == 'fALFF' and model == 'tame'"
    )
    assert areas["area"].to_numpy() == pytest.approx(boot.auc[1, 0, 1])


def test_bad_sweeps_are_named(small, affine, tmp_path):
    inputs, subjects, readers, grid = small
    with pytest.raises(ValueError, match="'sub-1' stands 2 times"):
        twice = subjects.copy()
        twice[2] = "sub-1"
        sweep(inputs, twice, readers, grid, affine, tmp_path)
    with pytest.raises(ValueError, match="inputs, T1: shape"):
        sweep(
            {"T1": inputs["T1"][:, 0]},
            subjects,
            readers,
            grid,
            affine,
            tmp_path,
        )
    with pytest.raises(
        ValueError, match=r"readers, 'one': no model for \['T2'\]"
    ):
        sweep({"T2": inputs["T1"]}, subjects, readers, grid, affine, tmp_path)
    with pytest.raises(ValueError, match="no finished run of RR; found AE"):
        chosen_runs({"AE": tmp_path}, "AE, RR")


def test_the_projection_is_the_linear_probes(rng):
    z, labels = (
        rng.normal(size=(3, 40, 5)).astype(np.float32),
        np.arange(40) % 2,
    )
    other = rng.normal(size=(9, 5)).astype(np.float32)
    encoders = [torch.nn.Identity() for _ in z]
    found = project(encoders, z, labels, epochs=5, seed=3)
    assert [reader.encoder for reader in found] == encoders
    for reader, own in zip(found, z, strict=True):
        logits = linear_probe(own, labels, other, 2, 5, seed=3)
        expected = logits[:, 1] - logits[:, 0]
        np.testing.assert_allclose(
            other @ reader.weight + reader.bias, expected, atol=1e-5
        )


def test_models_of_finished_runs_score_the_undistorted_cohort(
    tiny_phantom, tmp_path
):
    run = fit(
        tiny_phantom,
        "RR",
        tmp_path / "RR",
        epochs=1,
        batch_size=8,
        width=2,
        latent=8,
        progress=False,
    )
    models = linear_models(tiny_phantom, {"RR": run}, epochs=3, width=2)
    assert list(models.readers) == ["RR", "random encoder"]
    rows = np.arange(4)
    inputs = standardised(tiny_phantom, models.landmarks, np.float16, rows)
    swept = sweep(
        inputs,
        [str(r) for r in rows],
        models.readers,
        spaces.points(10)[:0],
        tiny_phantom.affine,
        tmp_path / "s",
        progress=False,
    )
    for i, row in enumerate(swept.rows):
        for j, m in enumerate(swept.modalities):
            expected = models.scores[row][m][rows]
            np.testing.assert_allclose(
                swept.scores[0, i, j], expected, rtol=1e-2, atol=2e-3
            )


# ---- who is more robust than whom ---------------------------------------------------------------


def simulated(
    rng, strengths, positives=20, negatives=40, values=5, shared=1.0
):
    """A sweep of made-up scores: models of given signal at each value, on the
    same people.
    """
    labels = (np.arange(positives + negatives) < positives).astype(int)
    points = pd.DataFrame(
        [{"distortion": "none", "parameter": "", "value": np.nan}]
        + [
            {"distortion": "d", "parameter": p, "value": float(v)}
            for p in ("p", "q")
            for v in range(values)
        ]
    )
    models = len(strengths)
    common = shared * rng.normal(size=(1, 1, len(labels)))
    noise = rng.normal(size=(len(points), models, len(labels)))
    # one person's deviations are alike along a curve, as a distorted image
    # still is that person's
    own = rng.normal(size=(1, models, len(labels)))
    signal = np.array(
        [[s(v) for s in strengths] for v in points["value"].fillna(0)]
    )
    scores = signal[..., None] * labels + common + 0.7 * own + 0.7 * noise
    rows = tuple(f"m{i}" for i in range(models))
    swept = Sweep(
        points,
        rows,
        ("T1",),
        np.arange(len(labels)).astype(str),
        scores[:, :, None].astype(np.float32),
        pd.DataFrame(),
    )
    return swept, labels


def test_weighted_aucs_equal_scikit_learn_with_ties(rng):
    labels = np.arange(30) % 3 == 0
    scores = np.round(rng.normal(size=(4, 30)) + labels, 1)
    weights = rng.integers(0, 4, (5, 30))
    found = comparison.aucs(labels.astype(int), scores, weights)
    expected = [
        [roc_auc_score(labels, s, sample_weight=w) for w in weights]
        for s in scores
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    nobody = np.where(labels, 0, weights[:1])
    unweighted = [[roc_auc_score(labels, s)] for s in scores]
    np.testing.assert_allclose(
        comparison.aucs(labels.astype(int), scores, nobody), unweighted
    )


def test_areas_are_trapezoids_and_losses_are_against_the_clean_auc(rng):
    swept, labels = simulated(rng, [lambda v: 1.5, lambda v: 1.5 - 0.3 * v])
    swept.points.loc[3, "value"] = 1.0  # a value drawn twice has no width
    boot = comparison.bootstrap(swept, labels, resamples=400)
    table = comparison.areas(boot).set_index(["panel", "model"])
    for i, row in enumerate(swept.rows):
        auc = [roc_auc_score(labels, s) for s in swept.scores[:, i, 0]]
        first = np.trapezoid(auc[1:6], swept.points["value"][1:6]) / 4
        second = np.trapezoid(auc[6:], range(5)) / 4
        assert table.loc[("d p", row), "area"] == pytest.approx(first)
        mean = table.loc[("mean of panels", row)]
        assert mean["area"] == pytest.approx((first + second) / 2)
        assert mean["loss"] == pytest.approx(auc[0] - (first + second) / 2)
        assert mean["low"] < mean["area"] < mean["high"]
        assert mean["loss_low"] < mean["loss"] < mean["loss_high"]
    curve = comparison.curves(boot)
    line = curve.query(
        "model == 'm1' and parameter == 'q' and value == 4"
    ).iloc[0]
    assert line["auc"] == pytest.approx(
        roc_auc_score(labels, swept.scores[10, 1, 0])
    )
    draws = comparison.resample(labels, 400, 0)[:, :]
    by_hand = [
        roc_auc_score(labels, swept.scores[10, 1, 0], sample_weight=w)
        for w in draws
    ]
    assert (line["low"], line["high"]) == pytest.approx(
        tuple(np.quantile(by_hand, [0.025, 0.975]))
    )


def test_the_verdict_finds_a_brittle_model_and_keeps_quiet_about_equals():
    """Repeated worlds of three equal models; in one of five, the third also
    breaks.
    """
    found, wrong, worlds = 0, 0, 150
    for world in range(worlds):
        rng = np.random.default_rng(world)
        equal = [lambda v: 1.6] * 3
        swept, labels = simulated(rng, equal)
        boot = comparison.bootstrap(swept, labels, resamples=300, seed=world)
        wrong += (
            comparison.verdict(boot, panels=True)["verdict"] != "not resolved"
        ).any()
        if world % 5 == 0:
            swept, labels = simulated(
                rng, [*equal[:2], lambda v: 1.6 - 0.8 * v]
            )
            boot = comparison.bootstrap(
                swept, labels, resamples=300, seed=world
            )
            table = comparison.verdict(boot).set_index(["first", "second"])[
                "verdict"
            ]
            found += (
                table["m0", "m2"] == "m0 > m2"
                and table["m1", "m2"] == "m1 > m2"
            )
    assert found >= 0.95 * worlds / 5
    # a family of 6 comparisons errs in 5 % of the worlds: more than 15 of 150
    # has chance .002
    assert wrong <= 15


def test_the_verdict_is_antisymmetric_simultaneous_and_exact_for_equal_rankings(
    rng,
):
    swept, labels = simulated(rng, [lambda v: 1.6, lambda v: 1.6 - 0.5 * v])
    three = swept._replace(
        rows=("a", "b", "a again"),
        scores=np.concatenate(
            [swept.scores, 2 * swept.scores[:, :1] + 1], axis=1
        ),
    )
    boot = comparison.bootstrap(three, labels, resamples=500)
    table = comparison.verdict(boot).set_index(["first", "second"])
    same = table.loc[("a", "a again")]
    assert tuple(same[["difference", "low", "high", "p"]]) == (0, 0, 0, 1)
    forth, back = table.loc[("a", "b")], table.loc[("b", "a again")]
    assert (forth["difference"], forth["p"]) == pytest.approx(
        (-back["difference"], back["p"])
    )
    assert back["verdict"] == "a again > b"
    for measure in ("area", "loss"):
        lines = comparison.verdict(boot, measure, panels=True)
        away = (lines["low"] > 0) | (lines["high"] < 0)
        assert (away == (lines["verdict"] != "not resolved")).all()
        assert (lines.loc[away, "p"] <= 0.06).all() and (
            lines.loc[~away, "p"] > 0.04
        ).all()
    # the correction costs something: one pair alone has a narrower interval
    alone = comparison.verdict(
        comparison.bootstrap(swept, labels, resamples=500)
    ).iloc[0]
    panels = comparison.verdict(boot, panels=True).iloc[0]
    assert alone["high"] - alone["low"] < panels["high"] - panels["low"]
    with pytest.raises(ValueError, match="at least two models"):
        comparison.verdict(boot._replace(rows=("a",)))
    with pytest.raises(ValueError, match="measure='volume'"):
        comparison.verdict(boot, "volume")


def test_a_brittle_encoder_is_found_by_sweeping_it(rng, affine, tmp_path):
    labels = (np.arange(60) < 25).astype(int)
    x = 0.5 * rng.normal(size=(60, 1, 8, 8, 8)) + 0.45 * rng.normal(
        size=(60, 1, 1, 1, 1)
    )
    x = (x + labels[:, None, None, None, None]).astype(np.float32)
    readers = {
        "sturdy": {"T1": reader(Averager(512))},
        "brittle": {"T1": reader(Averager(4))},
        "twin": {"T1": reader(Averager(511))},
    }
    grid = spaces.points(2).query("distortion == 'noise'")
    swept = sweep(
        {"T1": x},
        np.arange(60).astype(str),
        readers,
        grid,
        affine,
        tmp_path,
        progress=False,
    )
    table = comparison.verdict(
        comparison.bootstrap(swept, labels), panels=True
    )
    said = table.set_index(["panel", "first", "second"])["verdict"]
    assert said["noise std", "sturdy", "brittle"] == "sturdy > brittle"
    assert said["noise std", "brittle", "twin"] == "twin > brittle"
    assert (said[:, "sturdy", "twin"] == "not resolved").all()


def test_labels_of_one_class_or_of_another_number_are_refused(rng):
    swept, labels = simulated(rng, [lambda v: 1.0] * 2)
    with pytest.raises(ValueError, match=r"classes \[0\], expected 0 and 1"):
        comparison.bootstrap(swept, 0 * labels)
    with pytest.raises(
        ValueError, match=r"labels: shape \(59,\), expected \(60,\)"
    ):
        comparison.bootstrap(swept, labels[1:])


# ---- another population -------------------------------------------------------------------------


def test_populations_report_gap_and_equivalence(rng):
    labels = np.tile(np.arange(2000) % 3 % 2, 2)
    source, shift = np.arange(0, 2000), np.arange(2000, 4000)
    fair = np.tile(rng.normal(size=2000), 2) + 1.5 * labels
    unfair = fair - 1.2 * labels * (np.arange(4000) >= 2000)
    table = populations(
        labels,
        {"fair": {"T1": fair}, "unfair": {"T1": unfair}},
        source,
        shift,
        margin=0.05,
    ).set_index("model")
    assert table.loc["fair", "verdict"] == "equivalent"
    assert table.loc["unfair", "verdict"] == "different"
    for row, s in (("fair", fair), ("unfair", unfair)):
        gap = roc_auc_score(labels[shift], s[shift]) - roc_auc_score(
            labels[source], s[source]
        )
        line = table.loc[row]
        assert (
            line["gap"] == pytest.approx(gap)
            and line["gap_low"] < gap < line["gap_high"]
        )
    with pytest.raises(
        ValueError, match=r"shift: 3 people of the classes \[0\]"
    ):
        populations(
            labels, {"fair": {"T1": fair}}, source, np.array([0, 2, 2003])
        )


def test_settings_hold_the_other_parameters_at_their_defaults():
    assert spaces.settings("affine", "degrees", 18) == {
        "scales": 1.0,
        "degrees": 18.0,
        "translation": 0.0,
    }
    found = spaces.settings("elastic", "num_control_points", np.int64(16))
    assert (
        type(found["num_control_points"]) is int
        and found["max_displacement"] == 7.5
    )
