"""What a plain ``jupyter-book build`` lacks: an extension of Sphinx that makes
the pages first.

NeuroLibre builds a book by ``jupyter-book build content`` (a link to this
folder), and knows of no workflow. So the demo edition is run before anything
is read, with all checks of ``book/build.py``, whose own settings leave this
extension out. It needs no network, two cores and 6 GB of memory.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
EDITION = Path("config") / "demo.yaml"
CORES = 2  # NeuroLibre's

MADE = ("html", "jupyter_execute", ".doctrees")
"""What a build leaves that a page does not include."""


def make_pages(root: Path = ROOT) -> None:
    """Run the demo edition, and put its pages into ``book/executed``.

    Where ``data/`` cannot be written, as NeuroLibre mounts its own there, a
    copy of the checkout is run.

    Raises
    ------
    subprocess.CalledProcessError
        When a page fails or is refused, after what was said of it.
    """
    if os.access(root / "data", os.W_OK):
        _run(root)
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "mmssl"
        left_out = shutil.ignore_patterns("data", ".*", "_build", "executed")
        shutil.copytree(root, copy, symlinks=True, ignore=left_out)
        (copy / "data").mkdir()
        _run(copy)
        for name in ("executed", "_build"):
            shutil.copytree(
                copy / "book" / name,
                root / "book" / name,
                ignore=shutil.ignore_patterns(*MADE),
                dirs_exist_ok=True,
            )


def setup(app) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("config-inited", _make)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _make(app, config) -> None:
    make_pages()
    text = (ROOT / EDITION).read_text(encoding="utf-8")
    banner = yaml.safe_load(text)["banner"]
    config.html_theme_options["announcement"] = f"<span>{banner}</span>"


def _run(root: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--profile"]
    command += ["config/profiles/local", "--configfile", str(EDITION)]
    # the copy's own modules, not those of the checkout that is installed
    environment = {
        **os.environ,
        "CORES": str(CORES),
        "PYTHONPATH": str(root),
    }
    subprocess.run(command, cwd=root, env=environment, check=True)
