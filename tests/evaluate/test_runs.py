"""Finished runs of a folder: those of the cohort and the fold."""

import json

import pytest

from mmssl.evaluate import runs


def test_finished_runs_are_those_of_the_cohort_and_fold(cohort, tmp_path):
    params = {"fold": 0, "seed": 3, "cohort": {"hashes": dict(cohort.hashes)}}
    others = {
        "RR-fold0-seed3": {},
        "CR-fold0-seed3": {},
        "RR-fold1-seed3": {"fold": 1},
        "CC-fold0-seed3.partial": {},
        "XX-fold0-seed3": {"cohort": {"hashes": {}}},
    }
    for name, changes in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.json").write_text(
            json.dumps(params | changes)
        )
    expected = {
        "CR": tmp_path / "CR-fold0-seed3",
        "RR": tmp_path / "RR-fold0-seed3",
    }
    assert runs.finished_runs(tmp_path, cohort) == expected
    assert list(runs.finished_runs(tmp_path, cohort, fold=1)) == ["RR"]
    (tmp_path / "RR-fold0-seed4").mkdir()
    (tmp_path / "RR-fold0-seed4" / "params.json").write_text(
        json.dumps(params | {"seed": 4})
    )
    assert "RR-fold0-seed4" in runs.finished_runs(tmp_path, cohort)
    with pytest.raises(
        ValueError, match="fold 2; make one with.*03_pretraining"
    ):
        runs.finished_runs(tmp_path, cohort, fold=2)
