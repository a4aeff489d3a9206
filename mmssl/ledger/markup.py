"""Names on a page: whatever somebody calls a cohort, a class or a model is
shown as it stands, and is no markup.
"""

from typing import Any

_HIDDEN = [*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)]
# what turns the direction of a line
_HIDDEN += [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]

_HTML = dict.fromkeys(_HIDDEN, "\ufffd")
_HTML |= {ord(space): " " for space in "\t\n\r"}
_HTML |= {ord(sign): f"&#{ord(sign)};" for sign in "&<>\"'"}
# MathJax looks for a formula in one run of text, which a tag ends
_HTML |= {ord(sign): f"<span>&#{ord(sign)};</span>" for sign in "$\\"}

_MARKDOWN = {ord(sign): f"&#{ord(sign)};" for sign in "`*_[]{}|~^#!@"}
_MARKDOWN |= _HTML


def escaped(name: Any) -> str:
    """Return a name as Markdown, or HTML between tags, shows it literally.

    Parameters
    ----------
    name : object
        Shown as its `str`.

    Returns
    -------
    str
        One line. Neither a tag, an entity, emphasis, a link, a heading, a
        list, a cell of a table nor a formula is left in it; letters, digits
        and the hyphens between them stay as they are.
    """
    line = " ".join(str(name).split())
    first, rest = line[:1], line[1:]
    # a list, a fence or a rule begins a line with one of many characters
    if first and ord(first) not in _MARKDOWN and not first.isalpha():
        return f"&#{ord(first)};{rest.translate(_MARKDOWN)}"
    return line.translate(_MARKDOWN)


def styled(table):
    """Return the pandas Styler of a table whose texts are shown literally.

    pandas escapes what it shows of a DataFrame, but nothing of a Styler.

    Parameters
    ----------
    table : DataFrame
        Texts in its cells, its index, its columns and their names are
        escaped; numbers and the types of its columns stay.

    Returns
    -------
    Styler
    """
    shown = table.copy()
    for place, kind in enumerate(shown.dtypes):
        if kind.kind == "O":
            shown.isetitem(place, shown.iloc[:, place].map(_cell))
    shown = shown.rename(index=_cell, columns=_cell)
    return shown.rename_axis(index=_cell, columns=_cell).style


def _cell(value: Any) -> Any:
    return value.translate(_HTML) if isinstance(value, str) else value
