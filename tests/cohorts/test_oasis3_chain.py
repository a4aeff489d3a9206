"""From a download of OASIS-3 to a map of group differences: raw images of
people who are the template, moved, through a batch that is killed and goes on,
and through the pages.
"""

import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from moved_template import native, similarity
from oasis3_tree import make_images, make_tables, place
from page_in_process import LEAST, empty_project, run_page, text_of

from mmssl import cohorts
from mmssl.cohorts import __main__ as command
from mmssl.preprocessing import space, template

PEOPLE = 20
PLANTED = "OAS3"
"""In the id of every person."""

SESSION = "d0030"
T1, BOLD = "T1w", "task-rest_run-01_bold"
SECONDS, VOLUMES = 2.2, 60
OPTIONS = "--size 32 --folds 5 --holdout 0.5 --seed 3"
MORE = {
    "03_pretraining": {"objective": "RR", "run_dir": "runs/RR-fold0-seed0"},
    "04_linear_evaluation": {"initialisations": 2},
    "05_similarity": {"auc": "results/linear_evaluation.tsv"},
    "06_saliency": {"objective": "RR"},
    "07_group_differences": {"objectives": "RR", "untrained_encoders": 1},
}
"""The pages after the dataset's, with what the least does not say."""


def name_of(number):
    return f"OAS3{number + 1:04d}"


def clinical_tables():
    """As many healthy people as patients, and one without a series."""
    people, visits = [], []
    for number in range(PEOPLE + 1):
        name, age = name_of(number), 65 + number % 7
        people.append((name, f"{age}", "1", "12", "R", "33", "White"))
        diagnosis = "AD Dementia" if number % 2 else "Cognitively normal"
        visit = (name, f"{name}_UDSb4_d0010", "10", f"{age}", "29", "0")
        visits.append((*visit, diagnosis, "."))
    return {
        "OASIS3_demographics.csv": (
            "OASISID,AgeatEntry,GENDER,EDUC,HAND,APOE,race",
            *people,
        ),
        "OASIS3_UDSb4_cdr.csv": (
            "OASISID,OASIS_session_label,days_to_visit,age at visit,MMSE,"
            "CDRTOT,dx1,dx2",
            *visits,
        ),
    }


def write_person(root, number):
    """The template in a pose of its own: T1 of 3 mm, BOLD of 6 mm in which
    grey matter fluctuates slowly.
    """
    rng = np.random.default_rng(number)
    matrix = similarity(
        rng.uniform(-12, 12, 3),
        rng.uniform(-15, 15, 3),
        rng.uniform(0.95, 1.05),
    )
    volume, affine, _ = native(
        matrix, sides=(3.0, 3.0, 3.2), shape=(66, 78, 68), seed=number
    )
    file = place(root, "xnat", name_of(number), SESSION, T1)
    nib.save(nib.Nifti1Image(volume.astype(np.int16), affine), file)
    if number == PEOPLE:
        return
    mean, affine, brain = native(
        matrix, sides=(6.0, 6.0, 6.0), shape=(34, 40, 36), seed=100 + number
    )
    full = template.full()
    inverse = np.linalg.inv(matrix)
    grey = space.resample(full.grey, full.affine, inverse, affine, brain.shape)
    seconds = SECONDS * np.arange(VOLUMES)
    slow = np.sin(2 * np.pi * 0.04 * seconds + rng.uniform(0, 6))
    noise = rng.normal(0, 6, (*brain.shape, VOLUMES))
    series = mean[..., None] + 25 * grey[..., None] * slow + noise
    nifti = nib.Nifti1Image(series.astype(np.int16), affine)
    nifti.header.set_xyzt_units("mm", "sec")
    nifti.header["pixdim"][4] = SECONDS
    file = place(root, "xnat", name_of(number), SESSION, BOLD)
    nib.save(nifti, file)


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    """A download of 21 people with raw images and tables."""
    root = tmp_path_factory.mktemp("oasis3")
    scans = [(name_of(n), SESSION, (T1, BOLD)) for n in range(PEOPLE)]
    scans.append((name_of(PEOPLE), SESSION, (T1,)))
    make_images(root, "xnat", scans, SECONDS)
    make_tables(root, clinical_tables())
    for number in range(PEOPLE + 1):
        write_person(root, number)
    return root


def finished(prepared):
    return sorted(file.parent for file in prepared.glob("*/prepared.json"))


def contents(folder):
    return {
        file.relative_to(folder): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def kill_half_way(words, prepared):
    """Run the command until two people are finished, and kill it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmssl.cohorts", *words],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(finished(prepared)) < 2:
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_whole_chain_runs_on_a_download_of_oasis3(
    download, tmp_path, monkeypatch
):
    shown = empty_project(tmp_path, monkeypatch)
    prepared = tmp_path / "prepared"
    words = ["oasis3", str(download), "cohort", "--prepared", str(prepared)]
    words += OPTIONS.split()
    kill_half_way(words, prepared)
    before = {file: contents(file) for file in finished(prepared)}
    assert len(before) < PEOPLE

    page = {
        "dataset": "oasis3",
        "root": str(download),
        "options": OPTIONS,
        "prepared": "prepared",
        "cohort": "cohort",
        "output": "results",
    }
    run_page("15_dataset", page, shown)
    for folder, files in before.items():
        assert contents(folder) == files
    made = cohorts.load("cohort")
    assert len(made) == PEOPLE
    assert (made.participants["registration"] != "failed").all()
    aside = pd.read_csv("cohort/aside.tsv", sep="\t")
    assert aside["participant_id"].tolist() == [name_of(PEOPLE)]
    assert "0 of fALFF" in aside["reason"].iloc[0]
    # who was on the way when the batch was killed is as if it never was
    late = [folder for folder in finished(prepared) if folder not in before]
    again = ["--prepared", str(tmp_path / "again"), "--person", late[0].name]
    assert command.main([*words[:3], *again, *OPTIONS.split()]) == 0
    assert contents(tmp_path / "again" / late[0].name) == contents(late[0])

    for name, values in MORE.items():
        folders = {"runs": "runs", "output": "results", "cohort": "cohort"}
        if name == "03_pretraining":
            folders = {"cohort": "cohort"}
        run_page(name, {**LEAST[name], **folders, **values}, shown)
    peaks = pd.read_csv("results/group_peaks.tsv", sep="\t")
    assert set(peaks["modality"]) == {"T1", "fALFF"}
    texts = [text_of(thing) for thing in shown]
    for folder in ("results", "figures"):
        for file in (tmp_path / folder).rglob("*"):
            if file.is_file():
                texts.append(file.read_bytes().decode("latin-1"))
    assert not [text for text in texts if PLANTED + "0" in text]
