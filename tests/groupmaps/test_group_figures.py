"""Figures of group maps: left stays left, and no map without its report."""

import numpy as np
import pytest
from matplotlib.image import AxesImage
from planted_ball import SHAPE, planted

from mmssl import plotting
from mmssl.ledger.artefacts import (
    CHECKS,
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
        one_sided.mask * 1.0,
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
    figure = plotting.group_maps({"line": line}, mask * 1.0, centred)
    text = "".join(t.get_text() for t in figure.texts)
    assert "nothing survives" in text
    assert "checks: 3 of 4; no: deletion" in text


def test_the_viewer_is_small_and_needs_nothing_from_elsewhere(one_sided):
    rbc, affine = one_sided.rbc, one_sided.affine
    background = np.random.default_rng(0).random(SHAPE) * one_sided.mask
    report = _report(rbc)
    view = plotting.interactive_map(
        rbc, one_sided.p, report, affine, background, affine, "title"
    )
    page = view.get_standalone()
    assert f"title: |RBC| above {np.abs(rbc).max() / 2:.2f}" in page
    assert str(report) in page
    assert len(page) < 1_000_000
    assert "<script src" not in page
    assert 'rel="stylesheet" href="http' not in page


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
    background, affine = one_sided.mask * 1.0, one_sided.affine
    with pytest.raises(ValueError, match=reason):
        plotting.group_maps({"line": {"a": given}}, background, affine)
    with pytest.raises(ValueError, match=reason):
        plotting.interactive_map(*given, affine, background, affine)


def test_a_map_given_without_a_report_is_refused(one_sided):
    pair = one_sided.rbc, one_sided.p
    with pytest.raises(ValueError, match="line, a: NoneType for a report"):
        plotting.group_maps(
            {"line": {"a": pair}}, one_sided.mask * 1.0, one_sided.affine
        )
