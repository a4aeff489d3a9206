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
    """Write ``about.md``, ``ratios.png`` and ``figures.md``; return the files.

    Raises
    ------
    FileNotFoundError
        Where the report or its sidecar is missing.
    """
    found, record = (
        json.loads(report.read_text(encoding="utf-8")),
        ledger.read_sidecar(report),
    )
    folder.mkdir(parents=True, exist_ok=True)
    about, figures, drawing = (
        folder / name for name in ("about.md", "figures.md", "ratios.png")
    )
    with atomic.file(about) as temporary:
        temporary.write_text(
            machine(found["machine"], record, ledger.stale(report)), "utf-8"
        )
    with atomic.file(figures) as temporary:
        temporary.write_text("\n".join(map(table, found["paths"])), "utf-8")
    with atomic.file(drawing) as temporary:
        speed(found["paths"]).savefig(temporary, dpi=110, format="png")
    return [about, figures, drawing]


def machine(facts: dict, record: dict, changed: list[str]) -> str:
    """Say on what it was measured, and whether that still is the code."""
    has = [name for name in ("AMX", "AVX-512 bfloat16") if facts[name]]
    text = (
        f"Measured on {facts['threads']} threads of one processor ({facts['processor']}, "
        f"{' and '.join(has) or 'without AMX or AVX-512 bfloat16'}), "
        f"median of up to {record['parameters']['rounds']} rounds; "
        f"mmssl {record['versions']['mmssl']}, torch {record['versions']['torch']}.\n"
    )
    if changed:
        text += (
            "\n:::{note}\nCode that was measured has changed since; `make bench` measures "
            "it anew.\n:::\n"
        )
    return text


def table(path: dict) -> str:
    """What was measured, and every figure of it."""
    rows = "".join(
        f"| {name} | {_number(value)} |\n"
        for name, value in path["figures"].items()
    )
    return f"## {path['name']}\n\n{path['about']}\n\n| figure | value |\n|---|--:|\n{rows}"


def _number(value) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:,.0f}"
    )


if __name__ == "__main__":
    print(*write(), sep="\n")
