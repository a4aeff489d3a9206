"""Figures of group maps: left stays left, and no map without its report."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import AxesImage
from planted_ball import SHAPE, planted

from mmssl import plotting
from mmssl.ledger.artefacts import (
    CHECKS,
    POSITIVE_CONTROL,
    CheckResult,
    SanityReport,
    map_hash,
)


def _report(rbc):
    """A report of this map, which fails the last check."""
    results = dict.fromkeys(CHECKS, CheckResult("yes", ""))
    results["deletion"] = CheckResult("no", "")
    return SanityReport(map_hash(rbc), results)


def _axial_slice(figure):
    for axes in figure.axes:
        texts = [text.get_text() for text in axes.texts]
        if any(text.startswith("z=") for text in texts):
            return axes
    raise AssertionError("no axial slice is drawn")


def test_left_stays_left_in_the_figures_array(one_sided):
    """The array that is drawn, placed by the extent that is drawn, peaks where
    the ball lies.
    """
    rbc, ball = one_sided.rbc, one_sided.ball
    figure = plotting.group_maps(
        {"line": {"column": (rbc, one_sided.p, _report(rbc))}},
        one_sided.affine,
        {"line": ball},
    )
    axial = _axial_slice(figure)
    for image in axial.images:
        if isinstance(image, AxesImage) and image.cmap.name == "RdBu_r":
            drawn = image
    array = np.ma.filled(np.abs(drawn.get_array()), 0)
    left, right, bottom, top = drawn.get_extent()
    row, column = np.unravel_index(array.argmax(), array.shape)
    if drawn.origin != "lower":
        row = array.shape[0] - 1 - row
    x = left + (column + 0.5) * (right - left) / array.shape[1]
    y = bottom + (row + 0.5) * (top - bottom) / array.shape[0]
    assert np.sign(x) == one_sided.side
    # within the ball's size
    assert np.linalg.norm((x, y) - one_sided.point[:2]) < 7
    letters = {t.get_text(): t.get_window_extent().x0 for t in axial.texts}
    assert letters["L"] < letters["R"]
    assert axial.get_xlim()[0] < axial.get_xlim()[1]


def test_the_title_says_when_nothing_survives(rng, centred):
    mask, *_ = planted(centred, 1)
    rbc = rng.uniform(-0.2, 0.2, SHAPE) * mask
    line = {"column": (rbc, np.ones(SHAPE), _report(rbc))}
    figure = plotting.group_maps({"line": line}, centred)
    text = "".join(t.get_text() for t in figure.texts)
    assert "nothing survives" in text
    assert "checks: 3 of 4; no: deletion" in text


def test_only_a_map_of_groups_is_called_a_positive_control(rng, centred):
    mask, *_ = planted(centred, 1)
    values = rng.uniform(-0.2, 0.2, SHAPE) * mask
    report = SanityReport(map_hash(values), {}, POSITIVE_CONTROL)
    line = {"column": (values, np.ones(SHAPE), report)}
    for effect, called in (("RBC", True), ("ρ", False)):
        figure = plotting.group_maps({"line": line}, centred, effect=effect)
        text = "".join(t.get_text() for t in figure.texts)
        assert ("positive control" in text) == called
        assert "no encoder" in text
        key = "voxels", "T1", "voxels"
        viewer = plotting.interactive_maps(
            {key: line["column"][:2]}, {key: report}, centred, key, effect
        )
        assert ("positive control" in viewer._repr_html_()) == called


class _Figure(HTMLParser):
    """Collects what the tags of a viewer say."""

    def __init__(self, viewer):
        super().__init__()
        self.said = {}
        self.feed(viewer._repr_html_())

    def handle_starttag(self, tag, attributes):
        self.said[tag] = dict(attributes)


def test_the_viewer_names_the_files(one_sided):
    rbc, p, affine = one_sided.rbc, one_sided.p, one_sided.affine
    maps, reports = {}, {}
    for key in (
        ("voxels", "T1", "voxels"),
        ("random encoder", "T1", "negative"),
        ("A <b>", "T1", "positive"),
        ("A <b>", "fALFF", "positive"),
    ):
        maps[key] = rbc, p
        reports[key] = _report(rbc)
    first = "A <b>", "T1", "positive"
    viewer = plotting.interactive_maps(maps, reports, affine, first)
    said = _Figure(viewer).said
    assert set(said) == {"div"}
    content = json.loads(said["div"]["data-viewer"])
    names = [choice["name"] for choice in content["choices"]]
    assert names == [
        "A <b>, positive β",
        "voxels",
        "random encoder, negative β",
    ]
    volumes = content["choices"][0]["volumes"]
    assert list(volumes) == ["T1", "fALFF"]
    assert volumes["T1"]["file"] == "group_A-<b>_T1_positive_rbc.nii.gz"
    assert volumes["T1"]["limit"] == pytest.approx(np.abs(rbc).max(), abs=1e-4)
    place = np.linalg.inv(affine) @ [*volumes["T1"]["peak"], 1]
    peak = np.unravel_index(np.abs(rbc).argmax(), rbc.shape)
    np.testing.assert_allclose(place[:3], peak, atol=0.05)
    assert str(_report(rbc)) in volumes["T1"]["caption"]
    # no effect is white, and the two signs end in other colours
    assert content["above"][0] == content["below"][0]
    assert content["above"][-1] != content["below"][-1]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("no p", "shown with its correction"),
        ("p of another shape", "shown with its correction"),
        ("p without values", "above 0"),
        ("no report", "what the sanity checks found"),
        ("a text for a report", "what the sanity checks found"),
        ("another map", "is of another map"),
    ],
)
def test_no_map_is_drawn_without_its_correction_and_its_report(
    one_sided, spoilt, reason
):
    rbc, p, report = one_sided.rbc, one_sided.p, _report(one_sided.rbc)
    given = {
        "no p": (rbc, None, report),
        "p of another shape": (rbc, p[1:], report),
        "p without values": (rbc, np.full(SHAPE, np.nan), report),
        "no report": (rbc, p, None),
        "a text for a report": (rbc, p, "checks: 4 of 4"),
        "another map": (-rbc, p, report),
    }[spoilt]
    affine = one_sided.affine
    with pytest.raises(ValueError, match=reason):
        plotting.group_maps({"line": {"a": given}}, affine)
    with pytest.raises(ValueError, match=reason):
        rbc, p, report = given
        key = "a", "T1", "positive"
        plotting.interactive_maps({key: (rbc, p)}, {key: report}, affine, key)


def test_a_map_given_without_a_report_is_refused(one_sided):
    pair = one_sided.rbc, one_sided.p
    with pytest.raises(ValueError, match="line, a: NoneType for a report"):
        plotting.group_maps({"line": {"a": pair}}, one_sided.affine)
