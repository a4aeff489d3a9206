"""Write what the page of simulations shows, from the table that `make
simulations` left.

    python book/simulations_page.py

`write` leaves one piece of MyST a part and its figure in a folder of the
build, and the page includes them: no number of it is typed by hand.
"""

from pathlib import Path

import pandas as pd

from mmssl import ledger
from mmssl.ledger import atomic
from mmssl.plotting import promises

BOOK = Path(__file__).resolve().parent
TABLE = BOOK / "simulations.tsv"
BUILD = BOOK / "_build" / "simulations"
MOST = 6  # changes that the page names

PARTS = {
    "intervals": "Intervals and tests of scores",
    "maps": "Tests of maps",
    "representations": "What is said of representations",
    "covariates": "Covariates in a representation",
    "editions": "Verdicts of the claims ledger",
}
"""Parts of the table, and what their figures are called."""


def write(folder: Path = BUILD, table: Path = TABLE) -> list[Path]:
    """Write ``about.md`` and, for each part, its lines and figure; return the
    files.

    Raises
    ------
    FileNotFoundError
        Where the table or its sidecar is missing.
    """
    lines, record = pd.read_csv(table, sep="\t"), ledger.read_sidecar(table)
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        _text(folder / "about.md", about(lines, record, ledger.stale(table)))
    ]
    for part, title in PARTS.items():
        own, figure = lines[lines["part"] == part], folder / f"{part}.png"
        with atomic.file(figure) as temporary:
            promises(own).savefig(temporary, dpi=110, format="png")
        made += [
            figure,
            _text(folder / f"{part}.md", markdown(own, part, title)),
        ]
    return made


def about(lines: pd.DataFrame, record: dict, changed: list[str]) -> str:
    """Say how many promises are contradicted, by which code, and whether that
    still is the code.
    """
    promised = lines[lines["holds"].notna()]
    broken = promised[~promised["holds"].astype(bool)]
    verdict = (
        "None" if broken.empty else str(len(broken))
    ) + f" of {len(promised)} promises"
    code = ledger.hash_json(record["code"])[:12]
    share = record["parameters"]["share"]
    size = "full size" if share == 1 else f"{100 * share:g} % of the full size"
    text = [
        f"**{verdict} is contradicted.** Worlds at {size}, "
        f"seed {record['seed']}, {record['facts']['seconds'] / 60:.0f} minutes in "
        f"{record['facts']['processes']} processes; mmssl {record['versions']['mmssl']}, code "
        f"`{code}`."
    ]
    text += [
        f"- **Contradicted**: {row.simulation} ({row.setting}), {row.method}: {_share(row)}, "
        f"promised {row.claim} {row.promised:.2f}."
        for row in broken.itertuples()
    ]
    if changed:
        more = (
            f"; and {len(changed) - MOST} more" if len(changed) > MOST else ""
        )
        text.append(
            ":::{note}\nThe code has changed since: "
            + "; ".join(changed[:MOST])
            + more
            + ". `make simulations` makes the numbers anew.\n:::"
        )
    else:
        text.append(
            "This is the code of this book: no module behind a number has changed since."
        )
    return "\n\n".join(text) + "\n"


def markdown(lines: pd.DataFrame, part: str, title: str) -> str:
    """A part's figure and its lines as a table."""
    page = (
        f"```{{figure}} _build/simulations/{part}.png\n:name: fig-simulations-{part}\n"
        f":width: 100%\n\n{title}: share of simulated worlds with its exact 99 % interval.\n"
        "```\n\n"
    )
    page += (
        "| simulation | method | worlds | share [99 %] | promised | contradicted "
        "| mean width |\n"
    )
    page += "|---|---|--:|---|---|---|--:|\n"
    for row in lines.itertuples():
        promised = (
            f"{row.claim} {row.promised:.2f}"
            if isinstance(row.claim, str)
            else "–"
        )
        broken = (
            "–" if pd.isna(row.holds) else "no" if row.holds else "**yes**"
        )
        width = "–" if pd.isna(row.width) else f"{row.width:.3f}"
        cells = (
            f"{row.simulation}: {row.setting}",
            row.method,
            row.worlds,
            _share(row),
            promised,
            broken,
            width,
        )
        page += (
            "| "
            + " | ".join(str(cell).replace("|", "\\|") for cell in cells)
            + " |\n"
        )
    return page


def _share(row) -> str:
    return f"{row.share:.3f} [{row.low:.3f}, {row.high:.3f}]"


def _text(path: Path, text: str) -> Path:
    with atomic.file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    print(*write(), sep="\n")
