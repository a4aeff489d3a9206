"""Every letter of the book can be read, on light and on dark."""

import re
from pathlib import Path

import pydata_sphinx_theme
import pytest

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "book" / "_static" / "mmssl.css"
THEME = (
    Path(pydata_sphinx_theme.__file__).parent
    / "theme/pydata_sphinx_theme/static/styles/pydata-sphinx-theme.css"
)
LEAST = 4.5  # WCAG 2.2, 1.4.3
TEXT = ("text-base", "text-muted")
GROUND = ("background", "surface", "border-muted")


def variables(mode):
    """Return the theme's colours of a mode: {name: value}."""
    style = THEME.read_text(encoding="utf-8")
    blocks = re.findall(rf"html\[data-theme={mode}\]{{([^}}]*)}}", style)
    pairs = re.findall(r"--pst-color-([\w-]+):([^;}]+)", ";".join(blocks))
    return dict(pairs)


def luminance(colour):
    """Return the relative luminance of #rgb or #rrggbb (WCAG)."""
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    linear = []
    for place in (0, 2, 4):
        value = int(digits[place : place + 2], 16) / 255
        if value <= 0.04045:
            linear.append(value / 12.92)
        else:
            linear.append(((value + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Return the contrast of two colours, 1 to 21."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def over(colour, ground):
    """Return rgba() over a ground as #rrggbb; other colours as they are."""
    parts = re.match(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", colour)
    if not parts:
        return colour
    *upper, alpha = map(float, parts.groups())
    if len(ground) == 4:
        ground = "#" + "".join(2 * digit for digit in ground[1:])
    mixed = "#"
    for place, value in zip((1, 3, 5), upper, strict=True):
        below = int(ground[place : place + 2], 16)
        mixed += f"{round(alpha * value + (1 - alpha) * below):02x}"
    return mixed


def test_the_measure_is_that_of_the_standard():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_is_legible_on_every_ground(mode):
    colours = variables(mode)
    for ground in GROUND:
        below = over(colours[ground], colours["background"])
        for text in TEXT:
            if (text, ground) == ("text-muted", "border-muted"):
                continue  # no style has the one on the other
            assert contrast(colours[text], below) >= LEAST, (text, ground)


def test_the_style_has_no_colour_of_its_own():
    style = re.sub(r"/\*.*?\*/", "", STYLE.read_text(), flags=re.S)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", style)
    used = set(re.findall(r"var\(--pst-color-([\w-]+)\)", style))
    assert used <= {*TEXT, *GROUND, "border", "primary"}
    assert "opacity" not in style
