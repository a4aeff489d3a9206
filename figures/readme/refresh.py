"""Refresh the README's figure and results table from the demo edition: ``make
figures``.

No number in the README is typed by hand. A table that is stale is refused.
"""

import sys
from pathlib import Path

import pandas as pd

from mmssl import ledger, plotting
from mmssl.cohorts.simulated import factors
from mmssl.ledger import paths

EDITION = "demo"
SHOWN = (
    "random encoder",
    "PCA-64",
    "AE",
    "RR",
    "XX-CC",
    "CR-XX-CC",
    "RR-AE",
    "DCCAE",
    "MMVAE",
    "Supervised",
)  # the page of the linear evaluation has all rows
START, END = "<!-- results: written by make figures -->", "<!-- /results -->"


def load_results(folder: Path) -> pd.DataFrame:
    """Return the table of the linear evaluation of an edition, if it is fresh.

    Raises
    ------
    ValueError
        When there is none, with the command that makes it, or when it is
        stale, with the reason.
    """
    table = folder / "linear_evaluation.tsv"
    reasons = ledger.stale(table)
    if reasons:
        raise ValueError(
            f"{table.name}: {'; '.join(reasons)}. Run make reproduce first"
        )
    return pd.read_csv(table, sep="\t").query(
        "protocol == 'logistic regression'"
    )


def markdown(table: pd.DataFrame, ceiling: float) -> str:
    """Return the results as a Markdown table: a line per row, a column per
    modality.
    """
    modalities = list(dict.fromkeys(table["modality"]))
    lines = [
        f"| | {' | '.join(modalities)} |",
        f"|---|{'---|' * len(modalities)}",
    ]
    for row, group in table[table["model"].isin(SHOWN)].groupby(
        "model", sort=False
    ):
        cells = group.set_index("modality")
        found = [cells.loc[m] for m in modalities if m in cells.index]
        values = [
            f"{cell.auc:.2f} [{cell.low:.2f}, {cell.high:.2f}]"
            for cell in found
        ]
        name = f"*{row}* (baseline)" if group["baseline"].any() else f"`{row}`"
        lines.append(f"| {name} | {' | '.join(values)} |")
    people = table.iloc[0]
    learned = table[~table["baseline"]]
    resolved = int((learned["difference_low"] > 0).sum())
    pca = table[table["model"] == "PCA-64"].set_index("modality")["auc"]
    above = int(
        (learned["auc"].to_numpy() > pca[learned["modality"]].to_numpy()).sum()
    )
    note = (
        f"ROC-AUC with 95 % subject-bootstrap interval on {people.positives} AD and "
        f"{people.negatives} HC held-out *simulated* people; {people.train:.0f} people trained the "
        f"probe. The best any linear score of the true factors could do is {ceiling:.2f}. Of the "
        f"{len(learned)} learned rows, {resolved} gain on the random encoder with an interval above"
        f" 0 and {above} lie above PCA-64; the book shows all of them. A training this short on few"
        " people shows the method and how it is measured, no more."
    )
    return "\n".join([*lines, "", note])


def write(readme: Path, text: str) -> None:
    """Put `text` between the README's two markers."""
    before, rest = readme.read_text(encoding="utf-8").split(START)
    _, after = rest.split(END)
    readme.write_text(
        f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8"
    )


def main() -> int:
    """Write the figure and the table."""
    root = paths.root(Path(__file__).parent)
    try:
        table = load_results(root / "data" / "results" / EDITION)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    ceiling = factors.oracle_auc()
    figure = plotting.linear_evaluation(
        table[table["model"].isin(SHOWN)], ceiling
    )
    # no date or version in the file: the same table gives the same bytes
    figure.savefig(
        root / "figures/readme/linear_evaluation.png",
        metadata={"Software": None},
    )
    write(root / "README.md", markdown(table, ceiling))
    return 0


if __name__ == "__main__":
    sys.exit(main())
