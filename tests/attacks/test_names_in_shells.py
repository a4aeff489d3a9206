"""A name is a name: no shell, no Makefile and no folder of another is reached
by it, wherever the checkout lies.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_checkout import (
    EDITION,
    make_checkout,
    snakemake,
    write_notebook,
)

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "book")]

import build  # noqa: E402
import pages  # noqa: E402

BAD = [
    "x$(touch made)",
    "x`touch made`",
    "x; touch made",
    "x & touch made",
    "x|touch made",
    "x\ntouch made",
    "x\n",
    "x y",
    "x'y",
    'x"y',
    "x\\y",
    "x*",
    "x>made",
    "{x}",
    "$(shell touch made)",
    "~",
    "-rf",
    ".hidden",
    "..",
    "../x",
    "a/b",
    "/etc",
    "",
    "x\u00e4",
    "x\u202ey",
    "x\x00y",
]
OTHER = [None, True, 3, ["x"], {"x": 1}]
PLACES = {
    "edition": lambda name: {"edition": name},
    "notebooks": lambda name: {"notebooks": {name: {}}},
    "grid": lambda name: {"grid": {name: [0]}},
    "grid.objective": lambda name: {"grid": {"objective": ["CR", name]}},
    "variants": lambda name: {"variants": {name: {}}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_an_edition_with_a_bad_name_is_refused(name, place):
    with pytest.raises(pages.PageError) as error:
        pages.check_edition(EDITION | PLACES[place](name))
    message = str(error.value)
    assert message.startswith(f"{place}: found {name!r}, expected a name of")


@pytest.mark.parametrize("entry", ["edition", "notebooks", "grid", "banner"])
@pytest.mark.parametrize("value", OTHER[1:4], ids=ascii)
def test_an_entry_of_another_type_is_refused(value, entry):
    with pytest.raises(pages.PageError, match=f"{entry}: found"):
        pages.check_edition(EDITION | {entry: value})


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")))
def test_the_editions_have_good_names(file):
    pages.check_edition(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_the_book_is_not_built_of_a_bad_edition(name, tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text(yaml.safe_dump(EDITION | {"edition": name}))
    (reason,) = build.build(file)
    assert reason.startswith(f"{file}: edition: found {name!r}, expected")


MADE = [name for name in BAD if name not in ("a/b", "/etc")]


@pytest.mark.parametrize("made", [*MADE, "/etc/x", "a/../..", "/", "a/ /b"])
def test_make_removes_no_folder_with_a_bad_name(made, tmp_path):
    write_notebook(tmp_path, "01_one", made)
    with pytest.raises(pages.PageError, match=r"01_one\.ipynb: output: "):
        pages.rules_for_make(tmp_path)


@pytest.mark.parametrize("name", ["01_$(shell id)", "01 one", "01_one;id"])
def test_make_is_told_of_no_notebook_with_a_bad_name(name, tmp_path):
    write_notebook(tmp_path, name, "data/x")
    with pytest.raises(pages.PageError, match="expected a name of letters"):
        pages.rules_for_make(tmp_path)


@pytest.fixture
def checkout(tmp_path):
    """Give a small checkout in a folder that a shell would trip over."""
    return make_checkout(tmp_path / "a b \u00e4'c {x} $(touch made) \"d")


@pytest.mark.slow
def test_every_command_is_quoted_wherever_the_checkout_lies(checkout):
    text = "a \"b\" 'c' $(touch made) ; touch made"
    edition = EDITION | {"notebooks": {"01_one": {"output": "data/y"}}}
    status, said = snakemake(checkout, edition, "--dry-run", "-p")
    assert status == 0, said
    commands = []
    for line in said.splitlines():
        if "notebooks/execute.py" in line or "book/build.py" in line:
            commands.append(shlex.split(line.partition(": ")[2] or line))
    python = str(checkout / "python")
    one, book = commands
    assert book == [python, "book/build.py", "config/tiny.yaml"]
    assert one[one.index(python) :] == [
        python,
        "notebooks/execute.py",
        "notebooks/01_one.ipynb",
        "book/executed/tiny/01_one.ipynb",
        *("-r", "edition", "tiny", "-r", "output", "data/y"),
    ]
    # a text that names no file may be anything
    write_notebook(checkout / "notebooks", "01_one", "x", {"after": []})
    edition["notebooks"] = {"01_one": {"output": text}}
    status, said = snakemake(checkout, edition, "--dry-run", "-p")
    assert status == 0, said
    assert shlex.quote(text) in said
    assert not list(checkout.parent.rglob("made"))


@pytest.mark.slow
def test_a_rule_runs_wherever_the_checkout_lies(checkout):
    page = "book/executed/tiny/01_one.ipynb"
    status, said = snakemake(checkout, EDITION, page)
    assert status == 0, said
    assert "tiny data/x" in (checkout / page).read_text()
    assert (checkout / "data/x").is_dir()
    assert not list(checkout.parent.rglob("made"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x$(touch made)", "x y", "../x"])
def test_nothing_starts_for_a_bad_edition(checkout, name):
    status, said = snakemake(checkout, EDITION | {"edition": name})
    assert status != 0
    assert f"config/tiny.yaml: edition: found {name!r}, expected" in said
    status, said = snakemake(
        checkout, EDITION | {"notebooks": {"01_one": {"output": name}}}
    )
    assert status != 0 and "config/tiny.yaml: 01_one: output: " in said
    assert not (checkout / "book/executed").exists()
    assert not list(checkout.parent.rglob("made"))


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_hands_names_to_programs_as_they_are(checkout):
    given = checkout / ".venv" / "bin"
    given.mkdir(parents=True)
    (given.parent / ".installed").touch()
    (checkout / "requirements.lock").touch()
    os.utime(given.parent / ".installed", (2**32, 2**32))
    tool = given / "snakemake"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$CORES" "$@"\n')
    tool.chmod(0o755)
    name = "x; touch made"
    names = [f"{entry}={name}" for entry in ("EDITION", "PROFILE", "CORES")]
    done = subprocess.run(
        ["make", "-s", "reproduce", *names],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    places = {f"config/{name}.yaml", f"config/profiles/{name}"}
    assert {name, *places} == set(words) - {"--profile", "--configfile"}
    assert not list(checkout.parent.rglob("made"))
