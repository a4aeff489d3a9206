"""Attacks by letters outside ASCII, where the system's own encoding is
another than UTF-8.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *ROOT.glob("mmssl/**/*.py"),
    *ROOT.glob("book/**/*.py"),
    *ROOT.glob("notebooks/*"),
]
FILES = sorted(file for file in FILES if file.suffix in (".py", ".ipynb"))
# of archives, the system, images, installed packages, and ours: UTF-8
# whatever is asked, or no text
OTHERS = ("archive", "os", "Image", "package", "limits")
PLAIN = "import pathlib\npathlib.Path('a')."


def code_of(file):
    """Return the Python of a script or a notebook."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return text
    lines = []
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            lines += "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if line[:1] not in ("%", "!"))


def without_encoding(source):
    """Return the lines that read or write text in the system's encoding."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        *owner, name = ast.unparse(node.func).split(".")
        if name not in ("read_text", "write_text", "open") or (
            owner and owner[-1] in OTHERS
        ):
            continue
        given = [ast.unparse(one) for one in node.args]
        given += [ast.unparse(one.value) for one in node.keywords]
        binary = any(
            one.strip("'") in ("rb", "wb", "ab", "r+b") for one in given
        )
        named = any(one.arg == "encoding" for one in node.keywords)
        if not binary and not named:
            lines.append(node.lineno)
    return lines


def test_every_text_names_its_encoding():
    assert len(FILES) > 100
    for file in FILES:
        assert without_encoding(code_of(file)) == [], file


@pytest.mark.parametrize(
    "call", ["read_text()", "write_text('b')", "open()", "open('w')"]
)
def test_a_text_without_encoding_is_found(call):
    assert without_encoding(PLAIN + call) == [2]
    with_it = call.replace(")", ", encoding='utf-8')").replace("(, ", "(")
    assert without_encoding(PLAIN + with_it) == []
    assert without_encoding(PLAIN + "open('wb')") == []


COHORT = r"""
import sys
from pathlib import Path
import numpy as np
import pandas as pd
from mmssl.cohorts import splits
from mmssl.cohorts.cohort import load, write
from mmssl.groupmaps.clusters import read_atlas
from mmssl.ledger import leakage, paths
from mmssl.pretrain import run_folder

folder = Path(sys.argv[1])
names = [f"M\u00fcller-{i}" for i in range(20)]
people = pd.DataFrame({
    "participant_id": names,
    "group": ["gesund", "\u00fcberlebend"] * 10,
    "site": "K\u00f6ln",
})
pairs = pd.DataFrame({
    "pair": range(20),
    "participant_id": names,
    "session": 1,
    "day": 0,
    "downstream": 1,
})
classes = ["gesund", "\u00fcberlebend"]
rng = np.random.default_rng(0)
write(
    folder / "one",
    volumes={"T1": rng.normal(size=(20, 8, 8, 8))},
    name="K\u00f6ln",
    kind="test",
    participants=people,
    pairs=pairs,
    splits=splits.make(people, classes=classes),
    affine=np.eye(4),
    tasks={"\u00dcberleben": {"column": "group", "classes": classes}},
    parameters={"Stra\u00dfe": "\u96ea"},
)
cohort = load(folder / "one")
assert cohort.subjects.tolist() == names
assert cohort.labels("\u00dcberleben").tolist() == [0, 1] * 10
assert cohort.parameters["Stra\u00dfe"] == "\u96ea"
seen = [leakage.exposure("M\u00fcller", "test", cohort, [0, 1])]
file = leakage.write_exposures(folder / "exposures.json", seen)
assert leakage.read_exposures(file) == seen
run_folder.begin(folder, {"name": "\u00fc"}, {})
run_folder.check_parameters(folder, {"name": "\u00fc"})
project = '# \u00fc\n[project]\nname = "mmssl"\n'
(folder / "pyproject.toml").write_bytes(project.encode())
assert paths.root(folder) == folder
print("as written")
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"LANG": "C"},
        {"LC_ALL": "C"},
        # Python does not put UTF-8 in the place of ASCII
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["language", "locale", "ASCII"],
)
def test_an_umlaut_where_the_system_knows_none(tmp_path, environment):
    kept = {}
    for name, value in os.environ.items():
        if not name.startswith(("LC_", "LANG", "PYTHONUTF8")):
            kept[name] = value
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", COHORT]
        + [str(tmp_path)],
        env=kept | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "as written\n"
    warned = [
        line
        for line in done.stderr.splitlines()
        if "EncodingWarning" in line and str(ROOT / "mmssl") in line
    ]
    assert warned == []
    table = (tmp_path / "one" / "participants.tsv").read_bytes()
    assert "Müller-0\tgesund\tKöln\n".encode() in table
