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
)  # the page of the linear evaluation has all models
START, END = "<!-- results: written by make figures -->", "<!-- /results -->"


def load_results(folder: Path) -> pd.DataFrame:
    """Return the table of the linear evaluation of an edition, if it is fresh.

    Raises
    ------
    ValueError
        When there is none, with the command that makes it, or when it is
        stale, with the reason.
    """
    file = folder / "linear_evaluation.tsv"
    reasons = ledger.stale(file)
    if reasons:
        raise ValueError(
            f"{file.name}: {'; '.join(reasons)}. Run make reproduce first"
        )
    table = ledger.read_table(file)
    return table[table["protocol"] == "logistic regression"]


def markdown(table: pd.DataFrame, ceiling: float) -> str:
    """Return the results as a Markdown table, and a sentence on them: a line
    per model, a column per modality.
    """
    modalities = list(dict.fromkeys(table["modality"]))
    lines = [
        f"| | {' | '.join(modalities)} |",
        f"|---|{'---|' * len(modalities)}",
    ]
    shown = table[table["model"].isin(SHOWN)]
    for model, group in shown.groupby("model", sort=False):
        by_modality = group.set_index("modality")
        cells = []
        for modality in modalities:
            if modality in by_modality.index:
                cells.append(_cell(by_modality.loc[modality]))
        name = f"`{model}`"
        if group["baseline"].any():
            name = f"*{model}* (baseline)"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _note(table, ceiling)])


def _cell(line: pd.Series) -> str:
    """AUC with its interval; a dash where a probe has no coefficient."""
    if pd.isna(line.low):
        return "–"
    return f"{line.auc:.2f} [{line.low:.2f}, {line.high:.2f}]"


def _note(table: pd.DataFrame, ceiling: float) -> str:
    """Who was tested, and how many objectives are better than a baseline."""
    people = table.iloc[0]
    learned = table[~table["baseline"]]
    resolved = int((learned["difference_low"] > 0).sum())
    pca = table[table["model"] == "PCA-64"].set_index("modality")["auc"]
    pca_of_line = pca[learned["modality"]].to_numpy()
    above = int((learned["auc"].to_numpy() > pca_of_line).sum())
    return (
        "ROC-AUC with 95 % subject-bootstrap interval on "
        f"{people.positives} AD and {people.negatives} HC held-out "
        f"*simulated* people; {people.train:.0f} people trained the probe. "
        "The best any linear score of the true factors could do is "
        f"{ceiling:.2f}. Of the {len(learned)} learned representations, "
        f"{resolved} gain on the mean of {people.draws} untrained encoders "
        f"with an interval above 0 and {above} lie above PCA-64; the book "
        "shows all of them. A representation that does not beat both "
        "baselines is of no use for this question."
    )


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
    shown = table[table["model"].isin(SHOWN)]
    figure = plotting.linear_evaluation(shown, ceiling)
    # no date or version in the file: the same table gives the same bytes
    figure.savefig(
        root / "figures/readme/linear_evaluation.png",
        metadata={"Software": None},
    )
    write(root / "README.md", markdown(table, ceiling))
    return 0


if __name__ == "__main__":
    sys.exit(main())
