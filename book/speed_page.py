"""Write what the page of speed shows, from the figures that `make bench` left.

    python book/speed_page.py

`write` leaves drawings and tables in a folder of the build, and the page
includes them: no number of it is typed by hand.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from book.long_tables import folded
from mmssl import ledger
from mmssl.ledger import atomic
from mmssl.plotting import cost_growth, machine_limits, speed

BOOK = Path(__file__).resolve().parent
REPORT = BOOK / "speed.json"
BUILD = BOOK / "_build" / "speed"
HALF = 0.5
DPI = 220  # two pixels for one
WORDS = re.compile("^[a-z]+$|[a-z]{3}.*[a-z]{3}", re.DOTALL)
MISSING = "Not measured: `make bench` does it.\n"


def write(folder: Path = BUILD, report: Path = REPORT) -> list[Path]:
    """Write a piece of MyST a section, and the drawings; return the files.

    Raises
    ------
    FileNotFoundError
        Where the report or its sidecar is missing.
    """
    figures = json.loads(report.read_text(encoding="utf-8"))
    record = ledger.read_sidecar(report)
    folder.mkdir(parents=True, exist_ok=True)
    is_stale = bool(ledger.stale(report))
    limits = _lines(figures.get("roofline", []))
    growths = _lines(figures.get("growth", []))
    texts = {
        "about.md": about(figures["machine"], record, is_stale),
        "targets.md": targets(figures.get("targets", [])),
        "behind.md": behind(figures["paths"]),
        "figures.md": "\n".join(table(path) for path in figures["paths"]),
        "roofline.md": roofline(figures.get("roofline", [])),
        "convolutions.md": convolutions(figures.get("convolutions", [])),
        "growth.md": growth(figures.get("growth", [])),
    }
    drawings = {
        "ratios.png": speed(figures["paths"]),
        "roofline.png": machine_limits(limits) if limits else None,
        "growth.png": cost_growth(growths) if growths else None,
    }
    files = []
    for name, text in texts.items():
        files.append(folder / name)
        with atomic.file(files[-1]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for name, drawing in drawings.items():
        if drawing is None:
            continue
        files.append(folder / name)
        with atomic.file(files[-1]) as temporary:
            drawing.savefig(temporary, dpi=DPI, format="png")
    return files


def about(machine: dict, record: dict, is_stale: bool) -> str:
    """Say on what it was measured, and whether that still is the code.

    Parameters
    ----------
    machine : dict
        Processor, its instructions and the threads.
    record : dict
        The report's sidecar.
    is_stale : bool
        Whether code that was measured has changed since.
    """
    extensions = [
        name for name in ("AMX", "AVX-512 bfloat16") if machine[name]
    ]
    instructions = " and ".join(extensions)
    if not extensions:
        instructions = "without AMX or AVX-512 bfloat16"
    versions = record["versions"]
    text = (
        f"Measured on {machine['threads']} threads of one processor "
        f"({machine['processor']}, {instructions}), "
        f"median of up to {record['parameters']['rounds']} rounds; "
        f"mmssl {versions['mmssl']}, torch {versions['torch']}.\n"
    )
    if is_stale:
        text += (
            "\n:::{note}\nCode that was measured has changed since; "
            "`make bench` measures it anew.\n:::\n"
        )
    return text


def targets(lines: Sequence[dict[str, Any]]) -> str:
    """How many targets are met, and each with its figure."""
    if not lines:
        return MISSING
    met = sum(line["met"] for line in lines)
    rows, reasons = [], []
    for line in lines:
        limit = f"at least {_number(line['least'])}"
        if line["least"] is None:
            limit = f"at most {_number(line['most'])}"
        verdict = "met" if line["met"] else "missed"
        name = f"{line['path']}: {line['figure']}"
        if line["value"] is None:
            verdict = "not measured"
        elif line["why"] and not line["met"]:
            reasons.append(f"- *{name}* is missed; {line['why']}.\n")
        rows.append((name, limit, _number(line["value"]), verdict))
    heads = ("figure", "target", "measured", "")
    text = f"{met} of {len(lines)} are met.\n\n{_table(heads, rows)}"
    return f"{text}\n{''.join(reasons)}"


def behind(paths: Sequence[dict[str, Any]]) -> str:
    """Which peers are faster, or need less, than what this project does."""
    ahead = []
    for path in paths:
        for name, value in path["figures"].items():
            if name.endswith(", ratio") and value < 1:
                what = name.removesuffix(", ratio")
                ahead.append(f"{path['name']}: {what} ({_number(value)})")
    if not ahead:
        return "No ratio lies below 1: no peer is ahead.\n"
    return f"Below 1, where the other is ahead: {'; '.join(ahead)}.\n"


def table(path: dict) -> str:
    """What was measured, and every figure of it."""
    rows = [(name, _number(value)) for name, value in path["figures"].items()]
    return (
        f"### {path['name']}\n\n{path['about']}\n\n"
        f"{_table(('figure', 'value'), rows)}{_place(path)}"
    )


def roofline(parts: Sequence[dict[str, Any]]) -> str:
    """How many paths reach half of the machine's limit, where the time of the
    others goes, and each with its formula.
    """
    if not parts:
        return MISSING
    lines = _lines(parts)
    near = [line for line in lines if line["fraction"] >= HALF]
    far = [line for line in lines if line["fraction"] < HALF]
    bound = [n for n in far if (n["fraction alone"] or 0) >= HALF]
    own = [n["name"] for n in far if (n["fraction alone"] or 0) < HALF]
    of_them = len(bound) if own else "all"
    text = (
        f"{len(near)} of {len(lines)} paths take at most twice what the "
        f"machine cannot do without. Of the other {len(far)}, {of_them} "
        "spend at least half of their time in calls of libraries: what is "
        "left there is to make fewer of them, or faster ones."
    )
    if own:
        text += f" The others do not: {'; '.join(own)}."
    text += f"\n\n{_figure('roofline', *_LIMITS)}\n"
    for part in parts:
        rows = [_limit_row(line) for line in part["figures"]]
        formulas = [_formula(line) for line in part["figures"]]
        text += (
            f"### {part['name']}\n\n{part['about']}\n\n"
            f"{_table(_LIMIT_HEADS, rows)}{_place(part)}\n"
            ":::{dropdown} What is counted\n"
            f"{''.join(formulas)}:::\n\n"
        )
    return text


_LIMITS = (
    "Dots of the share of each path's time that the machine cannot do without",
    "Share of its time that a path cannot do without on this machine, and "
    "that the calls of libraries in it take.",
)
_LIMIT_HEADS = (
    "path",
    "10⁹ operations",
    "MB",
    "limit, ms",
    "taken, ms",
    "share",
    "in libraries",
)


def _limit_row(line: dict[str, Any]) -> tuple[str, ...]:
    return (
        line["name"],
        _number(line["operations"] / 1e9),
        _number(line["bytes"] / 1e6),
        _number(1e3 * line["bound"]),
        _number(1e3 * line["seconds"]),
        _share(line["fraction"]),
        _share(line["fraction alone"]),
    )


def _formula(line: dict[str, Any]) -> str:
    text = f"- *{line['name']}*: {line['formula']}."
    if line["library"]:
        text += f" In libraries: {line['library']}."
    return text + "\n"


def convolutions(parts: Sequence[dict[str, Any]]) -> str:
    """Each shape of convolution by itself."""
    if not parts:
        return MISSING
    text = ""
    for part in parts:
        rows = []
        for line in part["figures"]:
            one = (
                line["precision"],
                line["shape"],
                str(line["number"]),
                _number(line["operations"] / 1e9),
                _number(1e3 * line["seconds"]),
                _number(line["rate"] / 1e9),
                _share(line["fraction"]),
            )
            rows.append(one)
        heads = (
            "",
            "shape",
            "times",
            "10⁹ operations",
            "ms",
            "10⁹ a second",
            "of a matrix product's",
        )
        text += f"{part['about']}\n\n{_table(heads, rows)}{_place(part)}\n"
    return text


def growth(parts: Sequence[dict[str, Any]]) -> str:
    """What grows faster than its method must, and each cost."""
    if not parts:
        return MISSING
    lines = _lines(parts)
    steep = [n["name"] for n in lines if n["superlinear"]]
    text = (
        "No cost grows faster than its method must, by more than measuring "
        "can tell (a quarter in the exponent)."
    )
    if steep:
        text = f"These grow faster than their method must: {'; '.join(steep)}."
    text += f"\n\n{_figure('growth', *_GROWTH)}\n"
    for part in parts:
        rows = [_growth_row(line) for line in part["figures"]]
        text += (
            f"### {part['name']}\n\n{part['about']}\n\n"
            f"{_table(_GROWTH_HEADS, rows)}{_place(part)}\n"
        )
    return text


_GROWTH = (
    "Lines of time against size on logarithmic axes",
    "Time against size, both relative to the smallest; in brackets the "
    "exponent between the largest two. Dotted: proportional.",
)
_GROWTH_HEADS = (
    "cost",
    "against",
    "largest",
    "s",
    "MB",
    "exponent",
    "of the largest two",
    "of memory",
    "expected at most",
)


def _growth_row(line: dict[str, Any]) -> tuple[str, ...]:
    size, seconds, megabytes = line["points"][-1]
    expected = _number(line["expected"])
    if line["why"]:
        expected += f": {line['why']}"
    return (
        line["name"],
        line["against"],
        f"{size:,.0f}",
        _number(seconds),
        _number(megabytes),
        _number(line["exponent"]),
        _number(line["last exponent"]),
        _number(line["memory exponent"]),
        expected,
    )


def _lines(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of all parts."""
    return [line for part in parts for line in part["figures"]]


def _figure(name: str, description: str, caption: str) -> str:
    return (
        f"```{{figure}} _build/speed/{name}.png\n:name: fig-speed-{name}\n"
        ":width: 528px\n:figclass: narrow\n"
        f":alt: {description}\n\n{caption}\n```\n"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose numbers stand on the right, and words on the left."""
    rows = list(rows)
    aligned = ["---"]
    for column in range(1, len(heads)):
        has_words = any(WORDS.search(row[column]) for row in rows)
        aligned.append("---" if has_words else "--:")
    lines = [heads, aligned, *rows]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    text = "".join(f"| {' | '.join(line)} |\n" for line in cells)
    return folded(text, len(rows))


def _place(part: dict[str, Any]) -> str:
    """The machine of a part."""
    machine = part.get("machine")
    if machine is None:
        return ""
    return f"\n*{machine['processor']}, {machine['class']}*\n"


def _share(value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.0f} %" if value >= 1 else f"{100 * value:.2g} %"


def _number(value) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}"


if __name__ == "__main__":
    print(*write(), sep="\n")
