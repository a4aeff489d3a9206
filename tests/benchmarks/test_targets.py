"""Targets: which are met, and classes of hardware."""

import machine
import pytest
import targets

FLAGS = "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 sse\n"


def report(value):
    """Give a report of one figure."""
    return {"paths": [{"name": "maps", "figures": {"map, ratio": value}}]}


@pytest.mark.parametrize(
    "limits, value, met",
    [
        ({"least": 6.0}, 6.0, True),
        ({"least": 6.0}, 5.9, False),
        ({"most": 6.0}, 6.0, True),
        ({"most": 6.0}, 6.1, False),
    ],
)
def test_a_target_is_met_at_its_limit(limits, value, met):
    target = targets.Target("maps", "map, ratio", **limits)
    (line,) = targets.held((target,), report(value))
    assert line["met"] == met
    assert line["value"] == value


def test_what_was_not_measured_is_not_met():
    target = targets.Target("maps", "all, ratio", least=1.0)
    (line,) = targets.held((target,), report(9.0))
    assert line["value"] is None
    assert not line["met"]


def test_a_missed_target_says_what_its_library_calls_take():
    row = {"name": "sorts", "library": "NumPy's sort", "alone": 0.3}
    row |= {"fraction alone": 0.75, "fraction reachable": 0.75}
    told = report(9.0) | {"roofline": [{"figures": [row]}]}
    target = targets.Target("maps", "map, ratio", least=10.0, row="sorts")
    (line,) = targets.held((target,), told)
    assert line["why"] == (
        "75% of the time of *sorts* is NumPy's sort; with nothing else the "
        "ratio would be 12"
    )
    row["fraction reachable"] = 0.9
    (line,) = targets.held((target,), told)
    assert line["why"].endswith(
        "as fast as a copy of what they move 90%; with nothing else the ratio "
        "would be 10"
    )
    target = targets.Target("maps", "map, ratio", most=1.0, row="sorts")
    (line,) = targets.held((target,), told)
    assert line["why"] == "75% of the time of *sorts* is NumPy's sort"
    (line,) = targets.held((target,), report(9.0))
    assert line["why"] == ""


def test_each_target_has_one_limit():
    for target in targets.TARGETS:
        assert (target.least is None) != (target.most is None)


def test_a_class_is_its_cores_and_vector_instructions():
    kind = machine.hardware_class(FLAGS, 2)
    assert kind == "2 cores avx2 avx512f avx512_bf16"
    assert machine.hardware_class("", 16) == "16 cores"
