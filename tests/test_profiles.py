"""The profiles: what one machine does, what a cluster is asked for, and what a
stopped run leaves for the next.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml
from small_checkout import (
    EDITION,
    make_checkout,
    snakemake,
    start_snakemake,
    write_notebook,
)
from snakemake.cli import parse_args

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import jobs  # noqa: E402
import pages  # noqa: E402
import resources  # noqa: E402

PROFILES = ROOT / "config" / "profiles"
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
SMALL_GRID = {"objective": ["RR", "CR"], "fold": [0, 1], "seed": [0]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("partition=gpu", "default-resources.partition: unknown resource"),
        ("mem_mb=8G", "mem_mb: found '8G', expected a whole number"),
        ("mem_mb=8000 * attempt", None),
        ("runtime=4h", None),
        ("cpus_per_task=-1", None),
    ],
)
def test_what_every_job_gets_is_checked_too(asked, message):
    if message is None:
        resources.check_defaults([asked])
        return
    with pytest.raises(resources.ResourceError, match=re.escape(message)):
        resources.check_defaults([asked])


def test_the_local_profile_says_what_make_reproduce_says(monkeypatch):
    monkeypatch.setenv("CORES", "3")
    _, options = parse_args(["--profile", str(PROFILES / "local")])
    assert (options.cores, options.resources) == (3, {"slots": 3})
    triggers = {str(trigger) for trigger in options.rerun_triggers}
    assert triggers == {"mtime", "params"}
    assert options.rerun_incomplete and options.nolock and options.keep_going
    assert {str(word) for word in options.quiet} == {"rules"}
    assert not options.keep_incomplete and not options.retries


def test_the_profile_of_a_cluster_asks_for_what_is_there():
    _, options = parse_args(["--profile", str(PROFILES / "slurm")])
    assert options.executor == "slurm" and options.slurm_requeue
    # a training that ran out of time begins again, from what it left
    assert options.retries == 3 and options.keep_incomplete
    known = {*pages.read_pages(), "person", "cohort", "book"}
    asked = {}
    for rule, entries in options.set_resources.items():
        asked[rule] = {name: x.orig_arg for name, x in entries.items()}
    resources.check_rules(asked, known)
    resources.check_defaults(options.default_resources.args)
    on_gpus = {rule for rule, entries in asked.items() if "gpu" in entries}
    training = {
        page.name for page in pages.read_pages().values() if page.continues
    }
    assert on_gpus == training


def test_a_variant_may_be_a_term_of_a_user_s():
    own = {"objective": "RR-a.b:Own"}
    grid = {"objective": ["Mine"], "fold": [1], "seed": [0]}
    edition = DEMO | {"edition": "tiny", "grid": grid}
    edition["variants"] = {"Mine": own}
    (run,) = [j for j in jobs.jobs_of(edition) if j.objective]
    assert run.objective == "RR-a.b:Own"
    assert run.folders == ["data/runs/demo/Mine-fold1-seed0"]


def test_a_stopped_run_goes_on_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    edition = DEMO | {"edition": "tiny", "grid": SMALL_GRID}
    by_name = {job.name: job for job in jobs.jobs_of(edition)}
    run = by_name["CR_fold1_seed0"]
    folder = "data/runs/demo/CR-fold1-seed0"
    assert run.made_anew == [folder]
    Path(folder).mkdir(parents=True)
    assert run.made_anew == []
    # one that was finished and is made again does not
    Path(run.executed).parent.mkdir(parents=True)
    Path(run.executed).touch()
    assert run.made_anew == [folder]
    # a cohort knows nothing of the code that made it
    natural = by_name["09_natural_images"]
    for made in natural.folders:
        Path(made).mkdir(parents=True)
    assert natural.made_anew == ["data/derived/demo-natural"]


STOPPED = """
from pathlib import Path
folder = Path(output)
folder.mkdir(parents=True, exist_ok=True)
(folder / f"part-{len(list(folder.iterdir()))}").touch()
assert len(list(folder.iterdir())) == 3, "stopped"
"""


@pytest.mark.slow
@pytest.mark.parametrize("continues", [["output"], []])
def test_what_a_stopped_run_left_is_kept_for_the_next(tmp_path, continues):
    root = make_checkout(tmp_path / "checkout")
    page = {"after": [], "makes": "output", "continues": continues}
    write_notebook(root / "notebooks", "01_one", "data/x", page, STOPPED)
    made = "book/executed/tiny/01_one.ipynb"
    flags = ["--keep-incomplete", "--retries", "1", made]
    status, said = snakemake(root, EDITION, *flags)
    assert status != 0 and "stopped" in said
    assert (root / "data/x").exists()
    parts = []
    for _ in range(3):
        status, said = snakemake(root, EDITION, *flags[:1], made)
        parts.append(len(list((root / "data/x").iterdir())))
    assert (status == 0) == bool(continues), said
    assert max(parts) == (3 if continues else 1)


CONTINUES = {"after": [], "makes": "output", "continues": "output"}
KEPT = """
from pathlib import Path
Path(output).mkdir(parents=True, exist_ok=True)
print(edition, output)
"""


@pytest.mark.slow
def test_a_page_that_went_on_from_its_folder_is_made_once(tmp_path):
    root = make_checkout(tmp_path / "checkout")
    notebooks = root / "notebooks"
    made = "book/executed/tiny/01_one.ipynb"
    for number in range(3):
        # stopped, and its code has changed since
        code = KEPT + "print()\n" * number
        write_notebook(notebooks, "01_one", "data/x", CONTINUES, code)
        kept = root / "data" / "x" / "kept"
        if number:
            kept.touch()
            (root / made).unlink()
        status, said = snakemake(root, EDITION, made)
        assert status == 0, said
    assert kept.exists()
    _, said = snakemake(root, EDITION, "--dry-run", made)
    assert "Nothing to be done" in said, said


WAITING = """
import time
from pathlib import Path
kept = Path(output) / "kept"
goes_on = kept.exists()
kept.parent.mkdir(parents=True, exist_ok=True)
kept.touch()
time.sleep(0 if goes_on else 600)
"""


@pytest.mark.slow
def test_a_page_that_went_on_after_a_kill_is_made_once(tmp_path):
    root = make_checkout(tmp_path / "checkout")
    notebooks = root / "notebooks"
    write_notebook(notebooks, "01_one", "data/x", CONTINUES, WAITING)
    flags = ["--rerun-incomplete", "book/executed/tiny/01_one.ipynb"]
    process = start_snakemake(root, EDITION, *flags)
    while not (root / "data" / "x" / "kept").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    status, said = snakemake(root, EDITION, *flags)
    assert status == 0, said
    _, said = snakemake(root, EDITION, "--dry-run", *flags)
    assert "Nothing to be done" in said, said
