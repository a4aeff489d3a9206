"""The ledger as a page: one HTML table that filters itself, with no library
and no network.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
import pandas as pd

from book.claims.rule import UNRESOLVED, VERDICTS
from mmssl.plotting.look import VERDICT

_STYLE = """<style>
.claims .ledger {table-layout: fixed; width: 100%; min-width: 42em;
  border-collapse: collapse}
.claims td, .claims th {vertical-align: top; text-align: left;
  font-size: .85em; padding: .3em .6em; overflow-wrap: anywhere}
.claims th:nth-child(1) {width: 28%} .claims th:nth-child(2) {width: 13%}
.claims th:nth-child(3) {width: 23%} .claims th:nth-child(4) {width: 18%}
.claims tr[hidden] {display: none}
.claims-box {overflow-x: auto; max-height: 42em; border: 1px solid #8884}
.claims small {opacity: .75; font-size: .9em}
.claims .id {white-space: nowrap}
.claims-filter > * {display: inline-block; margin-right: 1em}
.claims-filter select, .claims-filter input {max-width: 16em; font: inherit}
</style>"""

_SCRIPT = """<script>
(() => {
  const box = document.currentScript.parentElement;
  const lines = [...box.querySelectorAll("tbody tr")];
  const controls = [...box.querySelectorAll("select, input")];
  const fits = (line, control) => {
    if (!control.value) return true;
    if (control.type !== "search")
      return line.dataset[control.name] === control.value;
    const text = line.textContent.toLowerCase();
    return text.includes(control.value.toLowerCase());
  };
  const show = () => {
    let shown = 0;
    for (const line of lines) {
      const fitsAll = controls.every(control => fits(line, control));
      line.hidden = !fitsAll;
      shown += fitsAll;
    }
    const output = box.querySelector("output");
    output.textContent = shown + " of " + lines.length + " claims";
  };
  for (const control of controls) control.addEventListener("input", show);
  show();
})();
</script>"""

_HEADINGS = (
    "claim",
    "where",
    "claimed; test",
    "estimate [interval]",
    "verdict",
)

_LONGEST_TEST = 160  # letters


def filterable_table(assessed: pd.DataFrame) -> str:
    """Write assessed claims as HTML with menus and a search field.

    Parameters
    ----------
    assessed : DataFrame
        Of `book.claims.rule.assess`.

    Returns
    -------
    str
        A self-contained fragment; with scripts switched off it is the whole
        table.
    """
    present = set(assessed["verdict"])
    evidence = assessed["evidence"].unique()
    menus = (
        _menu("paper", assessed["paper"].unique())
        + _menu("verdict", [name for name in VERDICTS if name in present])
        + _menu("kind", assessed["kind"].unique())
        + _menu("evidence", [name for name in evidence if name])
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADINGS)
    body = "".join(_table_line(line) for line in assessed.itertuples())
    return (
        f'<div class="claims">{_STYLE}'
        f'<p class="claims-filter">{menus}'
        '<label>search <input type="search"></label>'
        f"<output>{len(assessed)} claims</output></p>"
        '<div class="claims-box" tabindex="0" role="region" '
        'aria-label="claims"><table class="ledger">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        f"</table></div>{_SCRIPT}</div>"
    )


def interval_text(line) -> str:
    """Write an estimate with its limits in few digits.

    Parameters
    ----------
    line : named tuple
        Of ``assessed.itertuples()``.
    """
    if np.isnan(line.estimate):
        return ""
    width = 0 if np.isinf(line.high) else line.high - line.low
    size = max(abs(line.estimate), width)
    digits = 0
    if size < 10:
        digits = 3
    elif size < 1000:
        digits = 1
    if line.low == line.high:
        text = f"{line.estimate:,.{digits}f}"
    else:
        limits = f"[{line.low:.{digits}f}, {line.high:.{digits}f}]"
        text = f"{line.estimate:.{digits}f} {limits}"
    return text.replace("-", "−")


def _menu(name: str, choices: Iterable[str]) -> str:
    options = "".join(
        f"<option>{escape(choice)}</option>" for choice in choices
    )
    return (
        f'<label>{name} <select name="{name}">'
        f'<option value="">all</option>{options}</select></label>'
    )


def _table_line(line) -> str:
    cells = (
        _claim(line),
        escape(f"{line.paper}, {line.where}"),
        _test(line),
        _estimate(line),
        _verdict(line),
    )
    content = "".join(f"<td>{cell}</td>" for cell in cells)
    return (
        f'<tr data-paper="{escape(line.paper)}" '
        f'data-verdict="{escape(line.verdict)}" '
        f'data-kind="{escape(line.kind)}" '
        f'data-evidence="{escape(line.evidence)}">{content}</tr>\n'
    )


def _claim(line) -> str:
    name = f'<small class="id">({escape(line.id)})</small>'
    return f"{escape(line.claim)} {name}"


def _test(line) -> str:
    if not line.test:
        return ""
    test = line.test
    if len(test) >= _LONGEST_TEST:
        test = test[: _LONGEST_TEST - 10] + " …"
    return (
        f"{escape(line.claimed)}<br><small>{escape(line.evidence)}: "
        f'<span title="{escape(line.test)}">{escape(test)}</span></small>'
    )


def _estimate(line) -> str:
    shown = interval_text(line)
    if not shown:
        return ""
    return f"{shown}<br><small>{escape(str(line.sample))}</small>"


def _verdict(line) -> str:
    colour = VERDICT[line.verdict]
    # the colour beside the word, which must be read on light and dark
    patch = f"border-left: .5em solid {colour}; padding-left: .4em"
    parts = [f'<b style="{patch}">{escape(line.verdict)}</b>']
    if line.verdict == UNRESOLVED and not np.isnan(line.detectable):
        parts.append(f"<small>detectable: {line.detectable:.3f}</small>")
    if line.why:
        parts.append(f"<small>{escape(line.why)}</small>")
    return "<br>".join(parts)
