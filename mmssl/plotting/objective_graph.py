"""The figure of an objective: which representations its terms bring
together.
"""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mmssl.plotting.look import BASELINE, PALETTE, canvas, colour

Node = tuple[str, str]  # kind, modality
Edge = tuple[Node, Node]
# those of T1 and fALFF last
COLOURS = tuple(PALETTE[i] for i in (2, 3, 4, 5, 7, 0, 1))
COLUMNS = {"x": 0.0, "c": 1.6, "z": 3.2, "reconstruction": 4.8, "label": 6.0}
SYMBOLS = {
    "x": "x",
    "c": "c",
    "z": "z",
    "reconstruction": r"\hat{x}",
    "label": "y",
}
ROW, RADIUS = 1.5, 0.27


def objective_graph(
    graph: Mapping[str, Sequence[Edge]],
    modalities: Sequence[str],
    weights: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the graph of an objective.

    Parameters
    ----------
    graph : mapping
        Term -> its edges, each ((kind, modality), (kind, modality)), as
        `mmssl.objectives.language.Objective.graph` gives them. Kinds: c, z,
        reconstruction, label.
    modalities : sequence of str
        Rows, from above.
    weights : mapping, optional
        Term -> weight of its loss, shown where it is not 1.

    Returns
    -------
    Figure
        A row of nodes a modality, in its colour: the image x, what the encoder
        makes of it (grey arrows: c, then z) and what terms make of z. One
        colour a term; an arrow runs from the embeddings to the anchor, or from
        z to what it predicts, and has two heads where a term takes a pair in
        both directions.

    Raises
    ------
    ValueError
        For a kind that has no place in the figure.
    """
    nodes = [
        node for edges in graph.values() for edge in edges for node in edge
    ]
    if unknown := {kind for kind, _ in nodes} - set(COLUMNS):
        raise ValueError(
            f"graph: nodes of kind {sorted(unknown)}, expected of {sorted(COLUMNS)}"
        )
    rows = {m: -ROW * i for i, m in enumerate(modalities)}
    encoded = [(kind, m) for m in rows for kind in ("x", "c", "z")]
    figure, ((axis,),) = canvas(1, 1, 7.0, 0.7 + 1.15 * len(rows))
    place = {
        node: (COLUMNS[node[0]], rows[node[1]]) for node in {*encoded, *nodes}
    }
    for m in rows:
        for ends in ((("x", m), ("c", m)), (("c", m), ("z", m))):
            _connect(
                axis,
                *(place[node] for node in ends),
                BASELINE,
                0.0,
                "-|>",
                1.0,
            )
    for number, edges in enumerate(graph.values()):
        for start, end, style in _directed(edges):
            ends = place[start], place[end]
            bend = _bend(start[0], *ends, number)
            _connect(
                axis, *ends, COLOURS[number % len(COLOURS)], bend, style, 2.0
            )
    for (kind, m), at in place.items():
        axis.plot(
            *at, "o", ms=27, mfc="white", mec=colour(m), mew=1.8, zorder=3
        )
        axis.annotate(
            f"${SYMBOLS[kind]}$",
            at,
            ha="center",
            va="center",
            fontsize=13,
            zorder=4,
        )
    for m, height in rows.items():
        axis.annotate(
            m, (-0.5, height), ha="right", va="center", color=colour(m)
        )
    _finish(axis, graph, weights or {}, place.values())
    return figure


def _directed(edges: Iterable[Edge]) -> list[tuple[Node, Node, str]]:
    """Each edge once, with two heads where its reverse is there too."""
    edges = list(dict.fromkeys(edges))
    found = []
    for start, end in edges:
        if (end, start) not in edges:
            found.append((start, end, "-|>"))
        elif edges.index((start, end)) < edges.index((end, start)):
            found.append((start, end, "<|-|>"))
    return found


def _bend(kind: str, start: tuple, end: tuple, number: int) -> float:
    """Curvature: around nodes that lie between, and apart from the other
    terms' edges.
    """
    # one column: c to the left, z to the right, more over more rows
    if start[0] == end[0]:
        side = 1 if (end[1] > start[1]) == (kind != "c") else -1
        return side * (
            0.15 * abs(start[1] - end[1]) / ROW + 0.15 * (number % 3)
        )
    if start[1] == end[1]:  # one row: above the encoder's own arrow
        return -0.3 - 0.08 * number
    return 0.08


def _connect(
    axis: Axes, start, end, line: str, bend: float, style: str, width: float
) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=style,
            mutation_scale=11,
            color=line,
            lw=width,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=15,
            shrinkB=15,
            zorder=2,
        )
    )


def _finish(
    axis: Axes, graph: Mapping, weights: Mapping[str, float], places
) -> None:
    """Legend, limits and no axes."""
    for number, term in enumerate(graph):
        factor = (
            "" if weights.get(term, 1.0) == 1.0 else f"{weights[term]:g} × "
        )
        axis.plot(
            [],
            [],
            color=COLOURS[number % len(COLOURS)],
            lw=2,
            label=f"{factor}{term}",
        )
    axis.plot([], [], color=BASELINE, lw=1, label="encoder")
    across, down = zip(*places, strict=True)
    beyond = 0.5 - 0.2 * min(down)  # room for what bends to the right
    axis.set(
        xlim=(-1.3, max(across) + beyond),
        ylim=(min(down) - 0.5, 0.8),
        aspect="equal",
    )
    axis.axis("off")
    axis.figure.legend(loc="outside right center")
