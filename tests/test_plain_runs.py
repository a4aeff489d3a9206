"""A notebook needs nothing of ours to run: papermill and ``jupyter execute``
do as well, in a checkout of their own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SMOKE = ROOT / "data" / "executed" / "smoke"
CHEAPEST = "14_sanity_checks"
"""A notebook that neither trains nor maps anything."""

TOOLS = ("papermill", "jupyter execute")


def _cases():
    cases = []
    for path in NOTEBOOKS:
        for tool in TOOLS:
            marks = () if path.stem == CHEAPEST else pytest.mark.slow
            case = pytest.param(
                path, tool, marks=marks, id=f"{path.stem}, {tool}"
            )
            cases.append(case)
    return cases


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Give a copy of the checkout with what the notebooks read, as they
    write there.
    """
    for path in NOTEBOOKS:
        if not (SMOKE / path.name).is_file():
            pytest.skip("the small chain has not been run: make smoke")
    root = tmp_path_factory.mktemp("plain") / "checkout"
    (root / "figures").mkdir(parents=True)
    for name in ("pyproject.toml", "data", "notebooks"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / name)
    for name in ("mmssl", "book", "config"):
        (root / name).symlink_to(ROOT / name)
    # python3 is this interpreter, whatever kernels a user has
    write_kernel_spec(root / "jupyter" / "kernels" / "python3")
    return root


@pytest.mark.parametrize(("path", "tool"), _cases())
def test_it_runs(path, tool, checkout):
    source = checkout / "notebooks" / path.name
    output = checkout / f"{path.stem}.{tool.split()[0]}.ipynb"
    tools = Path(sys.executable).parent
    if tool == "papermill":
        command = [tools / "papermill", source, output, "--no-progress-bar"]
        command += ["--cwd", checkout]
    else:
        command = [tools / "jupyter-execute", source, f"--output={output}"]
    done = subprocess.run(
        command,
        cwd=checkout,
        env={
            **os.environ,
            "JUPYTER_PATH": str(checkout / "jupyter"),
            "IPYTHONDIR": str(checkout / "ipython"),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for cell in nbformat.read(output, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.execution_count
            for shown in cell.outputs:
                assert shown.output_type != "error"
                # menus are for those who can use them
                text = str(shown.get("data", {}).get("text/plain", ""))
                assert not text.startswith(("VBox(", "Dropdown("))
