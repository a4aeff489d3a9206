"""A checkout with one small notebook, whose workflow runs for real."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).parents[1]
EDITION = {
    "edition": "tiny",
    "banner": "Tiny edition.",
    "notebooks": {"01_one": {}},
}


MAKES = """
from pathlib import Path
Path(output).mkdir(parents=True)
print(edition, output)
"""


def write_notebook(folder, name, made, page=None, code=MAKES):
    """Write a notebook that makes a folder by a parameter of it."""
    source = 'edition: str = "smoke"  # which edition\n'
    source += f"output: str = {made!r}  # folder"
    tagged = {"tags": ["parameters"]}
    cells = [
        nbformat.v4.new_code_cell(source, metadata=tagged),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {
        "name": "python3",
        "display_name": "Python",
        "language": "python",
    }
    metadata = {
        "page": page or {"after": [], "makes": "output"},
        "kernelspec": kernel,
    }
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def make_checkout(root):
    """Write a checkout with one notebook to a folder; return the folder."""
    (root / "notebooks").mkdir(parents=True)
    for folder in ("mmssl", "book/claims"):
        shutil.copytree(ROOT / folder, root / folder)
    for file in ("Snakefile", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, root)
    for file in sorted((ROOT / "notebooks").glob("*.py")):
        shutil.copy(file, root / "notebooks")
    # an environment of its own, whose Python has the folder in its name
    shell = root / "python"
    shell.symlink_to(sys.executable)
    write_notebook(root / "notebooks", "01_one", "data/x")
    return root


def start_snakemake(root, edition, *flags):
    """Start an edition of a checkout in a session of its own; return the
    process.
    """
    file = root / "config" / "tiny.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(edition))
    command = [root / "python", "-m", "snakemake", *flags]
    command += ["--nolock", "--cores", "1", "--configfile", "config/tiny.yaml"]
    python = [str(root), *(path for path in sys.path if "site-" in path)]
    return subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(python)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def snakemake(root, edition, *flags):
    """Let a checkout run an edition; return status and text."""
    process = start_snakemake(root, edition, *flags)
    said, _ = process.communicate()
    return process.returncode, said
