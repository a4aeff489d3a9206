"""Write what the page of speed shows, from the figures that `make bench` left.

    python book/speed_page.py

`write` leaves a drawing of the ratios and a table a hot path in a folder of
the build, and the page includes them: no number of it is typed by hand.
"""

import json
from pathlib import Path

from mmssl import ledger
from mmssl.ledger import atomic
from mmssl.plotting import speed

BOOK = Path(__file__).resolve().parent
REPORT = BOOK / "speed.json"
BUILD = BOOK / "_build" / "speed"


def write(folder: Path = BUILD, report: Path = REPORT) -> list[Path]:
    """Write ``about.md``, ``figures.md`` and ``ratios.png``; return the files.

    Raises
    ------
    FileNotFoundError
        Where the report or its sidecar is missing.
    """
    figures = json.loads(report.read_text(encoding="utf-8"))
    record = ledger.read_sidecar(report)
    folder.mkdir(parents=True, exist_ok=True)
    is_stale = bool(ledger.stale(report))
    texts = {
        "about.md": about(figures["machine"], record, is_stale),
        "figures.md": "\n".join(table(path) for path in figures["paths"]),
    }
    files = []
    for name, text in texts.items():
        files.append(folder / name)
        with atomic.file(files[-1]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    files.append(folder / "ratios.png")
    with atomic.file(files[-1]) as temporary:
        speed(figures["paths"]).savefig(temporary, dpi=110, format="png")
    return files


def about(machine: dict, record: dict, is_stale: bool) -> str:
    """Say on what it was measured, and whether that still is the code.

    Parameters
    ----------
    machine : dict
        Processor, its instructions and the threads.
    record : dict
        The report's sidecar.
    is_stale : bool
        Whether code that was measured has changed since.
    """
    extensions = [
        name for name in ("AMX", "AVX-512 bfloat16") if machine[name]
    ]
    instructions = " and ".join(extensions)
    if not extensions:
        instructions = "without AMX or AVX-512 bfloat16"
    versions = record["versions"]
    text = (
        f"Measured on {machine['threads']} threads of one processor "
        f"({machine['processor']}, {instructions}), "
        f"median of up to {record['parameters']['rounds']} rounds; "
        f"mmssl {versions['mmssl']}, torch {versions['torch']}.\n"
    )
    if is_stale:
        text += (
            "\n:::{note}\nCode that was measured has changed since; "
            "`make bench` measures it anew.\n:::\n"
        )
    return text


def table(path: dict) -> str:
    """What was measured, and every figure of it."""
    rows = "".join(
        f"| {name} | {_number(value)} |\n"
        for name, value in path["figures"].items()
    )
    return (
        f"## {path['name']}\n\n{path['about']}\n\n"
        f"| figure | value |\n|---|--:|\n{rows}"
    )


def _number(value) -> str:
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}"


if __name__ == "__main__":
    print(*write(), sep="\n")
