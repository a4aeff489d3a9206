"""What a page holds of the graphs of objectives: arrows, and what they say."""

import html
import json
import re

import numpy as np
import pytest

from mmssl import objectives
from mmssl.plotting import InteractiveGraphs
from mmssl.plotting.look import TERM

MODALITIES = ("T1", "fALFF")


def _graph(name, modalities=MODALITIES):
    built = objectives.build(
        name, modalities, size=32, width=4, latent=8, in_channels={}
    )
    return built.graph


@pytest.fixture(scope="module")
def graphs():
    names = ("CR-RR", "RR-AE", "MMVAE")
    return {name: _graph(name) for name in names}


def _content(figure):
    text = figure._repr_html_()
    (content,) = re.fullmatch(
        '<div class="graph-viewer" data-viewer="([^"]*)"></div>', text
    ).groups()
    return json.loads(html.unescape(content))


def _term(content, model, name):
    (graph,) = (g for g in content["graphs"] if g["name"] == model)
    (term,) = (t for t in graph["terms"] if t["name"] == name)
    return term


def test_arrows_say_what_they_bring_together(graphs):
    content = _content(InteractiveGraphs(graphs, MODALITIES))
    told = {
        ("CR-RR", "CR"): [
            "each place c of T1 with the whole z of T1",
            "each place c of fALFF with the whole z of fALFF",
        ],
        ("CR-RR", "RR"): [
            "the whole z of fALFF with the whole z of T1, each in turn asked "
            "for the other"
        ],
        ("RR-AE", "AE"): [
            "the image x̂ of T1 from the whole z of T1",
            "the image x̂ of fALFF from the whole z of fALFF",
        ],
    }
    for (model, name), texts in told.items():
        edges = _term(content, model, name)["edges"]
        assert [edge["text"] for edge in edges] == texts
        assert {edge["both"] for edge in edges} == {name == "RR"}
    crossed = [e["text"] for e in _term(content, "MMVAE", "MMVAE")["edges"]]
    assert "the image x̂ of fALFF from the whole z of T1" in crossed
    assert len(set(crossed)) == 4


def test_arrows_end_at_the_rims_of_their_nodes(graphs):
    content = _content(InteractiveGraphs(graphs, MODALITIES))
    for graph in content["graphs"]:
        nodes = np.array([node[2:] for node in graph["nodes"]], float)
        curves = [e["curve"] for t in graph["terms"] for e in t["edges"]]
        for curve in [*graph["encoders"], *curves]:
            for end in (curve[:2], curve[4:]):
                away = np.hypot(*(nodes - end).T)
                assert away.min() == pytest.approx(30, abs=2)


def test_rows_go_down_and_what_follows_stands_at_the_right(graphs):
    content = _content(InteractiveGraphs(graphs, MODALITIES))
    places = {}
    for symbol, modality, x, y in content["graphs"][1]["nodes"]:
        places[symbol, modality] = (x, y)
    assert places["z", "T1"][1] < places["z", "fALFF"][1]
    assert [*"xcz", "x̂"] == sorted(
        [symbol for symbol, m in places if m == "T1"],
        key=lambda symbol: places[symbol, "T1"],
    )


def test_a_term_has_its_colour_and_what_it_learned(graphs):
    learned = {"CR-RR": {"CR": -0.031, "RR": 0.488}, "MMVAE": {"MMVAE": 1234}}
    content = _content(
        InteractiveGraphs(graphs, MODALITIES, learned, nats=("CR", "RR"))
    )
    told = {
        ("CR-RR", "CR"): "0.03 nats below chance",
        ("CR-RR", "RR"): "0.49 nats above chance",
        ("RR-AE", "RR"): "no chance level",
        ("MMVAE", "MMVAE"): "1,234 above chance",
    }
    for (model, name), words in told.items():
        assert _term(content, model, name)["gain"] == words
    shades = [_term(content, m, "RR")["shade"] for m in ("CR-RR", "RR-AE")]
    assert shades == [TERM["RR"]] * 2
    # where nothing was trained yet, nothing is said of it
    content = _content(InteractiveGraphs(graphs, MODALITIES))
    assert "gain" not in _term(content, "CR-RR", "CR")


def test_a_kind_without_a_place_is_refused():
    graph = {"NEW": [(("w", "T1"), ("z", "T1"))]}
    with pytest.raises(ValueError, match=r"nodes of kind \['w'\]"):
        InteractiveGraphs({"NEW": graph}, ("T1",))


def test_names_cannot_leave_their_attribute(graphs):
    named = {'"><b>': graphs["CR-RR"]}
    text = InteractiveGraphs(named, MODALITIES)._repr_html_()
    assert "<b>" not in text and text.count('"') == 4
