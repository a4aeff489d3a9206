"""The book in a reader's browser, without a network: every page is whole,
quiet and readable.
"""

import chromium
import pytest
import yaml

PAGE = """<!doctype html><html lang="en"><title>A page</title><main>
<h1>A page</h1>{}</main></html>"""


@pytest.fixture(scope="module")
def visits(browser, site):
    """Give what every page did, ``{page: Visit}``."""
    found = {}
    for file in sorted(site.folder.rglob("*.html")):
        name = file.relative_to(site.folder).as_posix()
        # listings of the package's code differ in nothing but the code
        if not name.startswith(("_static", "_modules")):
            found[name] = chromium.visit(browser, site.address, name)
    return found


def _told(visits, field):
    """Return what the pages have to say, by page, without the silent ones."""
    found = {name: getattr(visit, field) for name, visit in visits.items()}
    return {name: told for name, told in found.items() if told}


def test_every_chapter_is_visited(site, visits):
    toc = yaml.safe_load((site.folder.parent / "_toc.yml").read_text())
    chapters = ["index"]
    for part in toc["parts"]:
        chapters += [chapter["file"] for chapter in part["chapters"]]
    assert len(chapters) > 15
    assert {f"{chapter}.html" for chapter in chapters} <= set(visits)


def test_no_page_complains(visits):
    assert _told(visits, "said") == {}


def test_no_request_fails_or_leaves_the_site(visits):
    assert _told(visits, "failed") == {}


def test_no_page_is_wider_than_its_window(visits):
    assert _told(visits, "overflows") == {}


def test_no_serious_barrier(visits):
    assert _told(visits, "barriers") == {}


def test_a_page_is_pictured_in_four_ways(browser, tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.html").write_text(PAGE.format("<p>Good.</p>"))
    with chromium.served(tmp_path) as address:
        chromium.visit(browser, address, "part/a.html", tmp_path / "seen")
    names = {file.name for file in (tmp_path / "seen").iterdir()}
    ways = ("1440-light", "1440-dark", "390-light", "390-dark")
    assert names == {f"part_a-{way}.png" for way in ways}


@pytest.mark.parametrize(
    "name", ["index", "methods", "simulations", "speed", "04", "10", "16"]
)
def test_figures_drawn_for_a_phone_fit_it(browser, site, name):
    if name.isdigit():
        (file,) = site.folder.glob(f"executed/*/{name}_*.html")
        name = file.relative_to(site.folder).with_suffix("").as_posix()
    page = browser.new_page(viewport=chromium.NARROW)
    page.goto(f"{site.address}{name}.html")
    boxes = page.locator("figure.narrow img")
    assert boxes.count()
    for box in boxes.all():
        place = box.bounding_box()
        right = place["x"] + place["width"]
        # letters of 9 points have 9 pixels then
        assert place["width"] >= 360
        assert right <= chromium.NARROW["width"]
    page.close()


def test_a_phone_is_told_of_figures_that_are_wider(browser, site):
    (file,) = site.folder.glob("executed/*/08_*.html")
    page = browser.new_page(viewport=chromium.NARROW)
    page.goto(f"{site.address}{file.relative_to(site.folder)}")
    told = page.eval_on_selector_all(
        "figure",
        """figures => figures.map(figure => [
            figure.scrollWidth > figure.clientWidth,
            getComputedStyle(figure, "::before").content.includes("swipe")
        ])""",
    )
    assert [True, True] in told
    for is_cut, is_told in told:
        assert is_cut == is_told
    page.close()


@pytest.mark.parametrize("name", ["published", "methods", "04"])
def test_tables_and_equations_that_are_cut_say_that_they_scroll(
    browser, site, name
):
    if name.isdigit():
        (file,) = site.folder.glob(f"executed/*/{name}_*.html")
        name = file.relative_to(site.folder).with_suffix("").as_posix()
    page = browser.new_page(viewport=chromium.NARROW)
    page.goto(f"{site.address}{name}.html")
    told = """() => [...document.querySelectorAll(
        ".cell_output > .output, .pst-scrollable-table-container, div.math"
    )].filter(box => box.checkVisibility()).map(box => {
        const inside = box.querySelector(":scope > mjx-container") || box;
        const before = getComputedStyle(box, "::before");
        return [
            inside.scrollWidth > inside.clientWidth + 2,
            before.content.includes("scroll")
        ];
    })"""
    agreed = f"({told})().every(([isCut, isTold]) => isCut === isTold)"
    # once fonts and equations have come
    page.wait_for_function(agreed)
    on_a_phone = page.evaluate(told).count([True, True])
    assert on_a_phone
    page.set_viewport_size(chromium.WIDE)
    page.wait_for_function(agreed)
    assert page.evaluate(told).count([True, True]) < on_a_phone
    page.close()


def test_search_finds_a_term(browser, site):
    page = browser.new_page(viewport=chromium.WIDE)
    page.goto(site.address)
    page.locator(".search-button__button:visible").first.click()
    field = page.locator("form.bd-search input:visible").first
    field.fill("saliency")
    field.press("Enter")
    # results come one after the other
    page.wait_for_selector(
        "#search-results ul.search li a[href*='06_saliency.html']"
    )
    page.close()


def test_dark_mode_switches(browser, site):
    page = browser.new_page(viewport=chromium.WIDE, color_scheme="light")
    page.goto(site.address)
    shade = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for _ in range(3):
        theme = page.evaluate("document.documentElement.dataset.theme")
        seen[theme] = page.evaluate(shade)
        page.locator(".theme-switch-button:visible").first.click()
    page.close()
    assert set(seen) == {"light", "dark"}
    assert seen["light"] != seen["dark"]


def test_what_a_page_does_wrong_is_seen(browser, tmp_path):
    wrong = {
        "said": "<script>console.error('so')</script>",
        "thrown": "<script>throw new Error('so')</script>",
        "missing": '<img src="none.png" alt="nothing">',
        "elsewhere": '<img src="http://example.org/a.png" alt="nothing">',
        "wide": '<p style="width: 500px">wide</p>',
        "pale": '<p style="color: #ccc; background: #fff">pale</p>',
        "nameless": '<img src="none.html">',
    }
    for name, body in wrong.items():
        (tmp_path / f"{name}.html").write_text(PAGE.format(body))
    (tmp_path / "good.html").write_text(PAGE.format("<p>Good.</p>"))
    (tmp_path / "favicon.ico").write_bytes(b"")
    with chromium.served(tmp_path) as address:
        visits = {}
        for name in ("good", *wrong):
            visit = chromium.visit(browser, address, f"{name}.html")
            visits[name] = visit
    assert visits.pop("good") == ([], [], [], [])
    assert visits["said"].said == ["error: so"]
    assert visits["thrown"].said == ["uncaught: so"]
    assert visits["missing"].failed == [f"404: {address}none.png"]
    assert "http://example.org/a.png" in visits["elsewhere"].failed[0]
    assert visits["wide"].overflows == [
        f"390-{theme}: 508 pixels" for theme in ("light", "dark")
    ]
    assert visits["pale"].barriers[0].startswith("light: color-contrast")
    assert visits["nameless"].barriers[0].startswith("light: image-alt")
