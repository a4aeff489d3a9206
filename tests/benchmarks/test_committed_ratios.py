"""The check of committed ratios: what falls by a quarter is named, for each
class of hardware.
"""

import committed_ratios
import pytest

REPORT = {
    "machine": {"class": "2 cores avx2"},
    "paths": [
        {
            "name": "maps",
            "figures": {"map, ms": 3.0, "map, ratio": 4.0, "all, ratio": 9.0},
        },
        {"name": "steps", "figures": {"step, ratio": 2.0}},
    ],
}


def test_every_ratio_is_found_and_nothing_else():
    assert committed_ratios.ratios(REPORT) == {
        "maps: map": 4.0,
        "maps: all": 9.0,
        "steps: step": 2.0,
    }


@pytest.mark.parametrize(
    "value, falls", [(3.01, False), (3.0, True), (2.9, True), (8.0, False)]
)
def test_a_ratio_falls_at_a_quarter_less_and_never_by_rising(value, falls):
    lines = committed_ratios.fallen({"maps: map": value}, {"maps: map": 4.0})
    assert bool(lines) == falls
    if falls:
        assert f"maps: map: {value:.3g}" in lines[0]
        assert "above 3" in lines[0]


def test_what_is_not_measured_or_no_number_has_fallen():
    committed = {"maps: map": 4.0}
    assert "not measured" in committed_ratios.fallen({}, committed)[0]
    nothing = {"maps: map": float("nan")}
    assert committed_ratios.fallen(nothing, committed)


def test_classes_of_hardware_are_kept_apart_and_an_unknown_one_is_said(
    tmp_path,
):
    file = tmp_path / "ratios.json"
    (line,) = committed_ratios.check(REPORT, file)
    assert "2 cores avx2" in line
    committed_ratios.commit("64 cores amx", {"maps: map": 40.0}, file)
    assert "64 cores amx" in committed_ratios.check(REPORT, file)[0]
    found = committed_ratios.ratios(REPORT)
    committed_ratios.commit("2 cores avx2", found, file)
    assert committed_ratios.check(REPORT, file) == []
    assert set(committed_ratios.read(file)) == {"2 cores avx2", "64 cores amx"}
    committed_ratios.commit("2 cores avx2", found | {"maps: map": 6.0}, file)
    (line,) = committed_ratios.check(REPORT, file)
    assert line.startswith("maps: map: 4, expected above 4.5")
