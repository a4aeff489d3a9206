"""Refresh the README's figure and results table: ``make figures``.

They are of the published overnight edition, where the repository has it, and
of one's own demo edition else. No number in the README is typed by hand. A
table that was changed, and a stale one of the demo, is refused.
"""

import sys
from pathlib import Path

import pandas as pd

from mmssl import ledger, plotting
from mmssl.cohorts.simulated import factors
from mmssl.ledger import paths
from mmssl.ledger.manifest import check_manifest
from mmssl.pretrain.published import FOLDER

PUBLISHED, OWN = "overnight", "demo"
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


def find_results(root: Path) -> tuple[str, Path]:
    """Return an edition and the folder of its tables: the published one, or
    the demo.

    Raises
    ------
    ValueError
        When a published file was changed, naming it.
    """
    published = root / FOLDER / PUBLISHED
    if not published.is_dir():
        return OWN, root / "data" / "results" / OWN
    check_manifest(published)
    return PUBLISHED, published / "tables"


def load_results(folder: Path, is_own: bool = True) -> pd.DataFrame:
    """Return the table of the linear evaluation of an edition.

    Parameters
    ----------
    folder : Path
    is_own : bool
        Whether it was made here, and has to be fresh.

    Raises
    ------
    ValueError
        When there is none, with the command that makes it, or when it is
        stale, with the reason.
    """
    file = folder / "linear_evaluation.tsv"
    reasons = ledger.stale(file) if is_own else []
    if reasons:
        raise ValueError(
            f"{file.name}: {'; '.join(reasons)}. Run make reproduce first"
        )
    table = ledger.read_table(file)
    return table[table["protocol"] == "logistic regression"]


def markdown(table: pd.DataFrame, edition: str, ceiling: float) -> str:
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
    return "\n".join([*lines, "", _note(table, edition, ceiling)])


def _cell(line: pd.Series) -> str:
    """AUC with its interval; a dash where a probe has no coefficient."""
    if pd.isna(line.low):
        return "–"
    return f"{line.auc:.2f} [{line.low:.2f}, {line.high:.2f}]"


def _note(table: pd.DataFrame, edition: str, ceiling: float) -> str:
    """Which edition it is, who was tested, and how many objectives are better
    than a baseline.
    """
    people = table.iloc[0]
    learned = table[~table["baseline"]]
    resolved = int((learned["difference_low"] > 0).sum())
    own = learned[~learned["supervised"]]
    above = int((own["above_pca_low"] > 0).sum())
    folds = f"{people.folds} folds, one training each"
    if people.folds == 1:
        folds = "one fold, one training"
    return (
        f"The {edition} edition: {folds}. ROC-AUC with 95 % subject-bootstrap "
        f"interval on {people.positives} AD and {people.negatives} HC "
        f"held-out *simulated* people; {people.train:.0f} people trained the "
        "probe. The best any linear score of the true factors could do is "
        f"{ceiling:.2f}. Of the {len(learned)} learned representations, "
        f"{resolved} gain on the mean of untrained encoders with an interval "
        f"above 0; of the {len(own)} self-supervised ones, {above} lie above "
        "PCA-64 by a paired interval above 0. The book shows all of them. A "
        "representation that does not beat both baselines is of no use for "
        "this question."
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
        edition, folder = find_results(root)
        table = load_results(folder, is_own=edition == OWN)
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
    write(root / "README.md", markdown(table, edition, ceiling))
    return 0


if __name__ == "__main__":
    sys.exit(main())
