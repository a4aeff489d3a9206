"""Folders laid out as downloads of OASIS-3 are, with empty images."""

import csv
import json

LAYOUTS = ("script", "xnat", "bids")

CURRENT = {
    "OASIS3_demographics.csv": (
        "OASISID,AgeatEntry,GENDER,EDUC,HAND,APOE,race",
        ("OAS30001", "65.15", "1", "12", "R", "23", "White"),
        ("OAS30002", "70.5", "2", "16", "R", "34", "White"),
        ("OAS30003", "60", "2", "18", "L", "33", "White"),
        ("OAS30004", "72", "1", ".", "R", ".", "Black"),
        ("OAS30005", "80", "2", "14", "R", "33", "ASIAN"),
        ("OAS30006", "66", "1", "13", "R", "33", "White"),
    ),
    "OASIS3_UDSb4_cdr.csv": (
        "OASISID,OASIS_session_label,days_to_visit,age at visit,MMSE,CDRTOT,"
        "dx1,dx2",
        ("OAS30001", "OAS30001_UDSb4_d0000", "0", "65", "29", "0")
        + ("Cognitively normal", "."),
        ("OAS30001", "OAS30001_UDSb4_d0339", "339", "66", "28", "0")
        + ("Cognitively normal", "."),
        ("OAS30002", "OAS30002_UDSb4_d0010", "10", "70", "22", "1")
        + ("AD dem w/depresss- not contribut", "."),
        ("OAS30003", "OAS30003_UDSb4_d0000", "0", "60", "27", "0.5")
        + ("AD dem cannot be primary", "."),
        ("OAS30004", "OAS30004_UDSb4_d0005", "5", "72", "25", "0.5")
        + ("AD Dementia", "."),
        ("OAS30005", "OAS30005_UDSb4_d0005", "5", "80", "30", "0")
        + ("No dementia", "."),
        ("OAS30006", "OAS30006_UDSb4_d0005", "5", "66", "30", "0")
        + (".", "."),
    ),
    "OASIS3_UDSd1_diagnoses.csv": (
        "OASISID,OASIS_session_label,days_to_visit,NORMCOG,DEMENTED,PROBAD",
        ("OAS30001", "OAS30001_UDSd1_d0339", "0339", "1", "0", "."),
        ("OAS30006", "OAS30006_UDSd1_d0005", "0005", "0", "1", "1"),
    ),
}
"""{file: header, rows} of today's tables."""

OLDER = {
    "clinical data.csv": (
        "ADRC_ADRCCLINICALDATA ID,Subject,Age,mmse,ageAtEntry,cdr,dx1,dx2,"
        "apoe,sumbox",
        ("OAS30001_ClinicalData_d0000", "OAS30001", ".", "29", "65.15", "0")
        + ("Cognitively normal", ".", "23", "0"),
        ("OAS30001_ClinicalData_d0339", "OAS30001", ".", "28", "65.15", "0")
        + ("Cognitively normal", ".", "23", "0"),
        ("OAS30002_ClinicalData_d0010", "OAS30002", ".", "22", "70.5", "1")
        + ("AD dem w/depresss  not contribut", ".", "34", "5"),
        ("OAS30003_ClinicalData_d0000", "OAS30003", ".", "27", "60", "0.5")
        + ("AD dem cannot be primary", ".", "33", "1"),
        ("OAS30004_ClinicalData_d0005", "OAS30004", ".", "25", "72", "0.5")
        + ("AD Dementia", ".", ".", "2"),
        ("OAS30005_ClinicalData_d0005", "OAS30005", ".", "30", "80", "0")
        + ("No dementia", ".", "33", "0"),
        ("OAS30006_ClinicalData_d0005", "OAS30006", ".", "30", "66", "0")
        + ("DAT", ".", "33", "4"),
    ),
    "subjects.csv": (
        "Subject,M/F,Hand,Education,Race",
        ("OAS30001", "M", "R", "12", "Caucasian"),
        ("OAS30002", "F", "R", "16", "Caucasian"),
        ("OAS30003", "F", "L", "18", "Caucasian"),
        ("OAS30004", "M", "R", ".", "African American"),
        ("OAS30005", "F", "R", "14", "Asian"),
        ("OAS30006", "M", "R", "13", "Caucasian"),
    ),
}
"""The same people in an older export."""

SCANS = (
    ("OAS30001", "d0129", ("run-01_T1w", "task-rest_run-01_bold")),
    ("OAS30001", "d0757", ("run-01_T1w", "run-02_T1w", "acq-TSE_T2w")),
    ("OAS30001", "d0800", ("task-rest_run-01_bold", "task-rest_run-02_bold")),
    ("OAS30002", "d0030", ("T1w", "task-rest_bold")),
    ("OAS30003", "d0200", ("T1w", "task-rest_run-01_bold")),
    ("OAS30004", "d0300", ("T1w", "task-rest_run-01_bold")),
    ("OAS30005", "d0300", ("T1w", "task-rest_run-01_bold")),
    ("OAS30006", "d0300", ("T1w", "task-rest_run-01_bold")),
    ("OAS30006", "d4000", ("T1w", "task-nback_bold")),
)
"""Person, session, images: of several a session, of T1 or BOLD alone."""


def place(root, layout, person, session, image):
    """Where an image lies in a layout."""
    name = f"sub-{person}_ses-{session}_{image}.nii.gz"
    kind = image.split("_")[-1]
    if layout == "bids":
        folder = "func" if kind == "bold" else "anat"
        return root / f"sub-{person}" / f"ses-{session}" / folder / name
    scan = f"{'func' if kind == 'bold' else 'anat'}{len(image)}"
    visit = root / f"{person}_MR_{session}"
    if layout == "script":
        return visit / scan / name
    return visit / "scans" / f"{scan}-{kind}" / "resources/NIFTI/files" / name


def make_images(root, layout, scans=SCANS, seconds=2.2):
    """Write empty images, and the sidecars of the series."""
    for person, session, images in scans:
        for image in images:
            file = place(root, layout, person, session, image)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            if image.endswith("bold"):
                folder = file.parent
                if layout == "xnat":
                    folder = file.parents[2] / "BIDS" / "files"
                    folder.mkdir(parents=True, exist_ok=True)
                sidecar = folder / file.name.replace(".nii.gz", ".json")
                sidecar.write_text(json.dumps({"RepetitionTime": seconds}))


def make_tables(folder, tables=CURRENT):
    """Write clinical tables."""
    for name, (header, *rows) in tables.items():
        where = folder / name.removesuffix(".csv") / "resources/csv/files"
        where.mkdir(parents=True, exist_ok=True)
        with (where / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header.split(","))
            writer.writerows(rows)
