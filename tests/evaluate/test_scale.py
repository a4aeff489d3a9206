"""Costs of a cohort: what was measured is not repeated, and what is larger is
computed by rules that are written out here again.
"""

import numpy as np
import pytest
from small_cohort import SMALL_RUN, write_small_cohort

from mmssl.evaluate import scale
from mmssl.pretrain import fit


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Give a small cohort."""
    return write_small_cohort(tmp_path_factory.mktemp("scale") / "cohort")


def test_a_finished_run_is_not_repeated_and_its_cost_is_on_record(
    cohort, tmp_path
):
    first = scale.timed_fit(cohort, "RR", tmp_path / "run", **SMALL_RUN)
    assert first["seconds"] > 0 and first["peak"] > 0
    assert first["items"] == len(cohort.rows("train"))
    made = (tmp_path / "run" / "checkpoint.ckpt").stat().st_mtime_ns
    again = scale.timed_fit(cohort, "RR", tmp_path / "run", **SMALL_RUN)
    assert again == first
    assert (tmp_path / "run" / "checkpoint.ckpt").stat().st_mtime_ns == made
    lines = scale.stage_costs(cohort.path, tmp_path / "run", sample=5)
    items = {line["stage"]: line["items"] for line in lines}
    train = len(cohort.rows("train"))
    assert items == {
        scale.LOAD: len(cohort),
        scale.LANDMARKS: train,
        scale.STANDARDISE: 5,
        scale.EMBED: 5,
    }
    assert all(line["seconds"] > 0 for line in lines)


def test_what_nobody_has_seen_from_the_start_has_no_cost(cohort, tmp_path):
    fit(cohort, "RR", tmp_path / "run", **SMALL_RUN)
    found = scale.timed_fit(cohort, "RR", tmp_path / "run", **SMALL_RUN)
    assert np.isnan([found["seconds"], found["peak"]]).all()


def costs_of(memory):
    """Give a table of two sizes: 2 ms a pair in each stage, and memory."""
    lines = []
    for people, peak in zip((1000, 4000), memory, strict=True):
        for stage in scale.STAGES:
            line = {"people": people, "stage": stage, "items": people}
            lines.append({**line, "seconds": people / 500, "peak": peak})
    return scale.cost_table(lines)


def test_larger_cohorts_are_computed_from_the_pairs(cohort, monkeypatch):
    free = "mmssl.pretrain.stored_inputs.free_memory"
    monkeypatch.setattr(free, lambda: 40e9)
    costs = costs_of((2e9, 5e9))
    assert list(costs["stage"].unique()) == list(scale.STAGES)
    assert costs["milliseconds"].to_numpy() == pytest.approx(2)
    table = scale.extrapolation(
        costs, cohort, volumes=(2000, 2_000_000), sides=(16, 32), hours=1.5
    )
    lines = table.set_index(["side", "volumes"])
    # 5 stages of 2 ms, two modalities
    assert lines.loc[(16, 2000), "hours"] == pytest.approx(10 / 3600)
    assert lines.loc[(32, 2000), "hours"] == pytest.approx(80 / 3600)
    # 1 GB anyway, 1 MB a pair
    assert lines.loc[(16, 2000), "memory_gb"] == pytest.approx(2)
    assert lines.loc[(16, 2_000_000), "memory_gb"] == pytest.approx(1001)
    # of a larger side the images grow, 16 kB a pair at 16^3, and nothing else
    grown = 2 + 7 * 2 * 2 * 16**3 / 1e6
    assert lines.loc[(32, 2000), "memory_gb"] == pytest.approx(grown)
    # 131 GB of inputs are read from disk, and the rest of the MB is held
    assert list(table["inputs"]) == ["memory"] * 3 + ["disk"]
    held = 1 + 1000 - 2 * 2 * 16**3 / 1e3
    assert lines.loc[(32, 2_000_000), "memory_gb"] == pytest.approx(held)
    files = [p.stat().st_size for p in cohort.path.rglob("*") if p.is_file()]
    each = sum(files) / len(cohort)
    assert lines.loc[(16, 2000), "disk_gb"] == pytest.approx(each / 1e6)
    kept = 8e-3 * each + 2 * 2 * 32**3 * 1e-3
    assert lines.loc[(32, 2_000_000), "disk_gb"] == pytest.approx(kept)
    assert lines.loc[(16, 2000), "breaks"] == "nothing"
    shares = lines.loc[(16, 2_000_000)]
    ratios = {
        name: shares[column] / shares[f"limit_{column}"]
        for column, name in scale.RESOURCES.items()
    }
    assert shares["breaks"] == max(ratios, key=ratios.get)
    assert shares["limit_hours"] == 1.5


def test_images_are_counted_where_the_heap_had_room_for_them(cohort):
    table = scale.extrapolation(costs_of((3e9, 2e9)), cohort, sides=(16,))
    each = 2 * 2 * 16**3 / 1e9
    assert list(table["inputs"][:2]) == ["memory"] * 2
    base = 3 - 1000 * each
    expected = [base + 500 * each, base + 50_000 * each]
    assert table["memory_gb"][:2].to_numpy() == pytest.approx(expected)


def test_exponents_need_two_sizes_that_were_measured():
    costs = costs_of((2e9, np.nan))
    found = scale.cost_exponents(costs)
    assert set(found["of"]) == {"seconds"}
    assert found["exponent"].to_numpy() == pytest.approx(1)
    assert found["low"].isna().all() and (found["points"] == 2).all()
    alone = costs[costs["people"] == 1000]
    assert scale.cost_exponents(alone).empty
