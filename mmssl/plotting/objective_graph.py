"""The figures of objectives: which representations their terms bring
together.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mmssl.plotting.look import (
    BASELINE,
    FORMULA,
    canvas,
    colour,
    term_colours,
)

Node = tuple[str, str]  # kind, modality
Edge = tuple[Node, Node]
Place = tuple[float, float]
COLUMNS = {
    "x": 0.0,
    "c": 1.6,
    "z": 3.2,
    "reconstruction": 4.8,
    "label": 6.0,
    "code": 7.2,
}
SYMBOLS = {
    "x": "x",
    "c": "c",
    "z": "z",
    "reconstruction": r"\hat{x}",
    "label": "y",
    "code": "q",
}
ROW = 1.5
_NAMES = 0.75  # to the left of the images, for modalities


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
        reconstruction, label, code.
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
    figure, ((axis,),) = canvas(1, 1, 7.0, 0.7 + 1.15 * len(modalities))
    shades = term_colours(graph)
    places = _draw_graph(axis, graph, modalities, shades)
    for m in modalities:
        _, height = places["x", m]
        axis.annotate(
            m, (-0.5, height), ha="right", va="center", color=colour(m)
        )
    _legend(axis, shades, weights or {})
    _set_limits(axis, places.values())
    return figure


def objective_gallery(
    graphs: Mapping[str, Mapping[str, Sequence[Edge]]],
    modalities: Sequence[str],
    learned: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw the graphs of several objectives, each with what its terms learned.

    Parameters
    ----------
    graphs : {model: graph}
        As of `objective_graph`.
    modalities : sequence of str
        Rows, from above.
    learned : {model: {term: float}}
        Of `mmssl.evaluate.run_histories.learned_above_chance`.

    Returns
    -------
    Figure
        Three graphs a line, the modalities at the left of each. A term has
        one colour in all of them, and below its graph stands by how much it
        lies above chance.
    """
    shades = shades_of_graphs(graphs)
    lines = -(-max(len(graph) for graph in graphs.values()) // 2)
    rows = -(-len(graphs) // 3)  # rounded up
    high = ROW * len(modalities) - 0.1 + 0.6 * lines
    width = _NAMES + max(COLUMNS.values()) + 0.4
    inches = 0.3 + 2.5 * high / width
    figure, axes = canvas(rows, 3, 7.8, rows * inches)
    for axis in axes.flat:
        axis.axis("off")
    bottom = -ROW * (len(modalities) - 1)
    for axis, (name, graph) in zip(axes.flat, graphs.items(), strict=False):
        places = _draw_graph(axis, graph, modalities, shades, 0.5)
        for m in modalities:
            axis.annotate(
                m,
                (-_NAMES, places["x", m][1]),
                rotation=90,
                ha="center",
                va="center",
                color=colour(m),
                fontsize=7.5,
            )
        own = {term: shades[term] for term in graph}
        _write_gains(axis, own, learned.get(name, {}), bottom - 0.9)
        axis.set_title(name, fontsize=9, loc="left")
        axis.set(
            xlim=(-_NAMES - 0.4, width - _NAMES - 0.4),
            ylim=(0.8 - high, 0.6),
            aspect="equal",
        )
    return figure


def term_graphs(
    graphs: Mapping[str, Mapping[str, Sequence[Edge]]],
    modalities: Sequence[str],
) -> Figure:
    """Draw the graph of each term by itself, side by side.

    Parameters
    ----------
    graphs : {name: graph}
        As of `objective_graph`; kinds x, c and z.
    modalities : sequence of str
        Rows, from above.

    Returns
    -------
    Figure
        Two graphs a line, each below its name and in the colours of its
        terms.
    """
    rows = -(-len(graphs) // 2)  # rounded up
    figure, axes = canvas(rows, 2, 4.8, 1.55 * rows)
    for axis in axes.flat:
        axis.axis("off")
    shades = shades_of_graphs(graphs)
    for axis, (name, graph) in zip(axes.flat, graphs.items(), strict=False):
        places = _draw_graph(axis, graph, modalities, shades, 0.75)
        for m in modalities:
            _, height = places["x", m]
            axis.annotate(
                m,
                (-0.4, height),
                ha="right",
                va="center",
                color=colour(m),
                fontsize=9,
            )
        _set_limits(axis, places.values())
        axis.set_title(name)
    return figure


def shades_of_graphs(
    graphs: Mapping[str, Mapping[str, Sequence[Edge]]],
) -> dict[str, str]:
    """Return the colour of each term of several graphs."""
    return term_colours(term for graph in graphs.values() for term in graph)


def amount(value: float) -> str:
    """Return what was learned of a term, large numbers without decimals."""
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def node_places(
    graph: Mapping[str, Sequence[Edge]], modalities: Sequence[str]
) -> dict[Node, Place]:
    """Return where each node lies: a column a kind, a row a modality.

    Parameters
    ----------
    graph : mapping
        Term -> its edges, as of `objective_graph`.
    modalities : sequence of str
        Rows, from above.

    Raises
    ------
    ValueError
        For a kind that has no place.
    """
    rows = {m: -ROW * i for i, m in enumerate(modalities)}
    nodes = [(kind, m) for m in rows for kind in ("x", "c", "z")]
    for edges in graph.values():
        for edge in edges:
            nodes += edge
    if unknown := {kind for kind, _ in nodes} - set(COLUMNS):
        raise ValueError(
            f"graph: nodes of kind {sorted(unknown)}, "
            f"expected of {sorted(COLUMNS)}"
        )
    return {(kind, m): (COLUMNS[kind], rows[m]) for kind, m in nodes}


def arrows(edges: Iterable[Edge]) -> list[tuple[Node, Node, str]]:
    """Return each edge once, with matplotlib's name of its arrow: of two heads
    where its reverse is there too.
    """
    edges = list(dict.fromkeys(edges))
    found = []
    for start, end in edges:
        if (end, start) not in edges:
            found.append((start, end, "-|>"))
        elif edges.index((start, end)) < edges.index((end, start)):
            found.append((start, end, "<|-|>"))
    return found


def curvature(kind: str, start: Place, end: Place, number: int) -> float:
    """Return how the arrow of a term bends: around nodes that lie between, and
    apart from the other terms' edges.

    Parameters
    ----------
    kind : str
        Of the node where it starts.
    start, end : (float, float)
    number : int
        Of the term in its graph.

    Returns
    -------
    float
        ``rad`` of matplotlib's connection style ``arc3``.
    """
    same_column, same_row = start[0] == end[0], start[1] == end[1]
    if same_column:  # c to the left, z to the right, more over more rows
        upwards = end[1] > start[1]
        side = 1 if upwards == (kind != "c") else -1
        rows = abs(start[1] - end[1]) / ROW
        return side * (0.15 * rows + 0.15 * (number % 3))
    if same_row:  # above the encoder's own arrow
        return -0.3 - 0.08 * number
    return 0.08


def _write_gains(
    axis: Axes,
    shades: Mapping[str, str],
    gains: Mapping[str, float],
    top: float,
) -> None:
    """Each term with its gain behind a mark in its colour, two a line."""
    for place, (term, shade) in enumerate(shades.items()):
        line, column = divmod(place, 2)
        x, y = -0.3 + 3.6 * column, top - 0.6 * line
        axis.plot([x, x + 0.3], [y, y], color=shade, lw=3)
        told = "no chance level"
        if term in gains:
            sign = "−" if gains[term] < 0 else "+"
            told = sign + amount(abs(gains[term]))
        axis.text(x + 0.45, y, f"{term} {told}", fontsize=8, va="center")


def _draw_graph(
    axis: Axes,
    graph: Mapping[str, Sequence[Edge]],
    modalities: Sequence[str],
    shades: Mapping[str, str],
    scale: float = 1.0,
) -> dict[Node, Place]:
    """Draw nodes and edges, a term in its colour; where each node lies."""
    places = node_places(graph, modalities)
    for m in modalities:
        x, c, z = (places[kind, m] for kind in ("x", "c", "z"))
        _connect(axis, x, c, BASELINE, scale=scale)
        _connect(axis, c, z, BASELINE, scale=scale)
    for order, (term, edges) in enumerate(graph.items()):
        line = shades[term]
        for start, end, style in arrows(edges):
            first, last = places[start], places[end]
            bend = curvature(start[0], first, last, order)
            _connect(axis, first, last, line, bend, style, 2.0, scale)
    for node, place in places.items():
        _draw_node(axis, node, place, scale)
    return places


def _connect(
    axis: Axes,
    start: Place,
    end: Place,
    line: str,
    bend: float = 0.0,
    style: str = "-|>",
    width: float = 1.0,
    scale: float = 1.0,
) -> None:
    """Draw an arrow between two nodes."""
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle=style,
        mutation_scale=11 * scale,
        color=line,
        lw=width * max(scale, 0.7),
        connectionstyle=f"arc3,rad={bend}",
        shrinkA=15 * scale,
        shrinkB=15 * scale,
        zorder=2,
    )
    axis.add_patch(arrow)


def _draw_node(axis: Axes, node: Node, place: Place, scale: float) -> None:
    """Draw a circle with the symbol of the node's kind."""
    kind, modality = node
    axis.plot(
        *place,
        "o",
        ms=27 * scale,
        mfc="white",
        mec=colour(modality),
        mew=1.8 * scale,
        zorder=3,
    )
    axis.annotate(
        f"${SYMBOLS[kind]}$",
        place,
        ha="center",
        va="center",
        fontsize=13 * max(scale, 0.6),
        zorder=4,
        gid=FORMULA,
    )


def _legend(
    axis: Axes, shades: Mapping[str, str], weights: Mapping[str, float]
) -> None:
    """Name each term with its weight, and the encoder."""
    for term, line in shades.items():
        weight = weights.get(term, 1.0)
        name = term if weight == 1.0 else f"{weight:g} × {term}"
        axis.plot([], [], color=line, lw=2, label=name)
    axis.plot([], [], color=BASELINE, lw=1, label="encoder")
    axis.figure.legend(loc="outside right center")


def _set_limits(axis: Axes, places: Collection[Place]) -> None:
    """Limits with room for the names and the bends, equal sides, no axes."""
    right = max(x for x, _ in places)
    bottom = min(y for _, y in places)
    room = 0.5 - 0.2 * bottom  # for what bends to the right
    axis.set(
        xlim=(-1.3, right + room),
        ylim=(bottom - 0.5, 0.8),
        aspect="equal",
    )
    axis.axis("off")
