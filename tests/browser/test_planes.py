"""People in the plane of a representation, recoloured by a menu."""

import pytest

CONTENT = {
    "planes": [
        {
            "model": model,
            "modality": "T1",
            "share": "40%",
            "points": points,
        }
        for model, points in (
            ("<b>RR", [[0, 0], [500, 1000], [1000, 200]]),
            ("CR", [[0, 1000], None, [1000, 0]]),
        )
    ],
    "colours": [
        {
            "name": "group",
            "shades": ["#009e73", "#cc79a7"],
            "words": ["HC", "AD"],
            "of": [0, 1, 0],
        },
        {
            "name": "age",
            "shades": ["#000000", "#ffffff", "#7f7f7f"],
            "ends": ["60", "90"],
            "of": [2, 0, 1],
        },
    ],
}


@pytest.fixture
def page(filled):
    return filled("plane", CONTENT)


def _circles(page):
    names = ("cx", "cy", "fill")
    circles = page.locator("svg circle").all()
    return [tuple(c.get_attribute(n) for n in names) for c in circles]


def test_the_first_plane_is_drawn_upwards(page):
    assert _circles(page) == [
        ("0", "1000", "#009e73"),
        ("500", "0", "#cc79a7"),
        ("1000", "800", "#009e73"),
    ]
    told = page.locator("svg").get_attribute("aria-label")
    assert told == "people in the plane of <b>RR on T1, coloured by group"
    assert "HC" in page.locator(".plane-legend").inner_text()


def test_menus_change_colour_and_representation(page):
    representation, colour = page.locator("label select").all()
    colour.select_option("age")
    shades = [fill for *_, fill in _circles(page)]
    assert shades == ["#7f7f7f", "#000000", "#ffffff"]
    words = page.locator(".plane-legend").inner_text()
    assert "60" in words and "90" in words and "HC" not in words
    representation.select_option("CR on T1")
    # who has no such image is not drawn
    assert _circles(page) == [
        ("0", "0", "#7f7f7f"),
        ("1000", "1000", "#ffffff"),
    ]
    assert "40%" in page.locator(".plane-legend").inner_text()
