"""The page of a dataset: everybody is prepared and shown, and nobody is
named.
"""

import pandas as pd
import pytest
from page_in_process import empty_project, run_page, text_of
from small_dataset import write_image

from mmssl import cohorts
from mmssl.cohorts import __main__ as command
from mmssl.cohorts import bids, quality_control


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Give the list of what the page displays, in an empty project."""
    return empty_project(tmp_path, monkeypatch)


def values(**more):
    """Parameters of the page, of the small dataset."""
    return {
        "root": "dataset",
        "prepared": "prepared",
        "options": "--size 16 --folds 2 --holdout 0",
        "output": "results",
        **more,
    }


def test_the_page_shows_everybody_and_names_nobody(
    dataset, quick, shown, tmp_path
):
    quick["status"]["sub-04_T1w.nii.gz"] = "doubtful"
    run_page("15_dataset", values(), shown)
    texts = " ".join(map(text_of, shown))
    assert "sub-0" not in texts
    assert "doubtful" in texts
    assert "…" in texts  # the file that is cut short, without its name
    assert "No cohort is written yet" in texts
    for folder in ("results", "figures"):
        for file in (tmp_path / folder).rglob("*.tsv"):
            assert "sub-0" not in file.read_text()
    quality = pd.read_csv(tmp_path / "prepared/quality.tsv", sep="\t")
    assert quality["participant_id"].str.startswith("sub-").all()


def test_the_page_goes_on_where_it_stood_and_writes_the_cohort(
    dataset, quick, shown, tmp_path
):
    run_page("15_dataset", values(), shown)
    quick["T1"].clear()
    run_page("15_dataset", values(cohort="cohort"), shown)
    made = cohorts.load(tmp_path / "cohort")
    assert made.kind == "study"
    # whoever is finished, or set aside, is not prepared again
    assert quick["T1"] == []
    run_page("15_dataset", values(cohort="cohort"), shown)
    assert f"The cohort: {len(made)} pairs" in text_of(shown[-2])


def test_a_dataset_that_is_not_there_is_named(shown):
    with pytest.raises(FileNotFoundError, match="expected one .root."):
        run_page("15_dataset", values(root="nowhere"), shown)


def test_reasons_name_no_file_person_or_session(dataset, quick, tmp_path):
    study, prepared = command.prepare(
        ["bids", str(dataset), str(tmp_path / "cohort"), "--size", "16"]
    )
    quality = quality_control.quality_table(study, prepared)
    table = quality_control.reasons(study, quality)
    assert table["number"].sum() == len(study.aside) + 1
    assert not table["reason"].str.contains("sub-06").any()


def test_volumes_are_those_that_were_prepared(dataset, quick, tmp_path):
    words = ["bids", str(dataset), str(tmp_path / "cohort"), "--size", "16"]
    words += ["--folds", "2", "--holdout", "0"]
    study, prepared = command.prepare(words)
    made = command.write(words)
    pairs = quality_control.quality_table(study, prepared)["pair"]
    found = quality_control.prepared_volumes(
        study, prepared, pairs.tolist()[::-1]
    )
    # the last T1 is damaged
    assert list(found) == pairs.tolist()[::-1][1:]
    for row, pair in enumerate(sorted(found)):
        for modality, volume in found[pair].items():
            assert (volume == made.volumes[modality][row]).all()
    file = next(prepared.glob("sub-01/**/*brain_T1w.nii.gz"))
    write_image(file, (16, 16, 16))
    with pytest.raises(ValueError, match="brain_T1w.nii.gz"):
        quality_control.prepared_volumes(study, prepared, [0])
    assert bids.read(dataset).pairs.equals(study.pairs)
