"""A real person is mapped in their own space."""

import shutil
import sys
from pathlib import Path

import pytest

from mmssl.cohorts import cohort
from mmssl.ledger.artefacts import read_map

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402


@pytest.mark.slow
def test_a_real_person_is_mapped_in_their_own_space(real_data, tmp_path):
    """Notebook 02 makes the folder of one real person; 06 runs on it, without
    pairs or null.
    """
    folder = real_data / "studyforrest_sub-02"
    runs = ROOT / "data" / "runs" / "smoke"
    if not list(runs.glob("CR-XX-CC-fold0-*/params.json")):
        pytest.skip("the small chain has not been run: make smoke")
    bold = next((folder / "func").glob("*_bold.nii.gz"))
    execute.execute(
        ROOT / "notebooks/02_preprocessing.ipynb",
        tmp_path / "02.ipynb",
        {
            "t1w": str(folder / "anat" / "sub-02_T1w.nii.gz"),
            "bold": str(bold),
            "size": 32,
            "output": str(tmp_path / "person"),
        },
    )
    edition = f"test-{tmp_path.name}"
    page = execute.execute(
        ROOT / "notebooks/06_saliency.ipynb",
        tmp_path / "06.ipynb",
        {
            "edition": edition,
            "cohort": str(tmp_path / "person"),
            "runs": str(runs),
            "output": str(tmp_path / "results"),
        },
    )
    drawn = {f.name for f in (ROOT / "figures" / edition).glob("*.png")}
    shutil.rmtree(ROOT / "figures" / edition)
    assert "06_saliency_best_pair.png" in drawn
    assert "06_saliency_pairs.png" not in drawn
    assert "too few people" in page.read_text()
    person = cohort.load(tmp_path / "person")
    maps = sorted((tmp_path / "results" / "maps").glob("saliency_*.nii.gz"))
    assert len(maps) == 2
    for path in maps:
        shown = read_map(path, person.mask.shape, person.affine)
        assert shown.max() == pytest.approx(1)
        assert not shown[~person.mask].any()
