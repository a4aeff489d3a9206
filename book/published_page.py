"""Write what the book shows of published editions, beside the one that it is
built of.

`write` leaves ``about.md`` and ``tables.md`` in a folder of the build, and the
page `published` includes them; `claims` is for the front page. Each number
stands under the edition, the version and the people it comes from.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from book import findings
from book.claims import rule
from book.long_tables import folded
from book.published_editions import Published, read
from mmssl import ledger
from mmssl.ledger import atomic
from mmssl.pretrain.published import FOLDER

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
BUILD = BOOK / "_build" / "published"

ABSENT = "–"

ALT = (
    "For each modality one line a model: hold-out ROC-AUC and its gain over "
    "untrained encoders, each with its interval."
)


@dataclass(frozen=True)
class Shown:
    """A table of which editions stand side by side.

    Attributes
    ----------
    table : str
        Name of its file, without ending.
    title, about : str
    numbers : (estimate, low, high)
        Columns.
    keys : tuple of str
        Columns that name a line.
    cells : tuple of (column, value)
        What lines must have.
    """

    table: str
    title: str
    about: str
    numbers: tuple[str, str, str]
    keys: tuple[str, ...] = ("model", "modality")
    cells: tuple[tuple[str, str], ...] = ()


TABLES = (
    Shown(
        "linear_evaluation",
        "Linear evaluation",
        "Hold-out ROC-AUC of a logistic regression on frozen encoders, with "
        "its 95 % interval.",
        ("auc", "low", "high"),
        cells=(("protocol", "logistic regression"),),
    ),
    Shown(
        "similarity",
        "Similarity",
        "Debiased CKA of both modalities, of people held out.",
        ("estimate", "low", "high"),
        ("model", "pair"),
        (("role", "holdout"), ("group", "all"), ("measure", "debiased CKA")),
    ),
    Shown(
        "group_overlap_gains",
        "Group differences",
        "Overlap of maps with the planted disease, above that of untrained "
        "encoders.",
        ("difference", "low", "high"),
        ("source", "modality"),
    ),
    Shown(
        "robustness_populations",
        "Second population",
        "ROC-AUC in the second population minus that in the first.",
        ("gap", "gap_low", "gap_high"),
    ),
    Shown(
        "natural_images",
        "Natural images",
        "Accuracy of a linear probe.",
        ("accuracy", "low", "high"),
        ("data", "model", "modality"),
    ),
    Shown(
        "clustering_efficiency",
        "Online clustering",
        "ROC-AUC of lesions after fine-tuning on a share of the labels.",
        ("value", "low", "high"),
        ("model", "ratio"),
    ),
    Shown(
        "preservation_efficiency",
        "Preservational learning",
        "What fine-tuning on a share of the labels reaches.",
        ("value", "low", "high"),
        ("task", "measure", "model", "ratio"),
    ),
)


def write(edition: str, root: Path = ROOT, folder: Path = BUILD) -> list[Path]:
    """Write ``about.md`` and ``tables.md``; return the files.

    Parameters
    ----------
    edition : str
        That the book is built of.
    root : Path, optional
        The checkout that has its tables, and the published ones.
    folder : Path, optional
        Where texts go.

    Raises
    ------
    ValueError
        For a published file or a table that was changed after it was made,
        naming it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    others = read(root / FOLDER)
    about = "\n\n".join(f"- {other.told()}{_found(other)}" for other in others)
    if not others:
        about = "No edition is published with this copy of the book."
    own = root / "data" / "results" / edition
    shown = []
    for table in TABLES if others else ():
        columns = {}
        for other in others:
            published = other.table(table.table)
            if published is not None:
                columns[other.label] = published
        # nothing stands beside nothing
        if columns:
            label = f"{ledger.escaped(edition)}, this book"
            columns = {label: _own(own, table), **columns}
            shown.append(side_by_side(table, columns))
        if table.table == "linear_evaluation":
            shown += [_forest(other, folder) for other in others]
    texts = {"about.md": about + "\n", "tables.md": "\n".join(shown)}
    files = []
    for name, text in texts.items():
        with atomic.file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        files.append(folder / name)
    return files


def side_by_side(
    shown: Shown, editions: dict[str, pd.DataFrame | None]
) -> str:
    """Return the lines of a table as Markdown, a column an edition.

    Parameters
    ----------
    shown : Shown
    editions : dict
        The table of each edition by its label; None where it has none.
    """
    columns, lines, absent = {}, {}, []
    for label, table in editions.items():
        cells = {} if table is None else _cells(shown, table)
        if not cells:
            absent.append(label)
            continue
        columns[label] = cells
        # in the order in which they come first
        lines |= dict.fromkeys(cells)
    about = f"## {shown.title}\n\n{shown.about}"
    if absent:
        about += f" Not computed: {'; '.join(absent)}."
    if len(columns) > 1 and not set.intersection(*map(set, columns.values())):
        about += " The editions have no line in common."
    heads = [*shown.keys, *columns]
    rows = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for line in lines:
        cells = [ledger.escaped(key) for key in line]
        cells += [column.get(line, ABSENT) for column in columns.values()]
        rows.append(f"| {' | '.join(cells)} |")
    table = folded("\n".join(rows) + "\n", len(lines))
    return f"{about}\n\n{table}"


def claims(edition: str, root: Path = ROOT) -> list[str]:
    """Return a sentence an edition on how many claims it decides, the book's
    own first: each as the ledger of the version that made it judged.

    Raises
    ------
    ValueError
        For a file that was changed after it was made, naming it.
    """
    sentences = []
    file = root / "data" / "results" / edition / "claims.tsv"
    if file.is_file():
        counts = _counts(ledger.read_table(file))
        name = ledger.escaped(edition)
        sentences.append(f"Of the papers' claims, the {name} edition {counts}")
    for other in read(root / FOLDER):
        assessed = other.table("claims")
        if assessed is not None:
            sentences.append(
                f"The {ledger.escaped(other.name)} edition, "
                f"[published](published) with mmssl {other.record['version']} "
                f"and not made here, {_counts(assessed)}"
            )
    return sentences


def _counts(assessed: pd.DataFrame) -> str:
    """How many claims have each verdict, in words."""
    count = assessed["verdict"].value_counts()
    count = count.reindex(rule.VERDICTS, fill_value=0)
    return (
        f"supports {count[rule.SUPPORTED]} and contradicts "
        f"{count[rule.CONTRADICTED]}; {count[rule.UNRESOLVED]} are not "
        f"resolved with so few people, {count[rule.NOT_COMPUTED]} were not "
        f"computed, and {count[rule.UNTESTABLE]} cannot be tested here."
    )


def _found(other: Published) -> str:
    """What an edition found, a line of a list each; nothing where it has no
    table of it.
    """
    names = (*findings.TABLES, *findings.FINE_TUNING)
    tables = findings.read_tables(other.tables, names)
    if not tables:
        return ""
    lines = [f"\n  - {line}" for line in findings.sentences(tables)]
    return "\n\n  What it found:\n" + "".join(lines)


def _forest(other: Published, folder: Path) -> str:
    """Copy the forest plot of an edition to the build; return its figure."""
    drawn = other.folder / "figures" / "04_logistic_regression.webp"
    if not drawn.is_file():
        return ""
    name = f"{other.name}.webp"
    shutil.copy(drawn, folder / name)
    return (
        f"```{{figure}} _build/published/{name}\n"
        f":name: fig-published-{other.name}\n"
        ":width: 528px\n:figclass: narrow\n"
        f":alt: {ALT}\n\n"
        f"Linear evaluation: {other.label}, not made on your machine.\n"
        "```\n"
    )


def _own(folder: Path, shown: Shown) -> pd.DataFrame | None:
    file = folder / f"{shown.table}.tsv"
    return ledger.read_table(file) if file.is_file() else None


def _cells(shown: Shown, table: pd.DataFrame) -> dict[tuple, str]:
    """{line: estimate with its interval}; nothing where a column is not
    there.
    """
    value, low, high = shown.numbers
    needed = {*shown.keys, *shown.numbers, *(name for name, _ in shown.cells)}
    if not needed <= set(table):
        return {}
    for column, wanted in shown.cells:
        table = table[table[column] == wanted]
    cells = {}
    for _, line in table.iterrows():
        if pd.isna(line[value]):
            continue
        text = _rounded(line[value])
        if pd.notna(line[low]):
            text += f" [{_rounded(line[low])}, {_rounded(line[high])}]"
        key = tuple(str(line[name]) for name in shown.keys)
        cells[key] = text.replace("-", "−")
    return cells


def _rounded(number: float) -> str:
    """A number of two decimals, of which none is a negative zero."""
    return f"{round(number, 2) + 0.0:.2f}"
