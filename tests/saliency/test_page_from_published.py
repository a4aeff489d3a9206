"""Pages of published encoders, without any run: of saliency, and of group
differences where it is known whom the encoders have seen.
"""

import json

import nibabel as nib
import numpy as np
import pytest
from page_in_process import LEAST, empty_project, run_page, text_of
from small_cohort import SMALL_RUN, rehash, write_small_cohort

from mmssl import pretrain
from mmssl.cohorts.cohort import load
from mmssl.ledger.leakage import LeakError
from mmssl.ledger.manifest import write_manifest
from mmssl.ledger.sidecars import sidecar_of
from mmssl.pretrain import published

PAGE = "06_saliency"
GROUPS = "07_group_differences"


def _write_cohort(folder, simulated=False, **options):
    """A small cohort that lies where the template is."""
    write_small_cohort(folder, intensity="brain", **options)
    file = folder / "cohort.json"
    fields = json.loads(file.read_text())
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = -60
    fields["affine"] = affine.tolist()
    if simulated:
        fields["parameters"]["oracle_auc"] = 0.9
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_group_differences_are_of_people_a_published_encoder_has_not_seen(
    tmp_path, monkeypatch
):
    shown = empty_project(tmp_path, monkeypatch)
    (tmp_path / "runs").mkdir()
    options = {"people": 40, "groups": ("HC", "AD")}
    cohorts = {}
    for name in ("simulated", "other"):
        cohorts[name] = _write_cohort(
            tmp_path / name, name == "simulated", **options
        )
        run = pretrain.fit(
            cohorts[name], "RR", tmp_path / f"fit-{name}", **SMALL_RUN
        )
        folder = tmp_path / "published" / name / "encoders" / "RR"
        pretrain.export_encoders(run, folder, cohort=cohorts[name])
        write_manifest(tmp_path / "published" / name)
    monkeypatch.setattr(published, "FOLDER", "published")
    values = {"runs": "runs", **LEAST[GROUPS], "output": "results"}
    values |= {"target": ""}

    def run_of(name):
        return values | {"cohort": name, "published": f"{name}/RR"}

    with pytest.raises(LeakError, match="nobody knows whom RR has seen"):
        run_page(GROUPS, run_of("other"), shown)
    run_page(GROUPS, run_of("simulated"), shown)
    record = "published/simulated/encoders/RR/manifest.json"
    (table,) = (tmp_path / "results").glob("group_reports.tsv")
    told = json.loads(sidecar_of(table).read_text(encoding="utf-8"))
    assert record in str(told["inputs"])
    assert told["facts"]["shared"] == 0 and told["facts"]["tested"] == 20
