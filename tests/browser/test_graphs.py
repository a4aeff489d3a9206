"""Graphs of objectives, whose arrows say what they are."""

import chromium
import pytest

PAGES = {"03_pretraining": False, "04_linear_evaluation": True}
"""{notebook: whether it says what was learned}."""


def _term(name, shade, *texts, **more):
    edges = []
    for number, text in enumerate(texts):
        curve = [130, 150 * number, 240, 150 * number, 290, 150 * number]
        edges.append({"curve": curve, "both": False, "text": text})
    return {"name": name, "shade": shade, "edges": edges} | more


ROWS = {"T1": "#0072b2", "fALFF": "#d55e00"}
NODES = [
    [symbol, modality, x, y]
    for modality, y in (("T1", 0), ("fALFF", 150))
    for symbol, x in (("x", 0), ("c", 160), ("z", 320))
]
CONTENT = {
    "grey": "#7f7f7f",
    "rows": ROWS,
    "graphs": [
        {
            "name": "CR-RR",
            "nodes": NODES,
            "encoders": [[30, 0, 80, 0, 130, 0]],
            "terms": [
                _term("CR", "#332288", "first", "<b>second", gain="0.03 nats"),
                _term("RR", "#882255", "third", gain="no chance level"),
            ],
        },
        {
            "name": "AE",
            "nodes": NODES,
            "encoders": [],
            "terms": [_term("AE", "#999933", "fourth")],
        },
    ],
}


@pytest.fixture
def page(filled):
    return filled("graph", CONTENT)


def _told(page):
    return page.locator(".viewer-place").inner_text()


def _bright(page):
    """Which arrows are not pale."""
    arrows = page.locator(".graph-arrow").all()
    return [float(a.get_attribute("opacity")) == 1 for a in arrows]


def test_an_arrow_under_the_mouse_says_what_it_is(page):
    assert _told(page).startswith("Point at")
    assert _bright(page) == [True] * 3
    page.locator(".graph-arrow path").nth(2).hover(force=True)
    assert _told(page) == "CR: <b>second; 0.03 nats."
    assert _bright(page) == [False, True, False]
    page.mouse.move(0, 0)
    assert _bright(page) == [True] * 3


def test_keys_go_from_arrow_to_arrow(page):
    page.locator("select").focus()
    told = []
    for _ in range(3):
        page.keyboard.press("Tab")
        told.append(_told(page))
    assert told == [
        "CR: first; 0.03 nats.",
        "CR: <b>second; 0.03 nats.",
        "RR: third; no chance level.",
    ]
    last = page.locator(".graph-arrow").last
    assert last.get_attribute("aria-label") == "RR: third"
    # not every browser leads keys to what only listens for them
    assert last.get_attribute("tabindex") == "0"


def test_a_term_that_is_pressed_stays_brought_out(page):
    button = page.get_by_role("button", name="CR 0.03 nats")
    button.click()
    page.mouse.move(0, 0)
    page.locator("select").focus()
    assert _bright(page) == [True, True, False]
    assert _told(page) == "CR: first; <b>second; 0.03 nats."
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    page.mouse.move(0, 0)
    page.locator("select").focus()
    assert _bright(page) == [True] * 3


def test_no_button_moves_away_below_the_mouse(filled):
    long = "what takes several lines of a telephone to say " * 4
    graph = CONTENT["graphs"][0]
    terms = [_term(name, "#332288", long) for name in ("CR", "XX", "CC")]
    only = {**CONTENT, "graphs": [{**graph, "terms": terms}]}
    page = filled("graph", only, viewport=chromium.NARROW)
    for name in ("CC", "CR", "XX"):
        button = page.get_by_role("button", name=name)
        before = button.bounding_box()
        button.hover()
        assert _told(page).startswith(name)
        assert button.bounding_box() == before
        button.click()
        assert button.get_attribute("aria-pressed") == "true"


def test_another_objective_has_its_own_arrows(page):
    page.locator("select").select_option("AE")
    assert page.locator(".graph-arrow").count() == 1
    page.locator(".graph-arrow").focus()
    assert _told(page) == "AE: fourth."
    label = page.locator("svg[role=group]").get_attribute("aria-label")
    assert label.startswith("graph of AE")


def test_one_objective_needs_no_menu(filled):
    only = {**CONTENT, "graphs": CONTENT["graphs"][:1]}
    page = filled("graph", only)
    assert page.locator("select").count() == 0
    assert page.locator(".graph-arrow").count() == 3


@pytest.mark.parametrize("name", PAGES)
def test_arrows_of_the_book_say_what_they_are(browser, site, name):
    page = browser.new_page(viewport=chromium.WIDE)
    said, failed = chromium.listen(page, site.address)
    (file,) = site.folder.glob(f"executed/*/{name}.html")
    page.goto(site.address + file.relative_to(site.folder).as_posix())
    figure = page.locator(".graph-viewer")
    told = set()
    for arrow in figure.locator(".graph-arrow").all():
        arrow.focus()
        told.add(figure.locator(".viewer-place").inner_text())
    assert len(told) > 1
    for text in told:
        assert " the whole z of " in text or " each place c of " in text
        assert ("chance" in text) == PAGES[name]
    assert (said, failed) == ([], [])
    page.close()
