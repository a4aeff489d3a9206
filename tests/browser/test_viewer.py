"""The maps of the brain that a reader moves through, in a browser."""

import json
from types import SimpleNamespace

import chromium
import pytest

PAGES = ("06_saliency", "07_group_differences")
PATIENCE = 120_000
"""Milliseconds: WebGL is computed by processors that others use, too."""

READY = '.brain-viewer[data-state="ready"]'
MOVE = """(slider, value) => {
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
}"""


def _of(site, name):
    """Return the address of a chapter below that of its site."""
    (file,) = site.folder.glob(f"executed/*/{name}.html")
    return file.relative_to(site.folder).as_posix()


@pytest.fixture(scope="module", params=PAGES)
def opened(request, browser, site):
    """Give a page whose viewer is ready, and what it said and asked for."""
    page = browser.new_page(viewport=chromium.WIDE)
    said, failed = chromium.listen(page, site.address)
    page.goto(site.address + _of(site, request.param))
    figure = page.locator(".brain-viewer").first
    figure.scroll_into_view_if_needed()
    page.wait_for_selector(READY, timeout=PATIENCE)
    yield SimpleNamespace(page=page, figure=figure, said=said, failed=failed)
    page.close()


def _choose(opened, number):
    opened.figure.locator("select").select_option(str(number))
    opened.page.wait_for_selector(READY, timeout=PATIENCE)


def _of_two_modalities(opened):
    """Return the number of the first choice with two maps."""
    content = json.loads(opened.figure.get_attribute("data-viewer"))
    volumes = [choice["volumes"] for choice in content["choices"]]
    return [len(shown) for shown in volumes].index(2)


def _drawn(opened):
    """Return a picture of the first canvas that is shown."""
    # two frames, so that what was asked for is drawn
    wait = "new Promise(r => requestAnimationFrame(() => setTimeout(r, 50)))"
    opened.page.evaluate(wait)
    return opened.figure.locator("canvas:visible").first.screenshot()


def test_it_is_drawn_without_a_complaint(opened):
    assert (opened.said, opened.failed) == ([], [])
    assert opened.figure.locator(".viewer-note").count() == 0


def test_the_slider_changes_what_is_drawn(opened):
    slider = opened.figure.locator("input[type=range]")
    limit = float(slider.get_attribute("max"))
    drawn = []
    for share in (0.2, 0.99, 0.2):
        slider.evaluate(MOVE, share * limit)
        drawn.append(_drawn(opened))
        shown = opened.figure.locator("output").inner_text()
        assert float(shown) == pytest.approx(share * limit, abs=0.006)
    assert drawn[0] != drawn[1]
    assert drawn[0] == drawn[2]


def test_the_cross_moves_in_both_and_names_the_place(opened):
    place = opened.figure.locator(".viewer-place")
    _choose(opened, _of_two_modalities(opened))
    before = place.inner_text()
    canvases = opened.figure.locator("canvas:visible")
    assert canvases.count() == 2
    second = canvases.nth(1).screenshot()
    box = canvases.first.bounding_box()
    x, y = box["x"] + 0.12 * box["width"], box["y"] + 0.4 * box["height"]
    opened.page.mouse.click(x, y)
    opened.page.wait_for_function(
        "([p, text]) => p.textContent !== text",
        arg=[place.element_handle(), before],
    )
    told = place.inner_text()
    assert "T1 " in told and "fALFF " in told
    assert "mm away" in told or "no named place" in told
    _drawn(opened)
    assert canvases.nth(1).screenshot() != second


def test_every_map_can_be_chosen(opened):
    menu = opened.figure.locator("select")
    for number in range(menu.locator("option").count()):
        _choose(opened, number)
        assert opened.figure.locator("canvas:visible").count() >= 1
    assert opened.figure.locator(".viewer-note").count() == 0


def test_from_a_disk_it_says_why_it_is_not_drawn(browser, site):
    page = browser.new_page(viewport=chromium.WIDE)
    said, _ = chromium.listen(page, "file://")
    page.goto((site.folder / _of(site, PAGES[1])).as_uri())
    figure = page.locator(".brain-viewer").first
    assert "python -m http.server" in figure.inner_text()
    assert figure.locator("canvas").count() == 0 and said == []
    page.close()


def test_without_its_maps_it_says_why_it_is_not_drawn(browser, site):
    page = browser.new_page(viewport=chromium.WIDE)
    page.route("**/maps/*.nii.gz", lambda route: route.abort())
    page.goto(site.address + _of(site, PAGES[1]))
    figure = page.locator(".brain-viewer").first
    figure.scroll_into_view_if_needed()
    figure.locator(".viewer-note").wait_for()
    assert "could not be read" in figure.inner_text()
    assert figure.locator("canvas").count() == 0
    page.close()
