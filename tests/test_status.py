"""The table of how far an edition is: what it says of each state a run can be
in, and by what.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402
import jobs  # noqa: E402
import status  # noqa: E402

from mmssl.ledger import code, locks, manifest, sidecars  # noqa: E402

CELL = """\
edition: str = "smoke"  # which edition
cohort: str = "cohort"  # folder of the cohort
output: str = "made"  # folder that it makes
seed: int = 0  # of the draws
"""
MAKE = """
from pathlib import Path
from mmssl.ledger import manifest, paths
folder = paths.project(output)
folder.mkdir(exist_ok=True)
(folder / "weights").write_text("learned")
manifest.write_manifest(folder)
"""


def make_root(folder):
    """Write a repository with a cohort; return its folder."""
    (folder / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (folder / "cohort").mkdir()
    (folder / "cohort" / "T1.npy").write_text("voxels")
    (folder / "notebooks").mkdir()
    return folder


@pytest.fixture
def root(tmp_path):
    """Give a repository with a cohort."""
    return make_root(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    """Forget what was asked of the files of another test."""
    for asked in (sidecars._hash_once, sidecars._fingerprint_once):
        asked.cache_clear()


def make_job(root, *cells, **values):
    """Write a notebook; return the job of it, which has not run."""
    tagged = {"tags": ["parameters"]}
    made = [nbformat.v4.new_code_cell(CELL, metadata=tagged)]
    made += [nbformat.v4.new_code_cell(cell) for cell in cells or [MAKE]]
    kernel = {"name": "python3", "display_name": "Python 3"}
    page = {"after": [], "makes": "output", "continues": "output"}
    metadata = {"kernelspec": kernel, "page": page}
    file = root / "notebooks" / "01_one.ipynb"
    notebook = nbformat.v4.new_notebook(cells=made, metadata=metadata)
    nbformat.write(notebook, file)
    return jobs.Job(
        "01_one",
        "data/executed/tiny/RR-fold0-seed0.ipynb",
        values,
        execute.resolve(file, values),
        ["made"],
        ["made"],
        1,
        0,
    )


def run(job, root):
    """Run a job as the workflow does."""
    notebook = root / "notebooks" / "01_one.ipynb"
    execute.execute(notebook, root / job.executed, job.parameters)


def told(job, root):
    """State, and what is told of it."""
    found = status.status_of(job, root)
    return found.state, found.told


def test_a_run_that_is_done_says_what_it_took(root, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    job = make_job(root, MAKE, "sum(range(30_000_000))")
    run(job, root)
    found = status.status_of(job, root)
    assert (found.run, found.state, found.told) == (
        "RR_fold0_seed0",
        "done",
        "",
    )
    facts = sidecars.read_sidecar(root / job.executed)["facts"]
    assert found.core_hours == facts["processor_seconds"] / 3600 > 0
    assert found.gpu_hours == 2 * facts["seconds"] / 3600 > 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give a job that has run, and the repository."""
    root = make_root(tmp_path_factory.mktemp("finished"))
    job = make_job(root)
    run(job, root)
    assert told(job, root) == ("done", "")
    return job, root


@pytest.fixture
def done(finished, tmp_path):
    """Give a job that has run, and a copy of the repository to change."""
    job, root = finished
    copy = shutil.copytree(root, tmp_path / "copy")
    return replace(job, resolved=dict(job.resolved)), copy


def test_a_run_of_another_cohort_is_stale(done):
    job, root = done
    (root / "cohort" / "T1.npy").write_text("others")
    assert told(job, root) == (
        "stale",
        "its input cohort (cohort) has changed",
    )


def test_a_run_of_another_notebook_is_stale(done):
    job, root = done
    make_job(root, MAKE, "1")
    state, why = told(job, root)
    assert state == "stale" and "its input notebook" in why


def test_a_run_of_other_code_is_stale(done, monkeypatch):
    job, root = done
    monkeypatch.setattr(code, "hash_file", lambda _: "0" * 64)
    sidecars._fingerprint_once.cache_clear()
    state, why = told(job, root)
    sidecars._fingerprint_once.cache_clear()
    assert state == "stale" and why.startswith("module mmssl.ledger.")
    assert "more)" in why


def test_a_run_of_other_parameters_is_stale(done):
    job, root = done
    job.resolved["seed"] = 3
    expected = "it ran with seed = 0, the edition has 3"
    assert told(job, root) == ("stale", expected)


def test_a_run_whose_folder_is_gone_or_changed_is_stale(done):
    job, root = done
    (root / "made" / "weights").write_text("others")
    state, why = told(job, root)
    assert state == "stale"
    assert why == "made: .: weights was changed after it was made"
    for file in (root / "made").iterdir():
        file.unlink()
    (root / "made").rmdir()
    assert told(job, root) == ("stale", "made is gone")


def test_a_run_whose_record_is_gone_is_stale(done):
    job, root = done
    sidecars.sidecar_of(root / job.executed).unlink()
    state, why = told(job, root)
    assert state == "stale" and "nobody knows what made it" in why


def test_a_run_that_failed_says_in_which_cell(root):
    job = make_job(root, "1", "raise OSError('no disk\\nor so')", "2")
    with pytest.raises(execute.PapermillExecutionError):
        run(job, root)
    # the cell of parameters is the first
    assert told(job, root) == ("failed", "cell [3]: OSError: no disk")
    # one that was ready before does not hide it
    (root / job.executed).touch()
    assert told(job, root)[0] == "failed"


def test_a_kernel_that_died_says_in_which_cell(root):
    job = make_job(root, "1", "import os\nos._exit(1)", "2")
    with pytest.raises(execute.DeadKernelError):
        run(job, root)
    state, why = told(job, root)
    assert state == "failed" and why.startswith("cell [3]: the kernel died")


def test_who_makes_a_run_is_told(root):
    job = make_job(root)
    failed = (root / job.executed).with_suffix(".failed.ipynb")
    with locks.owned(root / job.executed):
        # of the time before
        failed.touch()
        state, who = told(job, root)
    assert state == "running" and who.startswith("process ")


def test_a_run_that_was_stopped_is_missing_and_goes_on(root):
    job = make_job(root)
    assert told(job, root) == ("missing", "")
    (root / "made.partial").mkdir()
    expected = "stopped; goes on from made.partial"
    assert told(job, root) == ("missing", expected)


def test_the_table_counts_and_sums(capsys):
    hour = {"processor_seconds": 3600.0, "seconds": 1800.0}
    runs = [
        status.Status("a", "done", "", {**hour, "gpus": 4}),
        status.Status("b", "done", "", {**hour, "peak_memory_mb": 2345}),
        status.Status("longer", "failed", "cell [3]: " + "x" * 200, {}),
    ]
    lines = status.table(runs).splitlines()
    assert lines[1].split() == ["a", "done", "1.00", "2.00", "-"]
    assert lines[2].split() == ["b", "done", "1.00", "-", "2.3", "GB"]
    assert lines[3].split()[:5] == ["longer", "failed", "-", "-", "-"]
    assert len(lines[3]) < 160 and lines[3].endswith("...")
    assert lines[-1] == (
        "3 runs: 2 done, 1 failed; 2.0 core-hours, 2.0 GPU-hours on record"
    )


def test_a_run_that_reads_what_is_not_done_is_stale(done):
    job, root = done
    names = {"first": [], "second": ["first"], "third": ["second"]}
    known = {}
    for name, after in names.items():
        executed = f"data/executed/tiny/{name}.ipynb"
        waits = [f"data/executed/tiny/{one}.ipynb" for one in after]
        known[name] = replace(job, executed=executed, after=waits)
        for file in (job.executed, f"{job.executed}.json"):
            copy = root / file.replace("RR-fold0-seed0", name)
            shutil.copy(root / file, copy)
    # whatever comes first in the edition's file
    listed = [known["third"], known["second"], known["first"]]
    found = status.statuses_of(listed, root)
    assert [one.state for one in found] == ["done", "done", "done"]
    known["first"].resolved = {**job.resolved, "seed": 3}
    known["second"].resolved = known["third"].resolved = dict(job.resolved)
    found = status.statuses_of(listed, root)
    assert [one.state for one in found] == ["stale", "stale", "stale"]
    assert [one.told for one in found[:2]] == [
        "it reads second, which is stale",
        "it reads first, which is stale",
    ]


def test_every_run_of_an_edition_has_a_line(capsys):
    assert status.main([str(ROOT / "config" / "demo.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    edition = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    names = [line.split()[0] for line in lines[1:-2]]
    assert names == [job.name for job in jobs.jobs_of(edition)]


@pytest.mark.parametrize("text", ["edition: a b", "edition: [", None])
def test_a_bad_edition_is_named(tmp_path, capsys, text):
    file = tmp_path / "e.yaml"
    if text is not None:
        file.write_text(text)
    assert status.main([str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_many_runs_look_at_one_cohort_once(done, monkeypatch):
    """A thousand runs would else read it a thousand times."""
    job, root = done
    asked = []
    found = sidecars.hash_path
    monkeypatch.setattr(
        sidecars,
        "_hash_once",
        sidecars.cache(lambda path: asked.append(path) or found(path)),
    )
    for _ in range(5):
        assert told(job, root) == ("done", "")
    assert sorted(path.name for path in asked) == ["01_one.ipynb", "cohort"]
    assert manifest.read_manifest(root / "made")
