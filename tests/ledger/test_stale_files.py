"""What is stale in folders: by code, by cohort, and through what it was made
from.
"""

import json

import pandas as pd
import pytest

from mmssl.ledger.__main__ import main
from mmssl.ledger.artefacts import Provenance
from mmssl.ledger.code import fingerprint
from mmssl.ledger.hashes import hash_json
from mmssl.ledger.manifest import write_manifest
from mmssl.ledger.stale_files import stale_files
from mmssl.ledger.verify import faults

OTHER = "0" * 64
CODE = fingerprint("mmssl.ledger.hashes")
MODULES = ("mmssl.ledger.hashes",)


def write_cohort(folder, name="small", volumes="voxels"):
    """A cohort of one file, as its record says."""
    folder.mkdir(parents=True)
    (folder / "T1.npy").write_text(volumes)
    fields = {"name": name, "hashes": hashes_of(volumes)}
    fields["content"] = hash_json(fields)
    (folder / "cohort.json").write_text(json.dumps(fields))


def hashes_of(volumes):
    """Hashes of the files of a cohort."""
    import hashlib

    return {"T1.npy": hashlib.sha256(volumes.encode()).hexdigest()}


def write_run(folder, **record):
    """A run with a record and embeddings."""
    folder.mkdir(parents=True)
    cohort = {"name": "small", "hashes": hashes_of("voxels")}
    text = json.dumps({"code": CODE, "cohort": cohort, **record})
    (folder / "params.json").write_text(text)
    (folder / "embeddings.npz").write_text("z")
    write_manifest(folder)


@pytest.fixture
def data(tmp_path):
    """Give a folder with a cohort, two runs, a table of each and a figure of
    the first.
    """
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    folder = tmp_path / "data"
    write_cohort(folder / "cohort")
    table = {"": pd.DataFrame({"auc": [0.5]})}
    for name in ("one", "two"):
        write_run(folder / "runs" / name)
        inputs = {"run": folder / "runs" / name / "embeddings.npz"}
        Provenance(inputs, {}, 0, MODULES).save(folder, name, table)
    inputs = {"table": folder / "one.tsv"}
    Provenance(inputs, {}, 0, MODULES).save(folder, "shown", table)
    return folder


def told(folder):
    """What is stale, by its place in the folder."""
    found = stale_files([folder], faults(folder))
    names = {}
    for place, reasons in found.items():
        names[place.relative_to(folder).as_posix()] = reasons
    return names


def replace_run(data, **record):
    """Make the first run again, with another record."""
    for file in (data / "runs" / "one").iterdir():
        file.unlink()
    (data / "runs" / "one").rmdir()
    write_run(data / "runs" / "one", **record)


def test_what_is_as_it_would_be_made_now_is_not_stale(data):
    assert told(data) == {}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ({"mmssl.ledger.atomic": OTHER}, "module mmssl.ledger.atomic has"),
        ({"mmssl.gone": OTHER}, "module mmssl.gone no longer exists"),
    ],
)
def test_a_run_of_other_code_makes_stale_what_it_led_to(data, code, reason):
    replace_run(data, code=CODE | code)
    found = told(data)
    assert found.pop("runs/one")[0].startswith(reason)
    assert found == {
        "one.tsv": ["its input run is stale"],
        "shown.tsv": ["its input table is stale"],
    }


def test_code_of_a_user_is_not_looked_for(data):
    replace_run(data, code={**CODE, "__main__.Own": OTHER, "their.Own": OTHER})
    assert told(data) == {}


def test_a_cohort_is_known_by_name_and_content(data):
    first, both = {"runs/one", "one.tsv", "shown.tsv"}, ["runs/one"]
    both += ["runs/two", "one.tsv", "two.tsv", "shown.tsv"]
    cohort = {"name": "small", "hashes": hashes_of("others")}
    replace_run(data, cohort=cohort)
    found = told(data)
    assert set(found) == first
    assert found["runs/one"] == ["its cohort small has changed"]
    # there is one like that after all
    write_cohort(data / "second", volumes="others")
    assert told(data) == {}
    (data / "second" / "T1.npy").write_text("OTHERS")
    assert set(told(data)) == first
    (data / "cohort" / "T1.npy").write_text("VOXELS")
    assert set(told(data)) == set(both)
    # where none of that name is in the folder, nothing can be said
    replace_run(data, cohort=cohort | {"name": "elsewhere"})
    assert "runs/one" not in told(data)


def test_an_altered_file_makes_stale_what_read_it(data, capsys):
    assert main([str(data)]) == 0
    (data / "runs" / "one" / "embeddings.npz").write_text("y")
    found = told(data)
    assert list(found) == ["one.tsv", "shown.tsv"]
    assert found["one.tsv"] == [
        "its input run (data/runs/one/embeddings.npz) has changed"
    ]
    assert main([str(data)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("embeddings.npz was changed after it was made")
    assert [line.split()[1:3] for line in lines[1:]] == [["is", "stale:"]] * 2


def test_staleness_alone_is_told_and_is_no_fault(data, capsys):
    replace_run(data, code=CODE | {"mmssl.gone": OTHER})
    assert main([str(data)]) == 0
    said = capsys.readouterr()
    assert "runs/one is stale: module mmssl.gone no longer" in said.err
    assert "are those that were made" in said.out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"code": [], "cohort": 3}',
        '{"cohort": {"name": []}}',
    ],
)
def test_a_record_of_something_else_stops_nothing(data, text):
    (data / "runs" / "one" / "params.json").write_text(text)
    (data / "cohort" / "cohort.json").write_text(text)
    (data / "two.tsv.json").write_text(text)
    assert isinstance(told(data), dict)
