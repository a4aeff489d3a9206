"""The graphs of objectives, for a reader of the book who asks an arrow what it
brings together and what was learned of it.

A script beside the book (``book/_static/graphs.js``) draws the chosen graph as
SVG, with the arrows of the page's own figure.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.patches import ConnectionStyle

from mmssl.plotting.look import BASELINE, colour
from mmssl.plotting.objective_graph import (
    Edge,
    Node,
    Place,
    amount,
    arrows,
    curvature,
    node_places,
    shades_of_graphs,
)
from mmssl.plotting.script_figure import ScriptFigure

UNIT = 100
"""Steps of the script's picture between two places of a graph."""

_RADIUS = 0.3
"""Of a node with the room around it, where arrows begin and end."""

_SYMBOLS = {
    "x": "x",
    "c": "c",
    "z": "z",
    "reconstruction": "x\N{COMBINING CIRCUMFLEX ACCENT}",
    "label": "y",
    "code": "q",
}
_NAMES = {
    "x": "the image {symbol} of {m}",
    "c": "each place {symbol} of {m}",
    "z": "the whole {symbol} of {m}",
    "reconstruction": "the image {symbol} of {m}",
    "label": "the label {symbol}",
    "code": "the prototypes {symbol} of {m}",
}
_ALIKE = {"c", "z"}
"""Kinds that are brought together; others are predicted."""


class InteractiveGraphs(ScriptFigure):
    """Objectives, one at a time, whose terms and arrows say what they are.

    Parameters
    ----------
    graphs : {model: graph}
        As of `mmssl.plotting.objective_graph.objective_gallery`.
    modalities : sequence of str
        Rows, from above.
    learned : {model: {term: float}}, optional
        Of `mmssl.evaluate.run_histories.learned_above_chance`; without it
        nothing is said of it.
    nats : collection of str, optional
        Terms whose loss is in nats.

    Raises
    ------
    ValueError
        For a kind of node that has no place in a graph.
    """

    kind = "graph"

    def __init__(
        self,
        graphs: Mapping[str, Mapping[str, Sequence[Edge]]],
        modalities: Sequence[str],
        learned: Mapping[str, Mapping[str, float]] | None = None,
        nats: Collection[str] = (),
    ) -> None:
        shades = shades_of_graphs(graphs)
        shown = []
        for name, graph in graphs.items():
            drawn = _graph(graph, modalities)
            for term in drawn["terms"]:
                term["shade"] = shades[term["name"]]
                if learned is not None:
                    gain = learned.get(name, {}).get(term["name"])
                    unit = " nats" if term["name"] in nats else ""
                    term["gain"] = _told(gain, unit)
            shown.append({"name": name, **drawn})
        rows = {m: colour(m) for m in modalities}
        super().__init__({"grey": BASELINE, "rows": rows, "graphs": shown})


def _told(gain: float | None, unit: str) -> str:
    """What was learned of a term, in words."""
    if gain is None:
        return "no chance level"
    side = "above" if gain >= 0 else "below"
    return f"{amount(abs(gain))}{unit} {side} chance"


def _graph(
    graph: Mapping[str, Sequence[Edge]], modalities: Sequence[str]
) -> dict[str, Any]:
    """Nodes, arrows of the encoders, and of each term with what they say."""
    places = node_places(graph, modalities)
    nodes = []
    for (kind, m), place in places.items():
        nodes.append([_SYMBOLS[kind], m, *_point(place)])
    encoders = []
    for m in modalities:
        for ends in (("x", "c"), ("c", "z")):
            first, last = (places[kind, m] for kind in ends)
            encoders.append(_curve(first, last, 0.0))
    terms = []
    for order, (term, edges) in enumerate(graph.items()):
        own = []
        for start, end, style in arrows(edges):
            first, last = places[start], places[end]
            bend = curvature(start[0], first, last, order)
            has_two = style.startswith("<")
            text = _meaning(start, end, has_two)
            curve = _curve(first, last, bend)
            own.append({"curve": curve, "both": has_two, "text": text})
        terms.append({"name": term, "edges": own})
    return {"nodes": nodes, "encoders": encoders, "terms": terms}


def _meaning(start: Node, end: Node, has_two: bool) -> str:
    """What an arrow brings together, or what is made of what."""
    first, last = _named(start), _named(end)
    if {start[0], end[0]} <= _ALIKE:
        ways = ", each in turn asked for the other" if has_two else ""
        return f"{first} with {last}{ways}"
    return f"{last} from {first}"


def _named(node: Node) -> str:
    kind, m = node
    return _NAMES[kind].format(symbol=_SYMBOLS[kind], m=m)


def _curve(start: Place, end: Place, bend: float) -> list[int]:
    """The three points of an arc from the rim of a node to that of another."""
    arc = ConnectionStyle("arc3", rad=bend)
    path = arc(start, end, shrinkA=_RADIUS, shrinkB=_RADIUS)
    return [step for point in path.vertices for step in _point(point)]


def _point(place: Place) -> list[int]:
    """In steps to the right and down."""
    return [round(UNIT * place[0]), round(-UNIT * place[1])]
