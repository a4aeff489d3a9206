"""A long table of a text is folded behind its number of rows, as one of a
chapter is (`chapters`).
"""

from book.chapters import LONG


def folded(table: str, rows: int) -> str:
    """Return a table in MyST, closed where it has more rows than `LONG`."""
    if rows <= LONG:
        return table
    return f":::{{dropdown}} Table of {rows} rows\n{table}:::\n"
