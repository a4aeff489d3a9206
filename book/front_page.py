"""Write what the front page says was found, from the tables of an edition.

`write` leaves a text and the forest plot of the edition in a folder of the
build, and `index.md` includes them: no number of it is typed by hand, and a
finding of nothing is said as one.
"""

from pathlib import Path

import pandas as pd

from book import published_page
from mmssl import ledger, plotting
from mmssl.ledger import atomic

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
BUILD = BOOK / "_build" / "front"

PROTOCOL = "logistic regression"
PCA = "PCA-64"
DPI = 220  # two pixels for one

ALT = (
    "For each modality one line a model, sorted. Left, hold-out ROC-AUC with "
    "its interval; right, the gain over untrained encoders with its interval "
    "around zero. Untrained encoders are grey, principal components black."
)

FOREST = """
```{{figure}} {file}
:name: forest
:width: 528px
:figclass: narrow
:alt: {alt}

What each objective is worth to a linear probe of people held out, beside
untrained encoders and principal components ({edition} edition).
```
"""


def write(edition: str, root: Path = ROOT, folder: Path = BUILD) -> Path:
    """Write ``found.md`` and ``forest.png``, where there are tables; return
    the text's file.

    Parameters
    ----------
    edition : str
    root : Path, optional
        The checkout.
    folder : Path, optional
        Where they go.

    Raises
    ------
    ValueError
        When a table or the figure was changed after it was saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {}
    for name in ("linear_evaluation", "similarity", "group_overlap_gains"):
        file = root / "data" / "results" / edition / f"{name}.tsv"
        if file.is_file():
            tables[name] = ledger.read_table(file)
    name = ledger.escaped(edition)
    text = f":::{{admonition}} What was found ({name} edition)\n"
    text += f":class: tip\n{' '.join(sentences(tables))}\n:::\n"
    judged = published_page.claims(edition, root)
    if judged:
        text += f"\n{' '.join(judged)}\n"
    figure = root / "figures" / edition / "04_logistic_regression.png"
    if figure.is_file() and "linear_evaluation" in tables:
        for reason in ledger.changed(figure):
            raise ValueError(f"{figure.name}: {reason}; run page 04 again")
        facts = ledger.read_sidecar(figure)["parameters"]
        scores = tables["linear_evaluation"]
        drawn = plotting.linear_evaluation(
            scores[scores["protocol"] == PROTOCOL], facts["ceiling"]
        )
        drawn.savefig(folder / "forest.png", dpi=DPI)
        # the page that includes it is the book's first
        shown = (folder / "forest.png").relative_to(folder.parents[1])
        text += FOREST.format(file=shown.as_posix(), alt=ALT, edition=name)
    with atomic.file(folder / "found.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / "found.md"


def sentences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return what tables say, one sentence a table, the answer first.

    Parameters
    ----------
    tables : dict
        Of pages 04, 05 and 07 by their names; those that are missing are
        passed over.
    """
    found = []
    if "linear_evaluation" in tables:
        found.append(worth(tables["linear_evaluation"]))
    if "similarity" in tables:
        found.append(agreement(tables["similarity"]))
    gains = tables.get("group_overlap_gains", pd.DataFrame())
    if "low" in gains and gains["low"].notna().any():
        found.append(places(gains))
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
    rule = "principal components of the same images by a paired interval "
    rule += f"above 0** (components: {', '.join(levels) or 'none'}"
    answer = f"**No {noun} lies above {rule})"
    if len(above):
        by_chance = 0.025 * len(own)
        answer = f"**{_share(len(above), len(own), noun)} lie above {rule}; "
        answer += f"{by_chance:.2g} would by chance)"
    if len(own):
        answer += f", the furthest that of {_furthest(own)}"
    gains = _share(len(gained), len(learned), "learned representation")
    return (
        f"{answer}; {gains} gained on untrained encoders by an interval above "
        "0."
    )


def _furthest(lines: pd.DataFrame) -> str:
    """Say which representation is furthest above principal components, and
    how far, with its interval.
    """
    best = lines.loc[lines["above_pca"].idxmax()]
    limits = f"{best['above_pca_low']:+.2f}, {best['above_pca_high']:+.2f}"
    return (
        f"{ledger.escaped(best['model'])} on "
        f"{ledger.escaped(best['modality'])} ({best['above_pca']:+.2f} "
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


def _share(part: int, whole: int, noun: str) -> str:
    """Say how many of how many, of one or of several things."""
    return f"{part} of {whole} {noun}{'' if whole == 1 else 's'}"
