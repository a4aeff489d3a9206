"""The workflow plans every run of an edition from what the notebooks say of
themselves, and refuses a bad edition before anything starts.
"""

import ctypes
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mmssl.objectives import clustering, preservation

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import jobs  # noqa: E402
import pages  # noqa: E402

DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
EDITIONS = sorted((ROOT / "config").glob("*.yaml"))
SMALL_GRID = {"objective": ["RR", "CR"], "fold": [0, 1], "seed": [0]}


def _plan(tmp_path, edition, root=ROOT, flags=()):
    """Dry-run an edition; return status and text."""
    file = tmp_path / "edition.yaml"
    file.write_text(yaml.safe_dump(edition, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock"]
    command += ["--cores", "2", "--forceall", *flags]
    command += ["--snakefile", root / "Snakefile", "--configfile", file]
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def _jobs(text):
    """Return ``{job: {"input": [...], "output": [...], ...}}`` of a plan."""
    jobs = {}
    for block in re.split(r"\n(?=(?:local)?rule )", text):
        name = re.match(r"(?:local)?rule (\S+):", block)
        if name:
            lines = re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE)
            jobs[name[1]] = {key: value.split(", ") for key, value in lines}
    return jobs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Give the jobs of the demo edition over a small grid."""
    edition = DEMO | {"edition": "tiny", "grid": SMALL_GRID}
    asked = ["03_pretraining:gpu=2", "CR_fold1_seed0:gpu=4"]
    flags = ["--set-resources", *asked]
    folder = tmp_path_factory.mktemp("tiny")
    status, text = _plan(folder, edition, flags=flags)
    assert status == 0, text
    return _jobs(text)


def _notebook(folder, name, page):
    """Write a small notebook that says `page` of itself."""
    source = 'edition: str = "smoke"  # which edition\n'
    source += 'output: str = "data/results/smoke"  # folder'
    cell = {
        "cell_type": "code",
        "id": "parameters",
        "execution_count": None,
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "source": source,
    }
    content = {
        "cells": [cell],
        "metadata": {} if page is None else {"page": page},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    file = folder / f"{name}.ipynb"
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def scratch(tmp_path):
    """Give a copy of the repository that a test may change."""
    root = tmp_path / "copy"
    for folder in ("mmssl", "notebooks", "book/claims"):
        shutil.copytree(ROOT / folder, root / folder)
    for file in ("Snakefile", "pyproject.toml"):
        shutil.copy(ROOT / file, root)
    return root


def test_every_point_of_the_grid_is_a_run(tiny):
    assert {"03_pretraining", "RR_fold1_seed0"} <= set(tiny)
    assert {"CR_fold0_seed0", "CR_fold1_seed0"} <= set(tiny)
    # the first point is the page of the book
    assert "RR_fold0_seed0" not in tiny
    assert {*DEMO["notebooks"], "book", "all"} <= set(tiny)


@pytest.mark.parametrize(
    "file",
    [file for file in EDITIONS if file.stem != "ablations"],
    ids=lambda file: file.stem,
)
def test_an_edition_of_trainings_has_the_whole_taxonomy(tmp_path, file):
    edition = yaml.safe_load(file.read_text())
    edition.pop("study", None)  # of a download that is not here
    status, text = _plan(tmp_path, edition)
    assert status == 0, text
    terms = ("CR", "XX", "CC", "RR")
    subsets = set()
    for size in range(1, 5):
        combinations = itertools.combinations(terms, size)
        subsets |= {"-".join(combination) for combination in combinations}
    others = {"AE", "RR-AE", "DCCAE", "CR-CCA", "MMVAE", "Supervised"}
    objectives = set(edition["grid"]["objective"])
    variants = set(edition["variants"])
    assert objectives - variants | variants & others == subsets | others


def test_the_ablations_have_every_row(tmp_path):
    file = ROOT / "config" / "ablations.yaml"
    edition = yaml.safe_load(file.read_text())
    status, text = _plan(tmp_path, edition)
    assert status == 0, text
    for page, method, rows in (
        ("10_online_clustering", "SwAV", clustering.ABLATION),
        ("11_preservational_learning", "PCRL", preservation.ABLATION),
    ):
        models = edition["notebooks"][page]["models"].split(",")
        assert models[0] == method
        assert set(rows) <= set(models)


def test_pages_wait_for_what_they_read_and_nothing_else(tiny):
    page = "book/executed/tiny/{}.ipynb".format
    runs = [
        page("03_pretraining"),
        *(
            f"data/executed/tiny/{run}-seed0.ipynb"
            for run in ("RR-fold1", "CR-fold0", "CR-fold1")
        ),
    ]
    waits = {}
    for name, job in tiny.items():
        executed = [file for file in job["input"] if "/executed/" in file]
        waits[name] = set(executed)
    assert waits["01_cohort"] == waits["09_natural_images"] == set()
    assert waits["02_preprocessing"] == {page("01_cohort")}
    assert waits["RR_fold1_seed0"] == {page("01_cohort")}
    assert waits["04_linear_evaluation"] == set(runs)
    for chapter in ("05_similarity", "06_saliency", "08_robustness"):
        assert waits[chapter] == {page("04_linear_evaluation")}
    named = set(DEMO["notebooks"]) - {"12_claims"}
    assert waits["12_claims"] == {*map(page, named), *runs}


def test_jobs_that_share_the_machine_take_a_slot_each(tiny):
    charged = set()
    for name, job in tiny.items():
        if "slots=1" in job.get("resources", ()):
            charged.add(name)
    assert {"03_pretraining", "CR_fold1_seed0", "05_similarity"} <= charged
    assert {"02_preprocessing", "09_natural_images"} <= charged
    # each of these becomes ready alone, and would be refunded unpaid
    assert not {"01_cohort", "04_linear_evaluation", "12_claims"} & charged
    # what has data of its own starts first
    first = [name for name in tiny if tiny[name].get("priority") == ["1"]]
    assert {*first} == {"09_natural_images", "16_scale"}


def test_what_a_profile_asks_for_a_notebook_all_its_runs_get(tiny):
    gpus = {}
    for name, job in tiny.items():
        asked = [text for text in job.get("resources", ()) if "gpu=" in text]
        if asked:
            gpus[name] = asked
    assert gpus == {
        "03_pretraining": ["gpu=2"],
        "RR_fold1_seed0": ["gpu=2"],
        "CR_fold0_seed0": ["gpu=2"],
        # one run by its own name
        "CR_fold1_seed0": ["gpu=4"],
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("3_pretraining:gpu=1", "found '3_pretraining', expected the name of"),
        ("03_pretraining:gpus=1", "03_pretraining.gpus: unknown resource"),
        ("03_pretraining:gpu=one", "found 'one', expected a whole number"),
    ],
)
def test_a_profile_that_asks_for_nonsense_is_refused(tmp_path, asked, message):
    status, text = _plan(tmp_path, DEMO, flags=["--set-resources", asked])
    assert status != 0 and message in text


def test_a_page_continues_what_it_makes(tmp_path):
    page = {"after": [], "makes": ["a", "b"], "continues": "c"}
    file = _notebook(tmp_path, "01_one", page)
    with pytest.raises(pages.PageError, match=r"continues has \['c'\]"):
        pages.read_page(file)
    page["continues"] = "b"
    assert pages.read_page(_notebook(tmp_path, "01_one", page)).continues == (
        "b",
    )


def test_a_page_names_the_parameter_of_its_objective(tmp_path):
    page = {"after": [], "objective": ["a"]}
    file = _notebook(tmp_path, "01_one", page)
    with pytest.raises(pages.PageError, match=r"objective is \['a'\]"):
        pages.read_page(file)
    page["objective"] = "output"
    assert pages.read_page(_notebook(tmp_path, "01_one", page)).objective == (
        "output"
    )


def test_a_training_on_two_devices_is_started_twice():
    edition = DEMO | {"grid": SMALL_GRID}
    notebooks = {**DEMO["notebooks"]}
    notebooks["03_pretraining"] = {**notebooks["03_pretraining"], "devices": 2}
    for job in jobs.jobs_of(edition | {"notebooks": notebooks}):
        words = shlex.split(job.launcher)
        if job.notebook != "03_pretraining":
            assert words == []
            assert job.processes == job.parameters.get("jobs", 1)
            continue
        assert job.processes == 2
        assert words[1:4] == ["-m", "torch.distributed.run", "--standalone"]
        assert words[4:] == ["--nproc-per-node", "2", "--no-python"]
    alone = jobs.jobs_of(edition)
    assert {job.launcher for job in alone} == {""}


def test_the_code_of_a_notebook_is_found_once_for_all_its_runs(monkeypatch):
    asked = []
    found = jobs.execute.modules_of
    monkeypatch.setattr(
        jobs.execute,
        "modules_of",
        lambda file: asked.append(file) or found(file),
    )
    jobs.code_of.cache_clear()
    jobs._modules_of.cache_clear()
    for job in jobs.jobs_of(DEMO):
        assert "mmssl/ledger/paths.py" in job.code
    assert len(asked) == len(set(asked)) == len(DEMO["notebooks"])


def test_a_run_waits_for_the_code_of_its_own_terms():
    losses = {}
    for job in jobs.jobs_of(DEMO):
        code = [file for file in job.code if "mmssl/losses/" in file]
        losses[job.name] = {Path(file).stem for file in code}
    losses["CR_XX_CC_fold0_seed0"] = losses["03_pretraining"]
    runs = {
        "CR_XX_CC": {"precision"},
        "CR_CCA": {"cca", "precision"},
        "MMVAE": {"elbo", "precision"},
        # a variant's name is not its objective
        "small_CNN": {"precision"},
    }
    for name, expected in runs.items():
        # an exercise of the page computes a contrast, whatever was trained
        assert losses[f"{name}_fold0_seed0"] == expected | {"infonce"}
    # it trains with terms of its choice
    assert len(losses["09_natural_images"]) > 4


@pytest.mark.slow
def test_a_grid_of_a_thousand_runs_is_planned(tmp_path):
    grid = {
        "objective": DEMO["grid"]["objective"][:20],
        "fold": list(range(5)),
        "seed": list(range(10)),
    }
    begun = time.monotonic()
    edition = DEMO | {"edition": "big", "grid": grid}
    status, text = _plan(tmp_path, edition, flags=["--quiet", "rules"])
    assert status == 0, text
    # a page of the book, a run for each other point, and all, and the book
    total = len(DEMO["notebooks"]) + 999 + 2
    assert re.search(rf"^total +{total}$", text, re.MULTILINE)
    # 10 s of a processor; far more where each run looks for its code itself
    assert time.monotonic() - begun < 60


def test_folders_that_a_page_makes_are_its_output(tiny):
    assert "data/derived/demo" in tiny["01_cohort"]["output"]
    assert "data/runs/demo/CR-fold1-seed0" in tiny["CR_fold1_seed0"]["output"]
    assert "data/runs/demo-natural" in tiny["09_natural_images"]["output"]
    assert len(tiny["04_linear_evaluation"]["output"]) == 2  # page, sidecar


def test_a_new_notebook_takes_its_place_by_its_metadata(scratch, tmp_path):
    _notebook(
        scratch / "notebooks",
        "98_new",
        {"after": ["01_cohort", "05_similarity"], "makes": "output"},
    )
    notebooks = {**DEMO["notebooks"], "98_new": {"output": "data/new"}}
    edition = {"edition": "tiny", "grid": SMALL_GRID, "notebooks": notebooks}
    status, text = _plan(tmp_path, DEMO | edition, scratch)
    assert status == 0, text
    jobs = _jobs(text)
    page = "book/executed/tiny/{}.ipynb".format
    needed = {page("01_cohort"), page("05_similarity")}
    assert set(jobs["98_new"]["input"]) == {
        *needed,
        "notebooks/98_new.ipynb",
    }
    assert "data/new" in jobs["98_new"]["output"]
    assert page("98_new") in jobs["12_claims"]["input"]


def test_a_page_that_the_edition_leaves_out_is_not_waited_for(tmp_path):
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    assert "01_cohort" not in paper["notebooks"]
    study = _study_of_six(tmp_path)
    status, text = _plan(tmp_path, paper | {"grid": SMALL_GRID} | study)
    assert status == 0, text
    inputs = _jobs(text)["03_pretraining"]["input"]
    assert not [file for file in inputs if "/executed/" in file]


@pytest.mark.parametrize("file", EDITIONS, ids=lambda file: file.stem)
def test_no_two_jobs_make_the_same_people(file):
    """Pages 10 and 11 make those that nobody made, and run side by side."""
    edition = yaml.safe_load(file.read_text())
    planned = jobs.jobs_of(edition)
    made = {folder for job in planned for folder in job.folders}
    asked = []
    for job in planned:
        people = job.resolved.get("people")
        if people is not None and people not in made:
            asked.append(people)
    assert len(asked) == len(set(asked))


def _study_of_six(folder, **changes):
    """The paper edition's entry of a dataset, for six people of no images."""
    for number in range(6):
        name = f"sub-{number}/anat/sub-{number}_T1w.nii.gz"
        (folder / "dataset" / name).parent.mkdir(parents=True)
        (folder / "dataset" / name).touch()
    entry = {
        "dataset": "bids",
        "root": str(folder / "dataset"),
        "cohort": "data/derived/oasis3",
        "options": {"modalities": "T1", "size": 16},
    }
    return {"study": entry | changes}


def test_an_edition_may_start_from_a_dataset(tmp_path):
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    edition = paper | {"grid": SMALL_GRID} | _study_of_six(tmp_path)
    status, text = _plan(tmp_path, edition)
    assert status == 0, text
    assert re.search(r"^person +6$", text, re.MULTILINE)
    jobs = _jobs(text)
    prepared = "data/derived/oasis3-derivatives"
    people = {f"{prepared}/sub-{number}" for number in range(6)}
    assert set(jobs["cohort"]["input"]) == people
    assert jobs["cohort"]["output"] == ["data/derived/oasis3"]
    assert "data/derived/oasis3" in jobs["03_pretraining"]["input"]
    # pages of other data do not wait for it
    assert "data/derived/oasis3" not in jobs["09_natural_images"]["input"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": "data/nowhere"}, "data/nowhere: found no folder sub-"),
        ({"people": 3}, "study: ['people'] unknown or missing"),
        ({"cohort": "data/derived/a b"}, "'a b'"),
    ],
)
def test_a_bad_dataset_is_refused(tmp_path, changes, message):
    edition = DEMO | _study_of_six(tmp_path, **changes)
    status, text = _plan(tmp_path, edition)
    assert status != 0
    assert message in text


def test_a_person_of_the_workflow_is_prepared_and_set_aside(tmp_path):
    """Of images that are none: the job ends well and says why."""
    study = _study_of_six(tmp_path)["study"]
    words = [study["dataset"], study["root"], str(tmp_path / "cohort")]
    words += ["--modalities", "T1", "--size", "16", "--person", "sub-3"]
    command = [sys.executable, "-m", "mmssl.cohorts", *words]
    subprocess.run(command, cwd=ROOT, check=True)
    (made,) = (tmp_path / "cohort-derivatives").glob("sub-*")
    record = json.loads((made / "prepared.json").read_text())
    assert made.name == record["participant_id"] == "sub-3"
    assert "sub-3_T1w.nii.gz" in record["pairs"][0]["reason"]
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (None, "98_new.ipynb: metadata.page is None"),
        ({"makes": "output"}, 'expected {"after"'),
        ({"after": [], "before": []}, "has ['before']"),
        ({"after": "01_cohort"}, "metadata.page.after is '01_cohort'"),
        ({"after": [], "makes": {"a": 1}}, "metadata.page.makes is {'a': 1}"),
        ({"after": ["00_none"]}, "it reads '00_none', which is none of"),
    ],
)
def test_a_notebook_that_misstates_its_place_is_refused(
    tmp_path, page, message
):
    _notebook(tmp_path, "01_cohort", {"after": []})
    _notebook(tmp_path, "98_new", page)
    with pytest.raises(pages.PageError) as error:
        pages.read_pages(tmp_path)
    assert message in str(error.value)


def test_make_is_told_the_order_and_the_folders(tmp_path):
    _notebook(tmp_path, "01_one", {"after": [], "makes": "output"})
    _notebook(tmp_path, "02_two", {"after": ["01_one"]})
    _notebook(tmp_path, "03_all", {"after": ["*"]})
    _notebook(tmp_path, "04_all", {"after": ["*"]})
    one, two, three, four = (
        f"data/executed/smoke/{name}.ipynb"
        for name in ("01_one", "02_two", "03_all", "04_all")
    )
    assert pages.rules_for_make(tmp_path).splitlines() == [
        "MADE_01_one := data/results/smoke",
        f"{two}: {one}",
        f"{three}: {one} {two}",
        f"{four}: {one} {two}",
    ]


def test_all_folders_of_the_smoke_pages_are_made_anew():
    standing = pages.read_pages(ROOT / "notebooks")
    wanted = {f"MADE_{p.name}": len(p.makes) for p in standing.values()}
    made = dict.fromkeys(wanted, 0)
    for line in pages.rules_for_make(ROOT / "notebooks").splitlines():
        name, _, folders = line.partition(" :=")
        if name in made:
            made[name] = len(folders.split())
    assert made == wanted


@pytest.mark.parametrize(
    ("folder", "is_removed"),
    [
        ("data/results/smoke-own", True),
        ("data/runs/smoke/one", True),
        ("data/runs/mine", False),
        ("data/runs/smoked", False),
        ("data/runs", False),
    ],
)
def test_make_removes_no_folder_that_a_reader_named(
    tmp_path, folder, is_removed
):
    file = _notebook(tmp_path, "01_one", {"after": [], "makes": "output"})
    text = file.read_text()
    assert "data/results/smoke" in text
    file.write_text(text.replace("data/results/smoke", folder))
    made = f"MADE_01_one := {folder if is_removed else ''}"
    assert pages.rules_for_make(tmp_path).strip() == made.strip()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"03_pretraining": {"epoch": 3}}, "no parameter 'epoch'"),
        ({"03_pretraining": {"epochs": "many"}}, "epochs: found 'many'"),
        ({"01_cohort": {"subjects": 1.5}}, "subjects: found 1.5"),
    ],
)
def test_a_bad_edition_is_refused(tmp_path, change, message):
    (name,) = change
    changed = {**DEMO["notebooks"][name], **change[name]}
    notebooks = {**DEMO["notebooks"], name: changed}
    status, text = _plan(tmp_path, DEMO | {"notebooks": notebooks})
    assert status != 0 and message in text


def test_an_edition_with_a_notebook_that_does_not_exist_is_refused(tmp_path):
    notebooks = {**DEMO["notebooks"], "77_nothing": {}}
    status, text = _plan(tmp_path, DEMO | {"notebooks": notebooks})
    assert status != 0 and "there is no notebooks/77_nothing.ipynb" in text


def test_an_unknown_entry_is_refused(tmp_path):
    status, text = _plan(tmp_path, DEMO | {"notebook": {}})
    assert status != 0 and "unknown entries ['notebook']" in text


def test_a_variant_trains_with_its_own_parameters_under_its_own_name(tmp_path):
    edition = DEMO | {
        "edition": "tiny",
        "grid": {"objective": ["CR", "short"], "fold": [0], "seed": [0]},
        "variants": {"short": {"objective": "RR", "epochs": 2}},
    }
    status, text = _plan(tmp_path, edition)
    assert status == 0, text
    assert "short_fold0_seed0" in text
    edition["variants"]["short"]["epoch"] = 3
    status, text = _plan(tmp_path, edition)
    assert status != 0 and "no parameter 'epoch'" in text


PAGES = 8192  # of 4 kB: a block of 32 MB, which glibc would give back
BLOCKS = f"""
import ctypes, resource

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def page_faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = library.malloc({PAGES} * 4096)
        ctypes.memset(block, 1, {PAGES} * 4096)
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

page_faults(1)
print(page_faults(20))
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc"
)
def test_freed_memory_is_kept_in_the_environment_of_make_and_workflow():
    pattern = r"^(?:export | *\")(MALLOC_.*)$"
    settings = []
    for name in ("Makefile", "Snakefile"):
        lines = re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE)
        words = re.findall(r"(MALLOC_\w+) ?:?= ?(-?\d+)", " ".join(lines))
        settings.append(dict(words))
    assert settings[0] == settings[1] and len(settings[0]) == 2
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS],
        env={**os.environ, **settings[0]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < PAGES
