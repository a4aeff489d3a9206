"""A user's own distortions, by name: like the nine in everything."""

import numpy as np
import pytest
import torch
from own_distortion import Stripes
from planted_models import Averager, linear_model

from mmssl import robustness
from mmssl.plotting import distortion_gallery
from mmssl.plotting.robustness import panel_name
from mmssl.robustness import OwnDistortion, Parameter, distortions, spaces

STRIPES = "own_distortion:Stripes"
ROLL = "own_distortion:Roll"


class Silent(OwnDistortion):
    """Has parameters, and does nothing."""

    parameters = {"share": Parameter(0, 1, 2, float, 0.5)}


class Flat(Silent):
    """Returns one plane."""

    def __call__(self, volume, generator):
        """Return the first plane."""
        return volume[0]


class Lifts(Silent):
    """Adds a share, and moves nothing."""

    def __call__(self, volume, generator):
        """Add it to the volume."""
        return volume + self.settings["share"]


def striped(volume, affine, width, share, seed):
    """Return what `Stripes` does, in a loop over planes."""
    draw = torch.Generator().manual_seed(seed)
    offset = 2 * width * torch.rand(1, generator=draw).item()
    result = volume.numpy().copy()
    for plane in range(len(result)):
        place = plane * np.sqrt((affine[:3, 0] ** 2).sum())
        if int((place + offset) // width) % 2 == 1:
            result[plane] *= 1 - share
    return result


@pytest.fixture
def volumes(rng):
    """Give three volumes of unequal sides whose outer planes are 0."""
    x = rng.normal(size=(3, 1, 9, 7, 8)).astype(np.float32)
    x[:, :, :2] = x[:, :, :, 6:] = x[..., :1] = 0
    return torch.from_numpy(x)


@pytest.mark.parametrize(
    ("parameter", "value", "width", "share"),
    [("width", 5, 5.0, 0.5), ("width", 17, 17.0, 0.5), ("share", 0.3, 8, 0.3)],
)
def test_it_does_what_a_plain_loop_does(
    parameter, value, width, share, volumes, affine
):
    before = volumes.clone()
    seeds = [3, 4, 5]
    point = (STRIPES, parameter, value, seeds, affine)
    found = distortions.distort(volumes, *point)
    assert found.dtype == torch.float32 and found.shape == volumes.shape
    for x, y, seed in zip(volumes, found, seeds, strict=True):
        expected = striped(x[0], affine, width, share, seed)
        np.testing.assert_allclose(y[0], expected, rtol=1e-6)
    assert not torch.equal(found, volumes)
    # although the class changes what it is given
    assert torch.equal(volumes, before)


def test_a_row_does_not_depend_on_its_batch(volumes, affine):
    state = torch.random.get_rng_state()
    point = (STRIPES, "width", 5.0)
    found = distortions.distort(volumes, *point, [3, 4, 5], affine)
    turned = distortions.distort(volumes.flip(0), *point, [5, 4, 3], affine)
    assert torch.equal(turned.flip(0), found)
    for i in range(3):
        alone = distortions.distort(volumes[i : i + 1], *point, 3 + i, affine)
        assert torch.equal(alone[0], found[i])
    assert len(distortions.distort(volumes[:0], *point, 0, affine)) == 0
    assert torch.equal(torch.random.get_rng_state(), state)
    same = volumes[:1].expand(12, 1, 9, 7, 8)
    drawn = distortions.distort(same, *point, range(12), affine)
    assert len(drawn.flatten(1).unique(dim=0)) > 1


def test_the_background_stays_zero_and_an_outline_moves_if_it_should(
    volumes, affine
):
    brain = volumes != 0
    striped_inputs = distortions.distort_inputs(
        volumes, STRIPES, "share", 0.9, 1, affine
    )
    assert not striped_inputs[~brain].any()
    shifted = distortions.distort_inputs(volumes, ROLL, "voxels", 2, 1, affine)
    assert torch.equal(shifted, volumes.roll(2, 4))

    name = f"{__name__}:Lifts"
    lifted = distortions.distort_inputs(volumes, name, "share", 1, 1, affine)
    assert torch.equal(lifted, (volumes + 1) * brain)


def test_grid_and_settings_know_it():
    nine = spaces.grid_points(5)
    points = spaces.grid_points(5, own=(STRIPES, ROLL))
    assert points[: len(nine)].equals(nine)
    mine = points[len(nine) :]
    assert mine[["distortion", "parameter", "value"]].values.tolist() == [
        [STRIPES, "width", 2.0],
        [STRIPES, "width", 17.0],
        [STRIPES, "width", 20.0],
        [STRIPES, "share", 0.1],
        [STRIPES, "share", 0.6],
        [STRIPES, "share", 0.9],
        [ROLL, "voxels", 0.0],
        [ROLL, "voxels", 3.0],
    ]
    assert mine["unit"].tolist() == ["mm"] * 3 + [""] * 5
    assert set(mine["flag"]) == {""}
    found = spaces.settings(STRIPES, "share", 0.2)
    assert found == {"width": 8.0, "share": 0.2}
    voxels = spaces.settings(ROLL, "voxels", 2.0)["voxels"]
    assert voxels == 2 and type(voxels) is int


def test_figures_show_the_name_of_the_class(volumes, affine):
    volume = volumes[0, 0]
    nine = distortions.gallery(volume, affine, seed=3)
    images = distortions.gallery(volume, affine, seed=3, own=(STRIPES,))
    panels = list(images)
    assert panels[15:17] == [f"{STRIPES} width", f"{STRIPES} share"]
    assert panels[:15] + panels[17:] == list(nine)
    for panel, shown in nine.items():
        for title, image in shown.items():
            np.testing.assert_array_equal(images[panel][title], image)
    expected = striped(volume, affine, 20, 0.5, 3)
    found = images[f"{STRIPES} width"]
    assert list(found) == ["2", "14", "20"]
    np.testing.assert_allclose(found["20"], expected, rtol=1e-6)
    assert panel_name(STRIPES, "width", "mm") == "Stripes: width (mm)"
    assert panel_name("bias", "order", "") == "bias: order"
    figure = distortion_gallery(images, volume.numpy())
    texts = {t.get_text() for axis in figure.axes for t in axis.texts}
    assert {"Stripes\nwidth", "Stripes\nshare", "blur\nstd"} <= texts


def test_a_sweep_keeps_its_points_until_its_code_is_another(
    volumes, affine, tmp_path, monkeypatch
):
    inputs = {"T1": volumes.numpy()}
    subjects = ["a", "b", "c"]
    own = spaces.grid_points(10, own=(STRIPES,)).query(
        "distortion == @STRIPES"
    )

    def sweep(grid):
        """Return the scores, and how often the encoder was asked."""
        models = {"one": {"T1": linear_model(Averager(400))}}
        swept = robustness.sweep(
            inputs, subjects, models, grid, affine, tmp_path, progress=False
        )
        return swept.scores[:, 0, 0], models["one"]["T1"].encoder.calls

    first, calls = sweep(own)
    assert calls == 1 + len(own)
    for line, scores in zip(own.itertuples(), first[1:], strict=True):
        point = (STRIPES, line.parameter, line.value)
        seeds = robustness.distortion_seeds(subjects, *point)
        settings = spaces.settings(*point)
        for x, seed, score in zip(volumes, seeds, scores, strict=True):
            image = striped(x[0], affine, **settings, seed=seed)
            expected = image.ravel()[:400].mean()
            assert score == pytest.approx(expected, rel=1e-4, abs=1e-6)
    files = {file.name for file in tmp_path.rglob("*.npz")}
    assert "own_distortion.Stripes-width-20.npz" in files
    kept, calls = sweep(own)
    assert calls == 0
    np.testing.assert_array_equal(kept, first)
    blur = spaces.grid_points(10).query("distortion == 'blur'")
    assert sweep(blur)[1] == 1 + len(blur)

    def inverted(self, volume, generator):
        """Turn dark and bright."""
        return -volume

    monkeypatch.setattr(Stripes, "__call__", inverted)
    other, calls = sweep(own)
    assert calls == 1 + len(own)
    np.testing.assert_allclose(other[1:], -other[:1].repeat(len(own), 0))
    # the nine do not depend on it
    assert sweep(blur)[1] == 0


def test_the_hash_is_of_code_and_parameters(monkeypatch):
    first = robustness.own_code([ROLL, STRIPES])
    assert list(first) == [ROLL, STRIPES]
    assert robustness.own_code([STRIPES, ROLL, ROLL]) == first
    assert robustness.own_code([]) == {}
    width = Stripes.parameters["width"]
    changed = {**Stripes.parameters, "width": width._replace(default=9.0)}
    monkeypatch.setattr(Stripes, "parameters", changed)
    second = robustness.own_code([ROLL, STRIPES])
    assert second[ROLL] == first[ROLL]
    assert second[STRIPES] != first[STRIPES]


def test_areas_and_curves_run_over_it(volumes, affine, tmp_path):
    grid = spaces.grid_points(5, own=(STRIPES,))
    grid = grid[grid["distortion"].isin(["blur", STRIPES])]
    inputs = {"T1": volumes[[0, 1, 2, 0]].numpy()}
    models = {}
    for name, voxels in (("one", 400), ("other", 300)):
        models[name] = {"T1": linear_model(Averager(voxels))}
    swept = robustness.sweep(
        inputs, list("abcd"), models, grid, affine, tmp_path, progress=False
    )
    boot = robustness.bootstrap(swept, np.array([0, 0, 1, 1]), resamples=50)
    panels = robustness.areas(boot)["panel"].unique().tolist()
    expected = ["blur std", f"{STRIPES} width", f"{STRIPES} share"]
    assert panels == [*expected, "mean of panels"]
    assert STRIPES in set(robustness.curves(boot)["distortion"])


def width(**changes):
    """Return the parameters of a class with one that differs."""
    return {"width": Stripes.parameters["width"]._replace(**changes)}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, r"parameters is \{\}, expected one or more"),
        ([1], r"parameters is \[1\], expected one or more"),
        ({"a/b": Stripes.parameters["width"]}, "parameter 'a/b', expected a"),
        ({"width": (0, 1)}, r"'width' is \(0, 1\), expected a mmssl.robust"),
        (width(kind=str), "expected int or float as its kind"),
        (width(right=np.inf), "expected finite ends"),
        (width(steps=0), "expected one step or more"),
        (width(right=2.0), "from a left end to a larger right"),
        (width(default=8), "expected a default that may have a fraction"),
        (width(right=2.01), r"rounded to two decimals .* found \[2.0, 2.0, "),
        (width(left=1e7, right=1e7 + 6), "in six digits; found"),
    ],
)
def test_parameters_that_cannot_be_run_through_are_refused(
    parameters, message, monkeypatch
):
    monkeypatch.setattr(Stripes, "parameters", parameters)
    with pytest.raises(
        ValueError, match=f"^distortion '{STRIPES}': .*{message}"
    ):
        spaces.grid_points(5, own=(STRIPES,))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Stripes", "distortion is 'Stripes', expected 'module:Class'"),
        ("blur", "distortion is 'blur', expected 'module:Class'"),
        ("no_such:Stripes", "distortion 'no_such:Stripes': not found"),
        ("own_distortion:Other", "distortion 'own_distortion:Other': not fou"),
        ("os:system", "found, expected a subclass of mmssl.robustness.OwnD"),
        ("torch.nn:ReLU", "found, expected a subclass of mmssl.robustness"),
        ("mmssl.robustness:OwnDistortion", "expected one or more, {name: Pa"),
        (f"{__name__}:Silent", "no __call__ found, expected one of a volume"),
    ],
)
def test_what_is_no_distortion_is_refused(name, message, affine):
    with pytest.raises(ValueError, match=message):
        spaces.grid_points(5, own=(name,))
    with pytest.raises(ValueError, match=message):
        distortions.gallery(torch.zeros(4, 4, 4), affine, own=(name,))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((STRIPES, "width", 20.5), "width: value 20.5, expected one from 2.0"),
        ((STRIPES, "height", 1), "parameter 'height', expected one of width"),
        ((ROLL, "voxels", 1.5), "voxels: value 1.5, expected a whole number"),
        (("a b:C", "width", 1), "or the 'module:Class' of your own"),
        (
            (f"{__name__}:Flat", "share", 0.5),
            r"Tensor of shape \(7, 8\) returned, expected Tensor of shape \(9",
        ),
    ],
)
def test_a_point_that_is_none_is_refused(point, message, volumes, affine):
    with pytest.raises(ValueError, match=message):
        distortions.distort(volumes, *point, 0, affine)


def test_one_stands_once_in_a_grid():
    with pytest.raises(ValueError, match=f"'{STRIPES}' stands 2 times"):
        spaces.grid_points(5, own=(STRIPES, ROLL, STRIPES))
