"""A panel of robustness, whose values are read off and whose models are
hidden.
"""

import chromium
import pytest

CONTENT = {
    "measure": "ROC-AUC",
    "chance": 0.5,
    "range": [0.4, 1.0],
    "ticks": [[0.5, "0.5"], [1.0, "1"]],
    "models": [
        {"name": "<b>RR", "shade": "#332288", "dash": ""},
        {"name": "random", "shade": "#7f7f7f", "dash": "8 4"},
    ],
    "undistorted": {"T1": [[[910]], [[620]]], "fALFF": [[[700]], [[None]]]},
    "panels": [
        {
            "name": "affine: degrees (°)",
            "parameter": "degrees",
            "unit": "°",
            "values": [-90, 0, 90],
            "told": ["−90", "0", "90"],
            "ticks": [[-50, "−50"], [50, "50"]],
            "collapsed": [],
            "curves": {
                "T1": [
                    [[500, 900, 510], [450, 850, 460], [600, 950, 610]],
                    [[550, 600, None], [500, 550, None], [600, 650, None]],
                ],
                "fALFF": [[[800] * 3] * 3, [[700] * 3] * 3],
            },
        },
        {
            "name": "blur: std (mm)",
            "parameter": "std",
            "unit": "mm",
            "values": [1, 2, 4],
            "told": ["1", "2", "4"],
            "ticks": [[2, "2"]],
            "collapsed": [[3, 4]],
            "curves": {
                "T1": [[[710, 715, 720]] * 3, [[710, None, 720]] * 3],
                "fALFF": [[[810, 815, 820]] * 3] * 2,
            },
        },
    ],
}


@pytest.fixture
def page(filled):
    return filled("curve", CONTENT)


def _told(page):
    return page.locator(".viewer-place").inner_text()


def _slide(page, value):
    page.locator("input").evaluate(
        "(slider, value) => { slider.value = value; "
        "slider.dispatchEvent(new Event('input')); }",
        value,
    )


def test_names_tell_the_values_where_the_slider_stands(page):
    buttons = page.locator(".curve-value")
    _slide(page, 1)
    assert buttons.all_inner_texts() == [
        "0.90 [0.85, 0.95]",
        "0.60 [0.55, 0.65]",
    ]
    assert _told(page).startswith("degrees 0°: point at")
    _slide(page, 2)
    assert buttons.last.inner_text() == "none"
    slider = page.get_by_role("slider", name="value")
    assert slider.get_attribute("aria-valuetext") == "90°"
    page.get_by_label("distortion").select_option("blur: std (mm)")
    assert "std 4 mm (an image of a few voxels)" in _told(page)
    assert page.locator("svg[role=img] rect").count() == 1
    page.get_by_label("modality").select_option("fALFF")
    assert buttons.first.inner_text() == "0.82 [0.82, 0.82]"


def test_the_mouse_reads_the_nearest_curve(page):
    svg = page.locator("svg[role=img]")
    box = svg.bounding_box()
    middle = page.locator(".curve-line").first.bounding_box()
    # the peak of the first curve is its value at 0 degrees
    page.mouse.move(middle["x"] + middle["width"] / 2, middle["y"] + 3)
    words = "degrees 0°: <b>RR has ROC-AUC 0.90 [0.85, 0.95], 0.91 undistorted"
    assert words in _told(page)
    # nothing lies near
    page.mouse.move(middle["x"] + middle["width"] / 2, box["y"] + 300)
    assert "point at a curve" in _told(page)


def test_a_name_hides_its_curve_and_shows_it(page):
    lines = page.locator(".curve-line")
    first = page.get_by_role("button", name="<b>RR")
    assert lines.count() == 2
    first.click()
    assert first.get_attribute("aria-pressed") == "false"
    assert lines.count() == 1
    assert lines.first.get_attribute("stroke") == "#7f7f7f"
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-pressed") == "true"
    assert lines.count() == 2
    page.get_by_role("button", name="hide all").click()
    assert lines.count() == 0
    page.get_by_role("button", name="show all").click()
    assert lines.count() == 2


def test_a_name_in_focus_brings_out_its_curve(page):
    page.get_by_role("button", name="random").focus()
    brought_out = page.locator(".curve-line[stroke-width='4']")
    assert brought_out.get_attribute("stroke") == "#7f7f7f"
    assert "random has ROC-AUC" in _told(page)
    page.get_by_role("button", name="show all").focus()
    assert brought_out.count() == 0


def test_no_name_moves_away_below_the_mouse(filled):
    name = "an encoder of a long name that takes one more line of a telephone"
    models = [{**model, "name": name} for model in CONTENT["models"]]
    content = {**CONTENT, "models": models}
    page = filled("curve", content, viewport=chromium.NARROW)
    page.get_by_label("distortion").select_option("blur: std (mm)")
    _slide(page, 2)
    button = page.get_by_role("button", name=name).last
    before = button.bounding_box()
    button.hover()
    assert f"{name} has" in _told(page)
    assert button.bounding_box() == before
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_a_missing_value_leaves_a_gap(page):
    page.get_by_label("distortion").select_option("blur: std (mm)")
    lines = page.locator(".curve-line").all()
    strokes = [line.get_attribute("d") for line in lines]
    assert [d.count("M") for d in strokes] == [1, 2]
    assert [d.count("L") for d in strokes] == [2, 0]
    assert page.locator(".curve-band").count() == 1


def test_without_scripts_nothing_is_there(filled):
    page = filled("curve", CONTENT, java_script_enabled=False)
    assert page.locator("svg, button, select").count() == 0


def test_on_paper_it_is_left_to_the_figures(page):
    page.emulate_media(media="print")
    assert not page.locator(".curve-viewer").is_visible()


def test_panels_of_the_book_are_read_off(browser, site):
    page = browser.new_page(viewport=chromium.NARROW)
    said, failed = chromium.listen(page, site.address)
    (file,) = site.folder.glob("executed/*/08_robustness.html")
    page.goto(site.address + file.relative_to(site.folder).as_posix())
    figure = page.locator(".curve-viewer")
    lines = figure.locator(".curve-line")
    count = lines.count()
    assert count > 1
    button = figure.locator("button").first
    button.click()
    assert lines.count() == count - 1
    button.click()
    assert lines.count() == count
    values = figure.locator(".curve-value")
    before = values.all_inner_texts()
    figure.locator("select").first.select_option("9")
    assert values.all_inner_texts() != before
    assert (said, failed) == ([], [])
    page.close()
