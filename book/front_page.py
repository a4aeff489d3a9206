"""Write what the front page says was found, from the tables of an edition.

`write` leaves a text and the forest plot of the edition in a folder of the
build, and `index.md` includes them: no number of it is typed by hand, and a
finding of nothing is said as one.
"""

from pathlib import Path

from book import findings, published_page
from mmssl import ledger, plotting
from mmssl.ledger import atomic

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
BUILD = BOOK / "_build" / "front"

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
    results = root / "data" / "results" / edition
    tables = findings.read_tables(results)
    if not tables:
        tables = findings.read_tables(results, findings.FINE_TUNING)
    name = ledger.escaped(edition)
    text = f":::{{admonition}} What was found ({name} edition)\n"
    text += f":class: tip\n{' '.join(findings.sentences(tables))}\n:::\n"
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
            scores[scores["protocol"] == findings.PROTOCOL], facts["ceiling"]
        )
        drawn.savefig(folder / "forest.png", dpi=DPI)
        # the page that includes it is the book's first
        shown = (folder / "forest.png").relative_to(folder.parents[1])
        text += FOREST.format(file=shown.as_posix(), alt=ALT, edition=name)
    with atomic.file(folder / "found.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / "found.md"
