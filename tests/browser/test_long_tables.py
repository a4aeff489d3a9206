"""Long tables, which a reader of the book sorts and searches, in a browser."""

import shutil
from pathlib import Path

import chromium
import pytest

STATIC = Path(__file__).parents[2] / "book" / "_static"
LONG = 15  # rows of the longest table that stays as it is

PAGE = """<!doctype html><html lang="en"><title>Tables</title>
<script src="tables.js"></script><script src="drawing.js"></script>
<main class="bd-article"><h1>Tables</h1>{}</main></html>"""

HEAD = """<thead><tr><th>model</th><th>gain [95 %]</th><th>{}</th><th>id</th>
</tr></thead>"""
LINK = '<p><a href="#p">p</a></p>'

GAINS = "+0.12 [+0.06, +0.18]", "−0.05 [−0.13, 0.03]", "–", "1,000", "1e-5"
P = "0.5", "< 0.001", "", "0.04", "1"
MODELS = "XX-CC", "AE", "CR-10", "CR-9", "RR"


def _rows(count):
    """Rows whose values repeat every five, each with a number of its own."""
    rows = []
    for number in range(count):
        values = [each[number % 5] for each in (MODELS, GAINS, P)]
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows.append(f"<tr>{cells}<td>{number:03d}-R</td></tr>")
    return "".join(rows)


def _table(count, kind="dataframe", body=None):
    rows = _rows(count) if body is None else body
    head = HEAD.format(LINK)
    return f'<table class="{kind}">{head}<tbody>{rows}</tbody></table>'


@pytest.fixture
def shown(browser, tmp_path):
    """Give a function that shows a text of HTML as a page."""
    for name in ("tables.js", "drawing.js"):
        shutil.copy(STATIC / name, tmp_path)
    opened = []

    def show(body, **options):
        (tmp_path / "page.html").write_text(PAGE.format(body))
        page = browser.new_page(**options)
        page.goto((tmp_path / "page.html").as_uri())
        opened.append(page)
        return page

    show.folder = tmp_path
    yield show
    for page in opened:
        page.close()


def _column(page, place, count=LONG + 1):
    cells = page.locator(f"tbody tr td:nth-child({place})").all_inner_texts()
    assert len(cells) == count
    return cells


def _repeated(values):
    """What a column of sixteen rows holds, in the order of its values."""
    # sixteen rows of five: the first comes once more
    firsts = (MODELS[0], GAINS[0], P[0])
    return [v for v in values for _ in range(4 if v in firsts else 3)]


def test_a_heading_sorts_up_down_and_back(shown):
    page = shown(_table(LONG + 1))
    before = _column(page, 4)
    numbers = ["−0.05 [−0.13, 0.03]", "1e-5", "+0.12 [+0.06, +0.18]", "1,000"]
    heading = page.locator("th").nth(1)
    for way, order in (
        ("ascending", [*numbers, "–"]),
        ("descending", [*numbers[::-1], "–"]),
    ):
        heading.click()
        assert heading.get_attribute("aria-sort") == way
        assert _column(page, 2) == _repeated(order)
    heading.click()
    assert heading.get_attribute("aria-sort") is None
    assert _column(page, 4) == before


def test_rows_that_are_equal_keep_their_order(shown):
    page = shown(_table(LONG + 1))
    page.locator("th").first.click()
    names = _column(page, 1)
    rows = [*zip(names, _column(page, 4), strict=True)]
    for name in set(MODELS):
        own = [row for row in rows if row[0] == name]
        assert own == sorted(own)
    # words by their letters, numbers in them by their size
    assert names == _repeated(["AE", "CR-9", "CR-10", "RR", "XX-CC"])


def test_names_that_begin_with_a_digit_are_no_numbers(shown):
    page = shown(_table(LONG + 1))
    page.locator("th").nth(3).click()
    page.locator("th").nth(3).click()
    assert _column(page, 4)[:2] == ["015-R", "014-R"]


def test_keys_sort_and_one_column_at_a_time_is_told(shown):
    page = shown(_table(LONG + 1))
    button = page.get_by_role("button", name="sort by p")
    button.focus()
    page.keyboard.press("Enter")
    assert _column(page, 3)[:4] == ["< 0.001", "< 0.001", "< 0.001", "0.04"]
    assert _column(page, 3)[-3:] == ["", "", ""]
    page.get_by_role("button", name="sort by model").press(" ")
    told = page.locator("[aria-sort]")
    assert told.count() == 1 and told.inner_text().startswith("model")


def test_a_link_in_a_heading_stays_a_link(shown):
    page = shown(_table(LONG + 1))
    before = _column(page, 4)
    page.locator("th a").click()
    assert page.url.endswith("#p") and _column(page, 4) == before


def test_search_finds_rows_with_all_words(shown):
    page = shown(_table(LONG + 1))
    field = page.get_by_role("searchbox", name="search")
    shown_rows = page.locator("tbody tr:visible")
    assert page.locator("output").inner_text() == "16 rows"
    for words, count in (("cr- 0.04", 3), ("CR-", 6), ("none", 0)):
        field.fill(words)
        assert shown_rows.count() == count
        told = page.locator("output").inner_text()
        assert told == f"{count} of 16 rows"
    field.fill("")
    assert shown_rows.count() == 16


def test_other_tables_stay_as_they_are(shown):
    spanned = '<tr><td rowspan="2">a</td><td>b</td><td>c</td><td>d</td></tr>'
    rest = "<tr><td>b</td><td>c</td><td>d</td></tr>"
    page = shown(
        _table(LONG)
        + _table(0, body=(spanned + rest) * LONG)
        + f"<table><tbody>{_rows(LONG + 1)}</tbody></table>"
    )
    assert page.locator("button, input, [aria-sort]").count() == 0


def test_the_ledger_has_a_search_of_its_own(shown):
    page = shown(_table(LONG + 1, "ledger"))
    assert page.locator("button.sort").count() == 4
    assert page.locator("input").count() == 0


def test_without_scripts_the_whole_table_is_there(shown):
    page = shown(_table(LONG + 1), java_script_enabled=False)
    assert page.locator("button, input").count() == 0
    assert len(page.locator("tbody tr:visible").all()) == LONG + 1


def test_long_tables_of_the_book_can_be_sorted(browser, site):
    page = browser.new_page(viewport=chromium.WIDE)
    said, failed = chromium.listen(page, site.address)
    page.goto(f"{site.address}simulations.html")
    # the longest are folded
    for summary in page.locator("details:has(table) > summary").all():
        summary.click()
    heading = page.locator("th.sortable").last
    heading.click()
    page.locator(".table-tools input").first.fill("delong")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert page.locator("tbody tr:visible", has_text="DeLong").count() > 0
    assert (said, failed) == ([], [])
    page.close()


@pytest.mark.parametrize("kind", ["long-table", "sd-dropdown"])
def test_what_is_folded_is_printed(shown, kind):
    shutil.copy(STATIC / "mmssl.css", shown.folder)
    page = shown(
        '<link rel="stylesheet" href="mmssl.css">'
        f'<details class="{kind}"><summary>t</summary><p id="in">a</p>'
        '</details><details class="hide"><summary>c</summary>'
        '<p id="code">a</p></details>'
    )
    seen = "n => document.getElementById(n).checkVisibility()"
    assert not page.evaluate(seen, "in")
    page.emulate_media(media="print")
    assert page.evaluate(seen, "in")
    assert not page.evaluate(seen, "code")
