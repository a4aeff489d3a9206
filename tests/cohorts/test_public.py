"""Public cohorts on small files in the layout of the real ones, from a server
of this machine.
"""

import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts import public
from mmssl.preprocessing import space, template

PEOPLE = (1, 2, 3, 4, 5, 6)
RATINGS = (0.0, 0.5, 0.0, 1.0, np.nan, 0.0)
AFFINE = np.diag([8.0, 8.0, 8.0, 1.0])
AFFINE[:3, 3] = (-90, -126, -72)
SHAPE = (23, 28, 23)


def write_map(file, level):
    """A map that rises to the front and is as high as a level."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = level + np.linspace(0, 1, SHAPE[1])[None, :, None]
    values = np.broadcast_to(values, SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(values, AFFINE), file)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the address that it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Silent, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def oasis1_files(served, tmp_path):
    folder, address = served
    source = tmp_path / "source"
    rows = []
    for number, rating in zip(PEOPLE, RATINGS, strict=True):
        name = f"OAS1_{number:04d}_MR1"
        for kind in (1, 2):
            file = f"mwrc{kind}{name}_mpr_anon_fslswapdim_bet.nii.gz"
            write_map(source / name / file, number + 10 * kind)
        rows.append((name, "F", 60 + number, rating, 29))
    with tarfile.open(folder / "archive_dartel.tgz", "w:gz") as archive:
        for part in sorted(source.iterdir()):
            archive.add(part, part.name)
    columns = ["ID", "M/F", "Age", "CDR", "MMSE"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(folder / "oasis_cross-sectional.csv", index=False)
    (folder / "data_usage_agreement.txt").write_text("terms")
    return address


def test_oasis1_is_two_modalities_with_ratings(oasis1_files, tmp_path):
    options = {"people": 6, "size": 16, "folds": 2, "holdout": 0.0}
    made = public.oasis1(
        tmp_path / "cohort",
        data_dir=tmp_path / "kept",
        url=oasis1_files,
        **options,
    )
    assert made.modalities == ("grey", "white")
    assert made.labels().tolist() == [0, 1, 0, 1, -1, 0]
    assert made.participants["age"].tolist() == [61, 62, 63, 64, 65, 66]
    mni = template.template(16)
    centre = np.linalg.inv(mni.affine) @ [0, -14, 16, 1]
    x, y, z = np.round(centre[:3]).astype(int)
    place = space.apply(mni.affine, np.array([[x, y, z]]))[0]
    rise = (place[1] + 126) / 8 / (SHAPE[1] - 1)
    for kind, modality in enumerate(made.modalities, 1):
        values = np.asarray(made.volumes[modality])[:, x, y, z]
        np.testing.assert_allclose(
            values, np.array(PEOPLE) + 10 * kind + rise, atol=0.05
        )
    # what is there is not downloaded again
    again = public.oasis1(
        tmp_path / "again",
        data_dir=tmp_path / "kept",
        url="http://127.0.0.1:9",
        **options,
    )
    assert again.hashes["grey.npy"] == made.hashes["grey.npy"]


def test_a_damaged_map_sets_its_person_aside(oasis1_files, tmp_path):
    options = {"size": 16, "folds": 2, "holdout": 0.0, "url": oasis1_files}
    kept = tmp_path / "kept"
    whole = public.oasis1(tmp_path / "a", 6, data_dir=kept, **options)
    (damaged,) = kept.rglob("mwrc2OAS1_0003*")
    damaged.write_bytes(damaged.read_bytes()[:-200])
    made = public.oasis1(tmp_path / "b", 6, data_dir=kept, **options)
    assert made.subjects.tolist() == [
        name for name in whole.subjects if "0003" not in name
    ]
    np.testing.assert_array_equal(
        made.volumes["white"][2], whole.volumes["white"][3]
    )
    aside = pd.read_csv(tmp_path / "b/aside.tsv", sep="\t")
    assert aside["participant_id"].tolist() == ["OAS1_0003_MR1"]
    assert str(tmp_path) not in aside["reason"][0]


def test_abide_is_one_modality_with_sites(served, tmp_path):
    folder, address = served
    rows = []
    for number in PEOPLE:
        name = f"Pitt_{number:07d}"
        file = folder / "Outputs/cpac/nofilt_noglobal/falff"
        write_map(file / f"{name}_falff.nii.gz", number)
        rows.append((name, 1 + number % 2, 20 + number, 1 + number % 2))
    table = pd.DataFrame(
        rows, columns=["FILE_ID", "DX_GROUP", "AGE_AT_SCAN", "SEX"]
    )
    for rater in ("rater_1", "anat_rater_2", "func_rater_2"):
        table[f"qc_{rater}"] = "OK"
    for rater in ("anat_rater_3", "func_rater_3"):
        table[f"qc_{rater}"] = "OK"
    table["SITE_ID"] = "PITT"
    table.to_csv(folder / "Phenotypic_V1_0b_preprocessed1.csv")
    made = public.abide(
        tmp_path / "cohort",
        size=16,
        folds=2,
        holdout=0.0,
        data_dir=tmp_path / "kept",
        url=address,
    )
    assert made.modalities == ("fALFF",)
    # numbered from 1 with every second of a class
    assert made.labels("autism").tolist() == [0, 1, 0, 1, 0, 1]
    assert set(made.participants["site"]) == {"PITT"}
    assert set(made.participants["sex"]) == {"M", "F"}


@pytest.mark.parametrize("make", [public.oasis1, public.abide])
def test_offline_says_what_to_do(make, tmp_path):
    with pytest.raises(ConnectionError, match="where there is a network"):
        make(
            tmp_path / "cohort",
            2,
            data_dir=tmp_path / "kept",
            url="http://127.0.0.1:9",
        )
    assert not (tmp_path / "cohort").exists()


def test_a_wrong_number_of_people_is_no_want_of_a_network(tmp_path):
    with pytest.raises(ValueError, match="number of subjects"):
        public.oasis1(tmp_path / "cohort", people=-1, data_dir=tmp_path)
