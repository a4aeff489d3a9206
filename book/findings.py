"""What an edition's tables say was found, in sentences: the answer first, and
a finding of nothing said as one, with what is known of its reason.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mmssl import ledger
from mmssl.evaluate import worth_of_labels, worth_of_pretraining

PROTOCOL = "logistic regression"
PCA = "PCA-64"
TABLES = ("linear_evaluation", "similarity", "group_overlap_gains")
"""Names of the tables that the front page is about."""
FINE_TUNING = {
    "clustering_efficiency": "Online clustering",
    "preservation_efficiency": "Preservational learning",
}
"""Tables of fine-tuning on few labels, and how their method is called."""


def read_tables(
    folder: Path, names: Iterable[str] = TABLES
) -> dict[str, pd.DataFrame]:
    """Return those of some tables that a folder has, by name.

    Parameters
    ----------
    folder : Path
    names : iterable of str, optional

    Raises
    ------
    ValueError
        For a table that was changed after it was saved.
    """
    tables = {}
    for name in names:
        file = folder / f"{name}.tsv"
        if file.is_file():
            tables[name] = ledger.read_table(file)
    return tables


def sentences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return what tables say, an item a table, the answer first.

    Parameters
    ----------
    tables : dict
        Of `TABLES` and `FINE_TUNING` by their names; those that are missing
        are passed over.
    """
    found = []
    if "linear_evaluation" in tables:
        found.append(worth(tables["linear_evaluation"]))
    if "similarity" in tables:
        found.append(agreement(tables["similarity"]))
    gains = tables.get("group_overlap_gains", pd.DataFrame())
    if "low" in gains and gains["low"].notna().any():
        found.append(places(gains))
    for name, method in FINE_TUNING.items():
        if name in tables:
            found.append(few_labels(tables[name], method))
    return found or ["No table of this edition answers the question yet."]


def worth(scores: pd.DataFrame) -> str:
    """Say how many representations beat what learned nothing.

    Parameters
    ----------
    scores : DataFrame
        ``linear_evaluation.tsv``.
    """
    lines = scores[scores["protocol"] == PROTOCOL]
    learned = lines[~lines["baseline"].astype(bool)]
    components = lines[lines["model"] == PCA].set_index("modality")["auc"]
    own = learned[~learned["supervised"].astype(bool)]
    own = own[own["above_pca"].notna()]
    above = own[own["above_pca_low"] > 0]
    gained = learned[learned["difference_low"] > 0]
    levels = []
    for modality, auc in components.items():
        levels.append(f"{auc:.2f} on {ledger.escaped(modality)}")
    noun = "self-supervised representation"
    rule = "shown to beat principal components of the same images** (ROC-AUC "
    rule += f"{', '.join(levels) or 'unknown'}"
    answer = f"**No {noun} was {rule})."
    if len(above):
        by_chance = 0.025 * len(own)
        verb = "was" if len(above) == 1 else "were"
        answer = f"**{_share(len(above), len(own), noun)} {verb} {rule}; "
        answer += f"about {by_chance:.2g} would be by chance)."
    if len(own):
        answer += f" The furthest above them is {_furthest(own)}."
    gains = _share(len(gained), len(learned), "learned representation")
    said = f"{answer} {gains} beat untrained encoders"
    said += " (by paired 95 % intervals)."
    if len(own) and not len(above):
        labelled = learned[learned["supervised"].astype(bool)]
        said += _why_none(own, labelled[labelled["above_pca"].notna()])
    return said


def _why_none(own: pd.DataFrame, supervised: pd.DataFrame) -> str:
    """Say what the tables hold on why no representation is shown to lie above
    components: whether labels would have helped, and how small a gain these
    people could have shown.
    """
    said = ""
    if len(supervised):
        above = (supervised["above_pca_low"] > 0).sum()
        count = f"{above} of {len(supervised)}" if above else "none"
        verb = "lie" if above > 1 else "lies"
        said = (
            f" Of the networks that were given the labels {count} {verb} "
            "above principal components, the furthest "
            f"{_furthest(supervised)}."
        )
    width = (own["above_pca_high"] - own["above_pca_low"]).median() / 2
    return said + (
        f" The intervals have a median half-width of {width:.2f}: a smaller "
        "gain would mostly go unseen in these people."
    )


def _furthest(lines: pd.DataFrame) -> str:
    """Say which representation is furthest above principal components, and
    how far, with its interval.
    """
    best = lines.loc[lines["above_pca"].idxmax()]
    low, high = _signed(best["above_pca_low"]), _signed(best["above_pca_high"])
    limits = f"{low}, {high}"
    return (
        f"{ledger.escaped(best['model'])} on "
        f"{ledger.escaped(best['modality'])} ({_signed(best['above_pca'])} "
        f"[{limits}])"
    )


def agreement(table: pd.DataFrame) -> str:
    """Say in how many models the modalities agree more than by chance.

    Parameters
    ----------
    table : DataFrame
        ``similarity.tsv``.
    """
    is_shown = (table["role"] == "holdout") & (table["group"] == "all")
    is_shown &= table["measure"] == "debiased CKA"
    lines = table[is_shown & table["estimate"].notna()]
    beyond = (lines["p"] <= 0.05).sum()
    return (
        "What the two modalities say of people held out is more alike than "
        f"chance in {_share(beyond, len(lines), 'model')} (debiased CKA, at "
        f"most {lines['estimate'].max():.2f} of 1)."
    )


def places(gains: pd.DataFrame) -> str:
    """Say whether maps of group differences find the planted disease.

    Parameters
    ----------
    gains : DataFrame
        ``group_overlap_gains.tsv``.
    """
    known = gains[gains["low"].notna()]
    better = (known["low"] > 0).sum()
    return (
        f"{_share(better, len(known), 'map')} of where patients differ "
        "overlapped the planted disease more than those of untrained "
        "encoders, by an interval above 0."
    )


def few_labels(efficiency: pd.DataFrame, method: str) -> str:
    """Say whether pretraining beat training from scratch, where the labels
    are fewest, and whether the fits were long enough to tell.

    Parameters
    ----------
    efficiency : DataFrame
        Of `mmssl.evaluate.efficiency_table`.
    method : str
    """
    gain = worth_of_pretraining(efficiency)
    return f"*{method}.* {gain} {worth_of_labels(efficiency)}".rstrip()


def _signed(number: float) -> str:
    """A difference with two decimals, or three where two would be zero."""
    text = f"{number:+.2f}"
    return f"{number:+.3f}" if float(text) == 0 else text


def _share(part: int, whole: int, noun: str) -> str:
    """Say how many of how many, of one or of several things."""
    return f"{part} of {whole} {noun}{'' if whole == 1 else 's'}"
