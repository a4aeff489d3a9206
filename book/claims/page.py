"""The ledger as a page: one HTML table that filters itself, with no library
and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd

from book.claims.rule import UNRESOLVED, VERDICTS
from mmssl.plotting.claims import VERDICT

_STYLE = """<style>
.claims .ledger {table-layout: fixed; width: 100%; min-width: 42em; border-collapse: collapse}
.claims td, .claims th {vertical-align: top; text-align: left; font-size: .85em; padding: .3em .6em;
  overflow-wrap: anywhere}
.claims th:nth-child(1) {width: 28%} .claims th:nth-child(2) {width: 13%}
.claims th:nth-child(3) {width: 23%} .claims th:nth-child(4) {width: 18%}
.claims tr[hidden] {display: none}
.claims-box {overflow-x: auto; max-height: 42em; border: 1px solid #8884}
.claims small {opacity: .75; font-size: .9em} .claims .id {white-space: nowrap}
.claims-filter > * {display: inline-block; margin-right: 1em}
.claims-filter select, .claims-filter input {max-width: 16em; font: inherit}
</style>"""

_SCRIPT = """<script>
(() => {
  const box = document.currentScript.parentElement;
  const rows = [...box.querySelectorAll("tbody tr")];
  const controls = [...box.querySelectorAll("select, input")];
  const show = () => {
    let left = 0;
    for (const row of rows) {
      const fits = controls.every(c => !c.value || (c.type === "search"
        ? row.textContent.toLowerCase().includes(c.value.toLowerCase())
        : row.dataset[c.name] === c.value));
      row.hidden = !fits;
      left += fits;
    }
    box.querySelector("output").textContent = left + " of " + rows.length + " claims";
  };
  for (const c of controls) c.addEventListener("input", show);
  show();
})();
</script>"""


def filterable(assessed: pd.DataFrame) -> str:
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
    menus = "".join(
        f'<label>{name} <select name="{name}"><option value="">all</option>'
        + "".join(f"<option>{escape(value)}</option>" for value in choices)
        + "</select></label>"
        for name, choices in (
            ("paper", dict.fromkeys(assessed["paper"])),
            (
                "verdict",
                [v for v in VERDICTS if v in set(assessed["verdict"])],
            ),
            ("kind", dict.fromkeys(assessed["kind"])),
            ("evidence", filter(None, dict.fromkeys(assessed["evidence"]))),
        )
    )
    cells: dict[str, Callable] = {
        "claim": _claim,
        "where": lambda row: escape(f"{row.paper}, {row.where}"),
        "claimed; test": _test,
        "estimate [interval]": _estimate,
        "verdict": _verdict,
    }
    body = "".join(
        f'<tr data-paper="{escape(row.paper)}" data-verdict="{escape(row.verdict)}" '
        f'data-kind="{escape(row.kind)}" data-evidence="{escape(row.evidence)}">'
        + "".join(f"<td>{write(row)}</td>" for write in cells.values())
        + "</tr>\n"
        for row in assessed.itertuples()
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in cells)
    return (
        f'<div class="claims">{_STYLE}<p class="claims-filter">{menus}<label>search '
        f'<input type="search"></label><output>{len(assessed)} claims</output></p>'
        f'<div class="claims-box"><table class="ledger"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{_SCRIPT}</div>"
    )


def interval(row) -> str:
    """Write an estimate with its limits and what it could have shown, in few
    digits.
    """
    if np.isnan(row.estimate):
        return ""
    size = max(
        abs(row.estimate), 0 if np.isinf(row.high) else row.high - row.low
    )
    digits = 3 if size < 10 else 1 if size < 1000 else 0
    if row.low == row.high:
        return f"{row.estimate:,.{digits}f}".replace("-", "−")
    text = f"{row.estimate:.{digits}f} [{row.low:.{digits}f}, {row.high:.{digits}f}]"
    return text.replace("-", "−")


def _claim(row) -> str:
    return f'{escape(row.claim)} <small class="id">({escape(row.id)})</small>'


def _test(row) -> str:
    if not row.test:
        return ""
    test = row.test if len(row.test) < 160 else row.test[:150] + " …"
    return (
        f"{escape(row.claimed)}<br><small>{escape(row.evidence)}: "
        f'<span title="{escape(row.test)}">{escape(test)}</span></small>'
    )


def _estimate(row) -> str:
    shown = interval(row)
    if not shown:
        return ""
    return f"{shown}<br><small>{escape(str(row.sample))}</small>"


def _verdict(row) -> str:
    parts = [
        f'<b style="color:{VERDICT[row.verdict]}">{escape(row.verdict)}</b>'
    ]
    if row.verdict == UNRESOLVED and not np.isnan(row.detectable):
        parts.append(f"<small>detectable: {row.detectable:.3f}</small>")
    if row.why:
        parts.append(f"<small>{escape(row.why)}</small>")
    return "<br>".join(parts)
