"""Write what the page of simulations shows, from the table that `make
simulations` left.

    python book/simulations_page.py

`write` leaves one piece of MyST a part and its figure in a folder of the
build, and the page includes them: no number of it is typed by hand.
"""

from pathlib import Path

import pandas as pd

from book.long_tables import folded
from mmssl import ledger
from mmssl.ledger import atomic
from mmssl.plotting import simulation_rates

BOOK = Path(__file__).resolve().parent
TABLE = BOOK / "simulations.tsv"
BUILD = BOOK / "_build" / "simulations"
DPI = 220  # two pixels for one

PARTS = {
    "intervals": "Intervals and tests of scores",
    "maps": "Tests of maps",
    "representations": "What is said of representations",
    "covariates": "Covariates in a representation",
    "editions": "Verdicts of the claims ledger",
}
"""Parts of the table, and what their figures are called."""

ALT = (
    "One line a method, under the name of its simulation: a dot at the share "
    "of simulated worlds with its exact interval, beside a dotted line at the "
    "nominal rate; coloured by whether the two contradict each other."
)

_HEADINGS = (
    "simulation",
    "method",
    "worlds",
    "share [99 %]",
    "nominal rate",
    "contradicted",
    "mean width",
)


def write(folder: Path = BUILD, table: Path = TABLE) -> list[Path]:
    """Write ``about.md`` and, for each part, its lines and figure; return the
    files.

    Raises
    ------
    FileNotFoundError
        Where the table or its sidecar is missing.
    """
    lines = pd.read_csv(table, sep="\t")
    record = ledger.read_sidecar(table)
    folder.mkdir(parents=True, exist_ok=True)
    text = about(lines, record, ledger.stale(table))
    files = [_write_text(folder / "about.md", text)]
    for part, title in PARTS.items():
        part_lines = lines[lines["part"] == part]
        figure = folder / f"{part}.png"
        with atomic.file(figure) as temporary:
            drawing = simulation_rates(part_lines)
            drawing.savefig(temporary, dpi=DPI, format="png")
        files.append(figure)
        text = markdown(part_lines, part, title)
        files.append(_write_text(folder / f"{part}.md", text))
    return files


def about(lines: pd.DataFrame, record: dict, changes: list[str]) -> str:
    """Say how many nominal rates are contradicted, by which code, and whether
    that still is the code.

    Parameters
    ----------
    lines : DataFrame
        The whole table.
    record : dict
        Its sidecar.
    changes : list of str
        What has changed since (`mmssl.ledger.stale`).
    """
    with_rate = lines[lines["holds"].notna()]
    contradicted = with_rate[~with_rate["holds"].astype(bool)]
    count = str(len(contradicted) or "None")
    verb = "are" if len(contradicted) > 1 else "is"
    minutes = record["facts"]["seconds"] / 60
    code = ledger.hash_json(record["code"])[:12]
    paragraphs = [
        f"**{count} of {len(with_rate)} nominal rates {verb} contradicted.** "
        f"Worlds at {_size(record['parameters']['share'])}, "
        f"seed {record['seed']}, {minutes:.0f} minutes in "
        f"{record['facts']['processes']} processes; "
        f"mmssl {record['versions']['mmssl']}, code `{code}`."
    ]
    for line in contradicted.itertuples():
        paragraphs.append(
            f"- **Contradicted**: {line.simulation} ({line.setting}), "
            f"{line.method}: {_share(line)}, nominal rate {_nominal(line)}."
        )
    paragraphs.append(_freshness(changes))
    return "\n\n".join(paragraphs) + "\n"


def markdown(lines: pd.DataFrame, part: str, title: str) -> str:
    """A part's figure and its lines as a table.

    Parameters
    ----------
    lines : DataFrame
        Those of the part.
    part, title : str
        Of `PARTS`.
    """
    figure = (
        f"```{{figure}} _build/simulations/{part}.png\n"
        f":name: fig-simulations-{part}\n"
        ":width: 528px\n"
        ":figclass: narrow\n"
        f":alt: {ALT}\n\n"
        f"{title}: share of simulated worlds with its exact 99 % interval.\n"
        "```\n\n"
    )
    # no width where none was measured
    number = len(_HEADINGS) - int(lines["width"].isna().all())
    aligned = ("---", "---", "--:", "---", "---", "---", "--:")
    rows = [_table_row(_HEADINGS[:number]), _table_row(aligned[:number])]
    for line in lines.itertuples():
        cells = (
            f"{line.simulation}: {line.setting.replace('^3', '³')}",
            line.method,
            line.worlds,
            _share(line),
            _nominal(line),
            _contradicted(line),
            "–" if pd.isna(line.width) else f"{line.width:.3f}",
        )
        rows.append(_table_row(cells[:number]))
    return figure + folded("".join(rows), len(lines))


def _size(share: float) -> str:
    if share == 1:
        return "full size"
    return f"{100 * share:g} % of the full size"


def _freshness(changes: list[str]) -> str:
    """Whether the numbers are those of this book's code."""
    if not changes:
        return (
            "This is the code of this book: no module behind a number has "
            "changed since."
        )
    number = (
        "1 file has" if len(changes) == 1 else f"{len(changes)} files have"
    )
    return (
        f":::{{note}}\n{number} changed since the numbers were made, which "
        "`make verify` names; `make simulations` makes them anew.\n:::"
    )


def _table_row(cells) -> str:
    escaped = [str(cell).replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |\n"


def _share(line) -> str:
    return f"{line.share:.3f} [{line.low:.3f}, {line.high:.3f}]"


def _nominal(line) -> str:
    if not isinstance(line.claim, str):
        return "–"
    return f"{line.claim} {line.promised:.2f}"


def _contradicted(line) -> str:
    if pd.isna(line.holds):
        return "–"
    return "no" if line.holds else "**yes**"


def _write_text(path: Path, text: str) -> Path:
    with atomic.file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    print(*write(), sep="\n")
