"""The page of saliency of a published encoder, without any run."""

import json

import nibabel as nib
import numpy as np
import pytest
from page_in_process import LEAST, empty_project, run_page, text_of
from small_cohort import SMALL_RUN, rehash, write_small_cohort

from mmssl import pretrain
from mmssl.cohorts.cohort import load
from mmssl.ledger.manifest import write_manifest
from mmssl.ledger.sidecars import sidecar_of
from mmssl.pretrain import published

PAGE = "06_saliency"


def _write_cohort(folder):
    """A small cohort that lies where the template is."""
    write_small_cohort(folder, intensity="brain")
    file = folder / "cohort.json"
    fields = json.loads(file.read_text())
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = -60
    fields["affine"] = affine.tolist()
    file.write_text(json.dumps(fields))
    rehash(folder)
    return load(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_starts_from_a_published_encoder(tmp_path, monkeypatch):
    shown = empty_project(tmp_path, monkeypatch)
    people = _write_cohort(tmp_path / "cohort")
    (tmp_path / "runs").mkdir()
    run = pretrain.fit(people, "RR-AE", tmp_path / "fitted", **SMALL_RUN)
    edition = tmp_path / "published" / "night"
    folder = edition / "encoders" / "RR-AE"
    pretrain.export_encoders(run, folder, cohort=people)
    write_manifest(edition)
    monkeypatch.setattr(published, "FOLDER", "published")

    values = {"runs": "runs", "cohort": "cohort", **LEAST[PAGE]}
    values |= {"output": "from_published", "published": "night/RR-AE"}
    run_page(PAGE, values, shown)
    texts = [text_of(thing) for thing in shown]
    assert any("Encoders of *night/RR-AE*" in text for text in texts)
    results = tmp_path / "from_published"
    record = "published/night/encoders/RR-AE/manifest.json"
    tables = sorted(results.glob("saliency_*.tsv"))
    assert tables
    for table in tables:
        assert record in sidecar_of(table).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="or name a `published` model"):
        run_page(PAGE, values | {"published": ""}, shown)

    # the run itself gives the same numbers
    values |= {"output": "from_run", "published": "", "objective": "RR-AE"}
    run.rename(tmp_path / "runs" / "RR-AE-fold0-seed0")
    run_page(PAGE, values, shown)
    for table in tables:
        same = tmp_path / "from_run" / table.name
        assert same.read_bytes() == table.read_bytes()
    maps = [file.name for file in (results / "maps").glob("*.nii.gz")]
    assert maps
    for name in maps:
        of_run = nib.load(tmp_path / "from_run" / "maps" / name).get_fdata()
        found = nib.load(results / "maps" / name).get_fdata()
        np.testing.assert_array_equal(found, of_run)
