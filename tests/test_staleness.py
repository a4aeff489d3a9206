"""Altering one byte of an input, one parameter or one line of a loss marks
what depends on it stale, and nothing else: by `make verify`, `make status` and
`make plan`, in a checkout of its own.
"""

import os
import re
import subprocess
import sys
from contextlib import contextmanager

import nbformat
import pandas as pd
import pytest
import yaml
from small_checkout import EDITION, make_checkout, snakemake
from small_cohort import write_small_cohort

from mmssl import ledger

pytestmark = pytest.mark.slow

TRAINING = """\
edition: str = "smoke"  # which edition
cohort: str = "data/derived/small"  # folder of the cohort
objective: str = "CR"  # one of the language
run_dir: str = "data/runs/smoke/CR"  # folder of the run
fold: int = 0  # training fold
seed: int = 0  # of everything
epochs: int = 1  # passes over the training pairs
"""
TRAIN = """\
from mmssl import cohorts, pretrain
from mmssl.ledger import paths
pretrain.fit(
    cohorts.load(paths.project(cohort)),
    objective,
    paths.project(run_dir),
    epochs=epochs,
    batch_size=4,
    seed=seed,
    fold=fold,
    width=2,
    latent=4,
    progress=False,
)
"""
ALL = """\
edition: str = "smoke"  # which edition
runs: str = "data/runs/small"  # folder of the runs
"""
COUNT = """\
from mmssl.ledger import paths
len(list(paths.project(runs).iterdir()))
"""
GRID = {"objective": ["CR", "CCA"], "fold": [0], "seed": [0]}
EDITION = EDITION | {
    "notebooks": {
        "02_training": {"cohort": "data/derived/small"},
        "03_all": {},
    },
    "grid": GRID,
}
# the first point of a grid is the page of the book
PAGES = {
    "CR": "book/executed/tiny/02_training.ipynb",
    "CCA": "data/executed/tiny/CCA-fold0-seed0.ipynb",
    "all": "book/executed/tiny/03_all.ipynb",
}
RULES = {"CR": "02_training", "CCA": "CCA_fold0_seed0", "all": "03_all"}
RUN = "data/runs/small/{}-fold0-seed0".format
TABLE = "data/results/{}_auc.tsv".format


def write_page(root, name, parameters, code, page):
    """Write a notebook of two cells."""
    tagged = {"tags": ["parameters"]}
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata=tagged),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {
        "name": "python3",
        "display_name": "Python",
        "language": "python",
    }
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "page": page}
    )
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Give a checkout with a cohort, two runs, a table of each, a page of
    both, and a table of something else.
    """
    root = make_checkout(tmp_path_factory.mktemp("stale") / "checkout")
    (root / "notebooks" / "01_one.ipynb").unlink()
    trains = {"makes": "run_dir", "grid": True, "objective": "objective"}
    trains |= {"after": []}
    write_page(root, "02_training", TRAINING, TRAIN, trains)
    write_page(root, "03_all", ALL, COUNT, {"after": ["02_training"]})
    cohort = write_small_cohort(root / "data" / "derived" / "small")
    status, text = snakemake(root, EDITION, *PAGES.values())
    assert status == 0, text
    for objective in ("CR", "CCA"):
        inputs = {
            "cohort": cohort.path / "cohort.json",
            "run": root / RUN(objective) / "embeddings.npz",
        }
        save_table(root, objective, inputs)
    (root / "data" / "numbers").write_text("1 2 3")
    save_table(root, "other", {"numbers": root / "data" / "numbers"})
    return root


def save_table(root, name, inputs):
    """Save a table as a page of results does."""
    made = ledger.Provenance(inputs, {}, 0, ("mmssl.evaluate.results",))
    table = {"auc": pd.DataFrame({"auc": [0.5]})}
    made.save(root / "data" / "results", f"{name}_", table)


@contextmanager
def altered(file, change):
    """Change a file for a while; then it is as it was, also by its times."""
    content, times = file.read_bytes(), os.stat(file)
    file.write_bytes(change(content))
    try:
        yield
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def other_last_byte(content):
    """The same bytes but for the last."""
    return content[:-1] + bytes([content[-1] ^ 1])


def another_line(content):
    """Source that does something else."""
    return content + b"\nNOTHING = 0\n"


def python(root, *words):
    """Run a module or script of the checkout; return status and text."""
    path = [str(root), *(p for p in sys.path if "site-" in p)]
    done = subprocess.run(
        [root / "python", *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def verified(root):
    """What `make verify` finds: its exit status, what it says was altered,
    and what is stale.
    """
    status, text = python(root, "-m", "mmssl.ledger", "data", "book")
    stale = set(re.findall(r"^(\S+) is stale: ", text, re.MULTILINE))
    changed = set(re.findall(r"^(\S+): (\S+) was changed", text, re.MULTILINE))
    return status, {f"{folder}/{name}" for folder, name in changed}, stale


def states(root, edition=EDITION):
    """The runs that `make status` does not call done."""
    file = root / "config" / "tiny.yaml"
    file.write_text(yaml.safe_dump(edition))
    status, text = python(root, "notebooks/status.py", str(file))
    assert status == 0, text
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in RULES.values():
            found[words[0]] = words[1]
    assert set(found) == set(RULES.values()), text
    return {name for name, state in found.items() if state == "stale"}


def planned(root, edition=EDITION):
    """The runs that `make plan` would make again."""
    flags = ["--dry-run", *PAGES.values()]
    status, text = snakemake(root, edition, *flags)
    assert status == 0, text
    rules = re.findall(r"^(?:local)?rule (\S+):", text, re.MULTILINE)
    return set(rules)


def of(*names):
    """Rules of the workflow by the names of this test."""
    return {RULES[name] for name in names}


def everything_of(objective):
    """What was made from a run, and it."""
    return {RUN(objective), TABLE(objective), PAGES[objective], PAGES["all"]}


def test_nothing_is_stale(chain):
    assert verified(chain) == (0, set(), set())
    assert states(chain) == planned(chain) == set()


def test_a_byte_of_the_cohort(chain):
    file = chain / "data" / "derived" / "small" / "T1.npy"
    with altered(file, other_last_byte):
        status, changed, stale = verified(chain)
        assert (status, changed) == (1, {"data/derived/small/T1.npy"})
        assert stale == everything_of("CR") | everything_of("CCA")
        assert states(chain) == of("CR", "CCA", "all")
    test_nothing_is_stale(chain)


@pytest.mark.parametrize("objective", GRID["objective"])
def test_a_byte_of_a_run(chain, objective):
    name = f"{RUN(objective)}/embeddings.npz"
    with altered(chain / name, other_last_byte):
        status, changed, stale = verified(chain)
        assert (status, changed) == (1, {name})
        assert stale == {TABLE(objective), PAGES["all"]}
        assert states(chain) == of(objective, "all")


@pytest.mark.parametrize(
    ("loss", "objective"), [("cca", "CCA"), ("infonce", "CR")]
)
def test_a_line_of_a_loss(chain, loss, objective):
    with altered(chain / "mmssl" / "losses" / f"{loss}.py", another_line):
        assert verified(chain) == (0, set(), everything_of(objective))
        assert states(chain) == of(objective, "all")
        assert planned(chain) == of(objective, "all")


def test_a_line_of_a_loss_that_nobody_has(chain):
    file = chain / "mmssl" / "losses" / "swapped.py"
    with altered(file, another_line):
        test_nothing_is_stale(chain)


def test_a_line_of_the_loop(chain):
    with altered(chain / "mmssl" / "pretrain" / "loop.py", another_line):
        expected = everything_of("CR") | everything_of("CCA")
        assert verified(chain) == (0, set(), expected)
        assert states(chain) == planned(chain) == of("CR", "CCA", "all")


def test_a_parameter(chain):
    longer = {"CCA": {"objective": "CCA", "epochs": 2}}
    edition = EDITION | {"variants": longer}
    assert states(chain, edition) == of("CCA", "all")
    assert planned(chain, edition) == of("CCA", "all")
    assert verified(chain) == (0, set(), set())
    test_nothing_is_stale(chain)
