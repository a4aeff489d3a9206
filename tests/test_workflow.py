"""The workflow plans every run of an edition and refuses a bad edition before
anything starts.
"""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


def _plan(tmp_path, edition):
    """Dry-run an edition from a working directory of its own; return status
    and text.
    """
    file = tmp_path / "edition.yaml"
    file.write_text(yaml.safe_dump(edition, sort_keys=False))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--cores",
        "2",
        "--nolock",
    ]
    command += ["--snakefile", ROOT / "Snakefile", "--configfile", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_every_point_of_the_grid_is_a_run(tmp_path):
    edition = DEMO | {
        "edition": "tiny",
        "grid": {"objective": ["RR", "CR"], "fold": [0, 1], "seed": [0]},
    }
    status, text = _plan(tmp_path, edition)
    assert status == 0, text
    for job in (
        "rule 01_cohort",
        "03_pretraining",
        "CR_fold0_seed0",
        "RR_fold1_seed0",
        "rule book",
    ):
        assert job in text
    # the first point is the page of the book
    assert "RR_fold0_seed0" not in text


@pytest.mark.parametrize(
    "file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda f: f.stem
)
def test_every_edition_has_every_method_of_the_taxonomy(tmp_path, file):
    edition = yaml.safe_load(file.read_text())
    status, text = _plan(tmp_path, edition)
    assert status == 0, text
    terms = ("CR", "XX", "CC", "RR")
    subsets = {
        "-".join(s)
        for n in range(1, 5)
        for s in itertools.combinations(terms, n)
    }
    others = {"AE", "RR-AE", "DCCAE", "CR-CCA", "MMVAE", "Supervised"}
    assert (
        set(edition["grid"]["objective"]) - set(edition["variants"])
        | {v for v in edition["variants"] if v in others}
        == subsets | others
    )


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
    notebooks = DEMO["notebooks"] | {
        name: DEMO["notebooks"][name] | change[name]
    }
    status, text = _plan(tmp_path, DEMO | {"notebooks": notebooks})
    assert status != 0 and message in text


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
