"""The ledger as a page, and its figures."""

from html.parser import HTMLParser

import numpy as np
import pytest

from book.claims import rule
from book.claims.page import filterable_table
from book.claims.rule import UNRESOLVED
from mmssl import plotting
from mmssl.plotting.look import VERDICT


class _Page(HTMLParser):
    """Lines, menus and addresses of a page; every tag must be closed."""

    def __init__(self, text):
        super().__init__()
        self.lines, self.options, self.links = [], [], []
        self.open_tags = []
        self.feed(text)
        assert not self.open_tags

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        for name in ("src", "href"):
            if name in attributes:
                self.links.append(attributes[name])
        if tag not in ("input", "br"):
            self.open_tags.append(tag)
        if tag == "tr" and "data-verdict" in attributes:
            self.lines.append(attributes)
        if tag == "option":
            self.options.append(attributes)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag


def test_the_page_is_whole_escaped_small_and_offline(assessed):
    assessed = assessed.copy()
    assessed.loc[0, "claim"] = "a < b & <script>alert('x')</script>"
    text = filterable_table(assessed)
    page = _Page(text)
    assert len(page.lines) == len(assessed)
    assert not page.links and "http" not in text
    verdicts = [line["data-verdict"] for line in page.lines]
    assert verdicts == assessed["verdict"].tolist()
    assert "&lt;script&gt;alert" in text
    assert "alert('x')</script>" not in text
    assert len(text.encode()) < 1_000_000
    choices = 0
    for column in ("paper", "verdict", "kind", "evidence"):
        choices += assessed[column].replace("", np.nan).nunique()
    # each menu begins with "all"
    assert len(page.options) == 4 + choices


def test_every_unresolved_line_shows_what_could_have_been_seen(assessed):
    unresolved = assessed[assessed["verdict"] == UNRESOLVED]
    assert len(unresolved) and unresolved["detectable"].gt(0).all()
    text = filterable_table(unresolved)
    assert text.count("detectable: ") == len(unresolved)


def test_the_bars_of_the_figure_hold_every_claim(assessed):
    figure = plotting.claim_counts(assessed)
    is_tested = assessed["estimate"].notna()
    kinds = assessed.loc[is_tested, "evidence"].nunique()
    assert len(figure.axes) == 1 + kinds
    widths = []
    for axis in figure.axes:
        widths += [patch.get_width() for patch in axis.patches]
    assert sum(widths) == pytest.approx(len(assessed))


def test_the_figure_of_intervals_has_a_line_for_each_tested_claim(assessed):
    figure = plotting.claim_intervals(
        assessed, ("auc_contrast",), "difference"
    )
    is_asked = assessed["test"].str.startswith("auc_contrast")
    is_tested = assessed["estimate"].notna()
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == (is_asked & is_tested).sum()
    axis = figure.axes[0]
    left, right = axis.get_xlim()
    shown = assessed.set_index("id").loc[
        [label.get_text().split()[0] for label in labels]
    ]
    for claimed, band in zip(shown["claimed"], axis.patches, strict=True):
        ends = band.get_x(), band.get_x() + band.get_width()
        if claimed.startswith("above"):
            assert ends == pytest.approx((float(claimed.split()[1]), right))
        if claimed.startswith("below"):
            assert ends == pytest.approx((left, float(claimed.split()[1])))
    plotting.claim_intervals(
        assessed.iloc[:0], ("auc_contrast",), "difference"
    )


def test_the_figure_cuts_long_claims_at_a_word(assessed):
    figure = plotting.claim_intervals(
        assessed, ("auc_contrast",), "difference"
    )
    claims = assessed.set_index("id")["claim"]
    for label in figure.axes[0].get_yticklabels():
        lines = label.get_text().split("\n")
        assert len(lines) <= 2 and max(map(len, lines)) <= 52
        name, shown = " ".join(lines).split(maxsplit=1)
        words = claims[name].split()
        kept = shown.removesuffix(" …").split()
        assert kept == words[: len(kept)]
        if kept != words:
            assert shown.endswith(" …")
            # another word would have no room
            assert len(f"{lines[1]} {words[len(kept)]}") > 52


def test_a_long_claim_is_cut(assessed):
    long = assessed.assign(claim="word " * 40 + "end")
    figure = plotting.claim_intervals(long, ("auc_contrast",), "difference")
    labels = figure.axes[0].get_yticklabels()
    shown = [label.get_text() for label in labels]
    assert shown and all(text.endswith(" …") for text in shown)
    assert all(text.count("\n") == 1 for text in shown)


def test_every_number_of_claims_is_written_and_can_be_read(assessed):
    is_tested = assessed["estimate"].notna()
    evidence = assessed["evidence"].where(is_tested, "no answer")
    keys = [evidence, assessed["paper"], assessed["verdict"]]
    expected = assessed.groupby(keys).size()
    figure = plotting.claim_counts(assessed)
    written = []
    for axis in figure.axes:
        written += [int(text.get_text()) for text in axis.texts]
        for text in axis.texts:
            x, y = text.get_position()
            bars = []
            for bar in axis.patches:
                left = bar.get_x()
                if bar.get_width() and left < x < left + bar.get_width():
                    if abs(bar.get_y() + bar.get_height() / 2 - y) < 0.2:
                        bars.append(bar)
            if bars:
                (bar,) = bars
                brightness = np.mean(bar.get_facecolor()[:3])
                is_white = text.get_color() == "white"
                assert is_white == (brightness < 0.4)
            else:
                assert text.get_color() == "black"
    assert sorted(written) == sorted(expected)


def test_figures_know_every_verdict():
    assert tuple(VERDICT) == rule.VERDICTS
