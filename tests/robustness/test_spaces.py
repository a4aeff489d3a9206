"""Parameter spaces against the values that the paper's code gives."""

import numpy as np
import pytest

from mmssl.robustness import spaces

PAPER = {
    "affine scales": "0.5 0.7 0.9 1.1 1.3 1.5 1.7 1.9 2.1 2.3 2.5",
    "affine degrees": "-90 -72 -54 -36 -18 0 18 36 54 72 90",
    "affine translation": "-45 -36 -27 -18 -9 0 9 18 27 36 45",
    "elastic num_control_points": "5 6 7 8 9 10 11 12 13 14 16",
    "elastic max_displacement": (
        "1 4.1 7.2 10.3 13.4 16.5 19.6 22.7 25.8 28.9 32"
    ),
    "motion degrees": "-90 -72 -54 -36 -18 0 18 36 54 72 90",
    "motion translation": "-9 -7 -5 -3 -1 0 1 3 5 7 9",
    "ghost intensity": "0.1 0.18 0.26 0.34 0.42 0.5 0.58 0.66 0.74 0.82 0.9",
    "spike intensity": "0 0.2 0.4 0.6 0.8 1 1.2 1.4 1.6 1.8 2",
    "blur std": "1 1.9 2.8 3.7 4.6 5.5 6.4 7.3 8.2 9.1 10",
    "bias coefficients": "0.1 0.29 0.48 0.67 0.86 1.05 1.24 1.43 1.62 1.81 2",
    "bias order": "1 1 2 3 4 5 6 7 8",
    "noise mean": "-2 -1.6 -1.2 -0.8 -0.4 0 0.4 0.8 1.2 1.6 2",
    "noise std": "0 0.2 0.4 0.6 0.8 1 1.2 1.4 1.6 1.8 2",
    "gamma log_gamma": (
        "-0.9 -0.72 -0.54 -0.36 -0.18 0 0.18 0.36 0.54 0.72 0.9"
    ),
}


def test_spaces_hold_the_papers_values():
    panels = {}
    for distortion, parameters in spaces.PARAMETER_SPACES.items():
        for parameter, values in parameters.items():
            panels[f"{distortion} {parameter}"] = values.tolist()
    assert list(panels) == list(PAPER)
    for name, values in PAPER.items():
        assert panels[name] == [float(value) for value in values.split()]
    # the one that is -0.0
    assert np.signbit(spaces.PARAMETER_SPACES["noise"]["mean"][5])
    points = spaces.PARAMETER_SPACES["elastic"]["num_control_points"]
    assert points.dtype.kind == "i"


def test_points_are_163_and_say_what_happened_to_them():
    points = spaces.grid_points()
    panels = points.groupby(["distortion", "parameter"])["value"]
    assert len(points) == 163 and panels.ngroups == 15
    orders = points[points["parameter"] == "order"]
    assert orders["flag"].iloc[1] == "truncated from 1.88, drawn twice"
    truncated = points[points["flag"].str.contains("truncated")]
    assert set(truncated["parameter"]) == {
        "num_control_points",
        "translation",
        "order",
    }
    assert set(points["unit"]) == {"", "mm", "°", "SD"}
    assert len(spaces.grid_points(2)) == 14 * 6 + 5
    few = spaces.grid_points(4)
    few_panels = few.groupby(["distortion", "parameter"])["value"]
    ends = ["first", "last"]
    assert few_panels.agg(ends).equals(panels.agg(ends))
    with pytest.raises(ValueError, match="step=0"):
        spaces.grid_points(0)


def test_spaces_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        spaces.PARAMETER_SPACES["blur"]["std"][0] = 3
    with pytest.raises(TypeError):
        spaces.DEFAULTS["blur"]["std"] = 3


def test_settings_hold_the_other_parameters_at_their_defaults():
    assert spaces.settings("affine", "degrees", 18) == {
        "scales": 1.0,
        "degrees": 18.0,
        "translation": 0.0,
    }
    elastic = spaces.settings("elastic", "num_control_points", np.int64(16))
    assert type(elastic["num_control_points"]) is int
    assert elastic["max_displacement"] == 7.5
