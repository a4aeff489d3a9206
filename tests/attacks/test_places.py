"""Places of a machine leave an executed notebook, and nothing else does."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmssl.ledger import places

RUNNER = Path(__file__).parents[2] / "notebooks" / "execute.py"
HOME = "/".join(["", "home", "ann"])
ROOT = f"{HOME}/project"
PREFIX = f"{ROOT}/.venv"
IMAGE = base64.b64encode(base64.b64decode("iVBO" + HOME.ljust(12, "/")))


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Make this the machine of somebody."""
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setattr(sys, "prefix", PREFIX)


def _notebook(**output):
    cell = nbformat.v4.new_code_cell("1", outputs=[output])
    return nbformat.v4.new_notebook(cells=[cell])


def _shown(kind, content, root=ROOT):
    """Return one representation of an output after the cleaning."""
    output = nbformat.v4.new_output("display_data", {kind: content})
    notebook = _notebook(**output)
    places.clean_notebook(notebook, root, {})
    nbformat.validate(nbformat.from_dict(notebook))
    return notebook["cells"][0]["outputs"][0]["data"][kind]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HOME}/x", "~/x"),
        (HOME, "~"),
        (f"at {HOME}, {HOME}.", "at ~, ~."),
        (f"{ROOT}/a.py and {ROOT}", "a.py and ."),
        (f"{PREFIX}/bin/python", ".venv/bin/python"),
        (f"'{ROOT}/a b.py'", "'a b.py'"),
        (f"\x1b[32m{ROOT}/a.py\x1b[0m:3", "\x1b[32ma.py\x1b[0m:3"),
        (f"\x1b[0;38;5;9m{HOME}", "\x1b[0;38;5;9m~"),
        (f"'one\\n{HOME}/x'", "'one\\n~/x'"),
        (f"file://{HOME}/x", "file://~/x"),
        (f"cc -I{HOME}/x", "cc -I~/x"),
        (f"PATH={HOME}/a:{PREFIX}/b", "PATH=~/a:.venv/b"),
    ],
)
def test_each_place_is_taken_out(text, expected):
    assert _shown("text/plain", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{HOME}a/x",
        f"{HOME}-2/x",
        f"{HOME}.old/x",
        f"{HOME}\u0308/x",
        f"{HOME}\u00e4/x",
        f"/data{HOME}/x",
        f"..{HOME}",
        f"https://server{HOME}/x",
        "\\".join(["C:", "Users", "ann"]),
        "home/ann, ann, ~, /, //, 1/2",
    ],
)
def test_what_only_looks_like_a_place_stays(text):
    assert _shown("text/plain", text) == text


@pytest.mark.parametrize("home", ["/", "//", "", ".", "relative", "C:\\ann"])
@pytest.mark.parametrize("kind", ["text/plain", "text/html", "image/svg+xml"])
def test_a_home_without_a_name_hides_nothing(home, kind, monkeypatch):
    monkeypatch.setenv("HOME", home)
    text = "<svg/> 1/2 image/png 0.5 // a.b C:\\ann relative/x"
    assert _shown(kind, text, root="/") == text


def test_an_unset_home_is_looked_up(monkeypatch):
    monkeypatch.delenv("HOME")
    known = os.path.expanduser("~")
    assert _shown("text/plain", f"{known}/x /") in ("~/x /", f"{known}/x /")


@pytest.mark.parametrize("home", [ROOT, str(Path(ROOT).parent), PREFIX])
def test_the_repository_goes_first_wherever_home_is(home, monkeypatch):
    monkeypatch.setenv("HOME", home)
    assert _shown("text/plain", f"{ROOT}/a.py") == "a.py"
    assert _shown("text/plain", f"{PREFIX}/a.py") == ".venv/a.py"


@pytest.mark.parametrize(
    "name",
    ["a+b", "a.b", "(a|b)*", "[a-z]", "$^", "\\d", "J\u00fcrgen", "\\1"],
)
def test_a_home_of_any_characters_is_taken_literally(name, monkeypatch):
    home = "/".join(["", "home", name])
    monkeypatch.setenv("HOME", home)
    assert _shown("text/plain", f"{home}/x") == "~/x"
    assert _shown("text/plain", repr(f"{home}/x")) == "'~/x'"
    assert _shown("text/html", json.dumps([f"{home}/x"])) == '["~/x"]'
    other = home.replace(name, "aab")
    assert _shown("text/plain", f"{other}/x") == f"{other}/x"


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("text/html", f'<a href="{HOME}/x">{HOME}</a>', '<a href="~/x">~</a>'),
        ("text/markdown", f"`{ROOT}/a.py`", "`a.py`"),
        ("image/svg+xml", f"<svg><!--{HOME}/x--></svg>", None),
        (
            "application/json",
            {"a": [f"{HOME}/x", 1, None]},
            {"a": ["~/x", 1, None]},
        ),
        ("application/json", {HOME: {HOME: True}}, {"~": {"~": True}}),
        ("application/json", {HOME: 1, "~": 2}, {HOME: 1, "~": 2}),
        ("application/vnd.v1+json", {"a": HOME}, {"a": "~"}),
        ("application/javascript", f"load('{ROOT}/a.js')", "load('a.js')"),
    ],
)
def test_every_kind_of_text_is_cleaned(kind, content, expected):
    shown = _shown(kind, content)
    if expected is None:
        expected = content.replace(HOME, "~")
    assert shown == expected


@pytest.mark.parametrize(
    "kind", ["image/png", "image/jpeg", "application/pdf", "video/mp4"]
)
def test_an_image_that_spells_a_place_stays(kind):
    assert HOME in IMAGE.decode()
    assert _shown(kind, IMAGE.decode()) == IMAGE.decode()
    assert _shown(kind, HOME + "/AAA=") == HOME + "/AAA="
    embedded = f'<img src="data:{kind};base64,{HOME}/+{HOME}/x"> {HOME}'
    assert _shown("text/html", embedded) == embedded[: -len(HOME)] + "~"


def test_streams_tracebacks_sources_and_metadata_are_cleaned():
    stream = nbformat.v4.new_output("stream", text=f"{HOME}/x")
    error = nbformat.v4.new_output(
        "error",
        ename="OSError",
        evalue=f"{HOME}/x",
        traceback=[f"\x1b[32m{HOME}/x"],
    )
    cell = nbformat.v4.new_code_cell(
        f"path = '{HOME}/x'", metadata={"a": [HOME]}, outputs=[stream, error]
    )
    text = nbformat.v4.new_markdown_cell(
        HOME, attachments={"a.png": {"image/png": HOME}}
    )
    metadata = {"papermill": {"output_path": f"{ROOT}/.tmp-1-n.ipynb"}}
    notebook = nbformat.v4.new_notebook(cells=[cell, text], metadata=metadata)
    places.clean_notebook(notebook, ROOT, {".tmp-1-n.ipynb": "n.ipynb"})
    nbformat.validate(nbformat.from_dict(notebook))
    assert notebook["metadata"]["papermill"] == {"output_path": "n.ipynb"}
    cell, text = notebook["cells"]
    assert cell["source"] == "path = '~/x'" and cell["metadata"]["a"] == ["~"]
    stream, error = cell["outputs"]
    assert stream["text"] == error["evalue"] == "~/x"
    assert error["traceback"] == ["\x1b[32m~/x"]
    assert text["source"] == "~"
    assert text["attachments"] == {"a.png": {"image/png": HOME}}


CELL = """\
from IPython.display import HTML, Image, display
import base64, os, sys, warnings
warnings.warn("careful")
print(1 / 2, os.getcwd(), sys.prefix, os.environ.get("HOME"))
display(HTML("<b>1/2</b>"), Image(data=base64.b64decode(IMAGE)))
{"a": 0.5}
"""


def _executed(folder, home):
    """Run a small notebook of a checkout as somebody; return the result."""
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    parameters = nbformat.v4.new_code_cell(
        'edition: str = "smoke"  # which edition',
        metadata={"tags": ["parameters"]},
    )
    code = nbformat.v4.new_code_cell(f"IMAGE = {IMAGE!r}\n{CELL}")
    kernel = {
        "name": "python3",
        "display_name": "Python",
        "language": "python",
    }
    notebook = nbformat.v4.new_notebook(
        cells=[parameters, code], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, folder / "n.ipynb")
    environment = {**os.environ, "PYTHONPATH": str(RUNNER.parents[1])}
    environment["IPYTHONDIR"] = environment["JUPYTER_RUNTIME_DIR"] = str(
        folder
    )
    environment.pop("HOME")
    if home is not None:
        environment["HOME"] = home
    command = [sys.executable, RUNNER, folder / "n.ipynb", folder / "o.ipynb"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "o.ipynb").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "home", ["/", None, "", "{root}", "{root}/..", "{root}/a+(b)[c]"]
)
def test_an_executed_notebook_is_whole_for_anybody(home, tmp_path):
    root = tmp_path / "check \u00e4'out"
    home = home and home.format(root=root)
    content = _executed(root, home)
    nbformat.validate(nbformat.from_dict(content))
    _, code = content["cells"][-2:]
    text = json.dumps(content)
    assert str(root) not in text and ".tmp-" not in text
    shown = {}
    for output in code["outputs"]:
        shown |= output.get("data", {})
    assert "".join(shown["image/png"]).strip() == IMAGE.decode()
    assert "".join(shown["text/html"]) == "<b>1/2</b>"
    assert "".join(shown["text/plain"]) == "{'a': 0.5}"
    printed = "".join(code["outputs"][1].get("text", ""))
    assert "careful" in "".join(code["outputs"][0].get("text", "")) + printed
