"""OASIS-3 on generated folders: layouts, tables, labels, subsets."""

import pandas as pd
import pytest
from oasis3_tree import (
    CURRENT,
    LAYOUTS,
    OLDER,
    SCANS,
    make_images,
    make_tables,
    place,
)

from mmssl.cohorts import oasis3

TABLES = {"current": CURRENT, "older": OLDER}


@pytest.fixture
def download(tmp_path):
    make_images(tmp_path / "images", "bids")
    make_tables(tmp_path / "tables")
    return tmp_path


def read(folder, **options):
    return oasis3.read(folder / "images", folder / "tables", **options)


def add_visit(folder, table, *values):
    (file,) = folder.rglob(table)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(",".join(values) + "\n")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tables", TABLES)
def test_every_layout_and_generation_gives_the_same_people(
    tmp_path, layout, tables
):
    make_images(tmp_path / "images", layout)
    make_tables(tmp_path / "tables", TABLES[tables])
    study = read(tmp_path)
    people = study.participants.set_index("participant_id")
    assert people["group"].to_dict() == {
        "OAS30001": "HC",
        "OAS30002": "AD",  # one of the family, however it is spelt
        "OAS30003": "other",  # "AD dem cannot be primary"
        "OAS30004": "AD",
        "OAS30006": "AD",  # by dx1, or by PROBAD
    }
    assert people["population"].to_dict() == {
        "OAS30001": "main",
        "OAS30002": "main",
        "OAS30003": "main",
        "OAS30004": "African American",
        "OAS30006": "main",
    }
    # d0129 is 210 days from the visit of d0339, and 129 from that of d0000
    first = people.loc["OAS30001"]
    assert first["age"] == round(65.15 + 129 / 365.25, 2)
    assert (first["mmse"], first["cdr"], first["sex"]) == (29, 0, "M")
    assert pd.isna(people.loc["OAS30004", "education"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_are_the_closest_in_days(tmp_path, layout):
    make_images(tmp_path / "images", layout)
    make_tables(tmp_path / "tables")
    pairs = read(tmp_path).pairs
    own = pairs[pairs["participant_id"] == "OAS30001"]
    days = list(zip(own["T1_day"], own["fALFF_day"], strict=True))
    # two T1s of day 757 with two series of day 800
    assert days == [(129, 129)] + 4 * [(757, 800)]
    assert own["downstream"].tolist() == [1, 0, 0, 0, 0]
    # the T1 of day 4000 has only a series of day 300: that is the closest
    own = pairs[pairs["participant_id"] == "OAS30006"]
    assert own["fALFF_day"].tolist() == [300, 300]
    limited = read(tmp_path, most_days=365).pairs
    own = limited[limited["participant_id"] == "OAS30006"]
    assert own["T1_day"].tolist() == [300]


def test_repetition_time_of_an_xnat_export_is_in_another_folder(tmp_path):
    make_images(tmp_path, "xnat", seconds=2.5)
    images, _ = oasis3.find_images(tmp_path)
    series = images[images["modality"] == "fALFF"]
    assert (series["repetition_time"] == 2.5).all()
    first = place(tmp_path, "xnat", *SCANS[3][:2], "task-rest_bold")
    sidecar = (
        first.parents[2]
        / "BIDS/files/sub-OAS30002_ses-d0030_task-rest_bold.json"
    )
    sidecar.write_text("{")
    images, aside = oasis3.find_images(tmp_path)
    assert "OAS30002" not in set(
        images[images["modality"] == "fALFF"]["participant_id"]
    )
    assert [row["participant_id"] for row in aside] == ["OAS30002"]
    assert "RepetitionTime" in aside[0]["reason"]


@pytest.mark.parametrize(
    ("dx1", "papers", "strict"),
    [
        ("Cognitively normal", "HC", "HC"),
        ("No dementia", "HC", "other"),
        ("AD Dementia", "AD", "AD"),
        ("DAT", "AD", "other"),
        ("AD dem w/CVD contribut", "AD", "other"),
        ("AD dem Visuospatial, prior", "AD", "other"),
        ("AD  dem  Visuospatial-  prior", "AD", "other"),
        ("AD dem cannot be primary", "other", "other"),
        ("AD dem cannot  be primary", "other", "other"),
        ("Incipient Non-AD dem", "other", "other"),
        ("uncertain, possible NON AD dem", "other", "other"),
        ("Non AD dem- Other primary", "other", "other"),
        ("Vascular Demt- primary", "other", "other"),
        ("DLBD, primary", "other", "other"),
        ("Frontotemporal demt. prim", "other", "other"),
        ("uncertain dementia", "other", "other"),
        ("Dementia/PD- primary", "other", "other"),
    ],
)
def test_diagnoses_are_matched_as_whole_values(dx1, papers, strict):
    words = oasis3.plain_words(pd.Series([dx1]))
    visits = pd.DataFrame({"dx1": words, "cdr": [1.0]})
    visits = visits.assign(normcog=pd.NA, probad=pd.NA)
    assert oasis3.visit_class(visits, "papers").tolist() == [papers]
    assert oasis3.visit_class(visits, "strict").tolist() == [strict]
    assert oasis3.visit_class(visits, "cdr").tolist() == ["AD"]


def test_diagnosis_by_the_second_table_and_contradictions():
    visits = pd.DataFrame(
        {
            "dx1": [pd.NA, pd.NA, pd.NA, "ad dementia", pd.NA, pd.NA],
            "normcog": ["1", "0", "1", "1", "0", pd.NA],
            "probad": [pd.NA, "1", "1", pd.NA, pd.NA, pd.NA],
            "cdr": [0.0, 0.5, 0.0, 1.0, pd.NA, pd.NA],
        }
    )
    found = oasis3.visit_class(visits, "papers").fillna("?").tolist()
    # PROBAD counts without NORMCOG alone; who is both is neither
    assert found == ["HC", "AD", "HC", "?", "other", "?"]
    found = oasis3.visit_class(visits, "cdr").fillna("?").tolist()
    assert found == ["HC", "AD", "HC", "AD", "?", "?"]


@pytest.mark.parametrize(("day", "mmse"), [("d0704", 28), ("d0705", None)])
def test_scores_are_of_a_visit_within_a_year(tmp_path, day, mmse):
    """The last visit is that of day 339."""
    scan = ("OAS30001", day, ("T1w", "task-rest_bold"))
    make_images(tmp_path / "images", "bids", [scan])
    make_tables(tmp_path / "tables")
    (person,) = read(tmp_path).participants.itertuples()
    assert person.group == "HC"
    assert person.mmse == mmse or (mmse is None and pd.isna(person.mmse))


def test_one_visit_makes_a_patient_and_every_visit_a_control(download):
    add_visit(
        download,
        "OASIS3_UDSb4_cdr.csv",
        *("OAS30001", "OAS30001_UDSb4_d2000", "2000", "70", "26", "0"),
        *("uncertain dementia", "."),
    )
    people = read(download).participants.set_index("participant_id")
    assert people.loc["OAS30001", "group"] == "other"
    add_visit(
        download,
        "OASIS3_UDSb4_cdr.csv",
        *("OAS30001", "OAS30001_UDSb4_d3000", "3000", "73", "20", "1"),
        *("AD Dementia", "."),
    )
    people = read(download).participants.set_index("participant_id")
    assert people.loc["OAS30001", "group"] == "AD"


def test_flow_counts_who_is_left(download):
    study = read(download)
    flow = study.flow.set_index("step")
    assert flow["participants"].to_dict() == {
        "images found": 6,
        "people in the clinical tables": 6,
        "subset: papers": 5,
        "closest pairs": 5,
        "of these HC": 1,
        "of these AD": 3,
        "of these other": 1,
    }
    assert flow.loc["closest pairs", "pairs"] == len(study.pairs) == 10
    assert study.aside["participant_id"].unique().tolist() == ["OAS30005"]
    everybody = read(download, subset="everybody")
    assert len(everybody.participants) == 6
    assert set(everybody.participants["population"]) == {"main"}
    counts = study.reports["counts"].set_index("what")
    assert counts["papers"].to_dict() == oasis3.PAPERS_COUNTS
    assert counts["here"].tolist() == [4, 9, 1]


@pytest.mark.parametrize(
    ("label", "days", "reason"),
    [
        ("OAS30002_UDSb4_d0010", "11", "day and label differ"),
        ("OAS30002_UDSb4_d99999", "99999", "no real day"),
        ("OAS30002_UDSb4_d-10", "-10", "no real day"),
        (".", "10.5", "no real day"),
        (".", "", "without a day"),
    ],
)
def test_visits_on_no_day_are_set_aside(download, label, days, reason):
    add_visit(
        download,
        "OASIS3_UDSb4_cdr.csv",
        *("OAS30002", label, days, "70", "22", "1", "AD Dementia", "."),
    )
    study = read(download)
    (row,) = study.aside[
        study.aside["file"].str.endswith(".csv", na=False)
    ].itertuples()
    assert row.participant_id == "OAS30002"
    assert reason in row.reason
    assert len(study.pairs) == 10


def test_names_against_folders_and_second_copies_are_set_aside(tmp_path):
    make_images(tmp_path, "bids")
    kept, _ = oasis3.find_images(tmp_path)
    # one session in a second layout, and a file in another person's folder
    make_images(tmp_path, "script", SCANS[3:4])
    name = "sub-OAS30009_ses-d0030_T1w.nii.gz"
    (tmp_path / "sub-OAS30002/ses-d0030/anat" / name).touch()
    images, aside = oasis3.find_images(tmp_path)
    assert len(images) == len(kept)
    reasons = sorted(row["reason"] for row in aside)
    assert ["a second copy of" in reason for reason in reasons] == [1, 1, 0]
    assert (
        "OAS30002 in the folder's name, OAS30009 in the file's" in reasons[2]
    )


def test_what_is_no_download_is_refused(tmp_path, download):
    with pytest.raises(ValueError, match="found no image of OASIS-3"):
        read_only = tmp_path / "empty"
        read_only.mkdir()
        oasis3.read(read_only)
    with pytest.raises(ValueError, match="not found"):
        oasis3.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="table of people with a column race"):
        oasis3.read(download / "images")
    with pytest.raises(ValueError, match="rule is 'paper', expected one of"):
        read(download, rule="paper")
    with pytest.raises(ValueError, match="subset is 'all', expected one of"):
        read(download, subset="all")


def test_columns_renamed_are_named(download):
    (file,) = download.rglob("OASIS3_UDSb4_cdr.csv")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("dx1", "diagnosis"), encoding="utf-8")
    with pytest.raises(ValueError, match="table of visits with a column dx1"):
        read(download)
