"""What the package adds to the start of a process: seconds of `import torch`,
and of every room after it; and the first cells of two notebooks.

Each in a process of its own, all in turns; the files are in the system's
memory.
"""

import json
import re
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

from timing import clocked, in_turns

NAME = "Imports"
ROOT = Path(__file__).parents[2]
_IMPORT = r"^(?:import|from) .+(?:\n    .+|\n\))*"
FIRST_CELLS = ("04_linear_evaluation", "06_saliency")


def measure(rounds: int) -> dict:
    """Medians, and what is beyond torch."""
    codes = {
        "nothing": "pass",
        "torch": "import torch",
        "mmssl": "import torch, mmssl",
        "its hot paths": f"import torch\n{hot_paths()}",
    }
    for page in FIRST_CELLS:
        codes[page] = imports_of(page)
    calls = {}
    for name, code in codes.items():
        calls[name] = clocked(partial(_run, code))
    times = in_turns(calls, min(rounds, 5))
    seconds = {name: statistics.median(times[name]) for name in codes}
    report = {}
    for name in ("torch", "mmssl", "its hot paths"):
        report[f"{name}, s"] = seconds[name] - seconds["nothing"]
    report["mmssl beyond torch, s"] = seconds["mmssl"] - seconds["torch"]
    report["its hot paths beyond torch, s"] = (
        seconds["its hot paths"] - seconds["torch"]
    )
    for page in FIRST_CELLS:
        report[f"imports of {page}, s"] = seconds[page]
    slowest = max(seconds[page] for page in FIRST_CELLS)
    report["first cell of a notebook, s"] = slowest
    return report


def hot_paths() -> str:
    """What a training on a bare node needs."""
    modules = ("losses.infonce", "objectives.language", "saliency.smoothgrad")
    return "\n".join(f"import mmssl.{name}" for name in modules)


def imports_of(page: str) -> str:
    """The imports of a notebook's cells, which its first ones hold."""
    text = (ROOT / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and "import" in source:
            found = re.findall(_IMPORT, source, re.M)
            return "\n".join(found)
    return ""


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
