"""Private text in every place of a page and of a built site."""

import base64
import io
import json
import urllib.parse

import nbformat
import pytest
from executed_page import HOME, build, edit, execute, make_page
from PIL import Image, PngImagePlugin

private_text = build.private_text
Identifiers = build.identifiers.Identifiers
NOBODY = Identifiers()

PLACE = "cohort/sub-QX7/anat"
PATHS = {
    "/".join(["", root, PLACE])
    for root in (
        "data",
        "home",
        "media",
        "mnt",
        "nobody_knows",
        "root",
        "scratch",
        "srv",
        "tmp",
        "Users",
    )
}
USERS = "Users"
OTHER_PATHS = (
    "/" + "mnt",
    "/" + USERS,
    "/" + "home",
    "\\".join(["C:", USERS, "somebody", "scan.nii"]),
    "\\\\".join(["C:", USERS, "somebody", "scan.nii"]),
    "/".join(["D:", "scans", "one.nii"]),
    "\\\\server\\share\\scan.nii",
    "file://" + "/srv/scans",
    "file://" + "server/share",
    "PATH=" + "/opt/bin:/usr/bin",
    "~/" + "scans/one.nii",
    "host:" + "/srv/scans",
    "/".join(["", "My Scans", "one.nii"]),
    urllib.parse.quote("/".join(["", "srv", "scans"]), safe=""),
    json.dumps("/srv/scans").replace("/", "\\u002f"),
    "&#47;srv&#x2f;scans",
    "\\/srv\\/scans",
    "\x1b[0;32m" + "/srv/scans" + "\x1b[0m",
    "<td>" + "/srv/scans" + "</td>",
    "<img src='" + "/srv/scans/one.png" + "'>",
)
IDS = (
    "OAS30001",
    "oas30001",
    "sub-OAS30001_ses-d0129_T1w.nii.gz",
    "OAS30001_MR_d0129",
    "OAS1_0001_MR1",
    "OAS2_0001",
    "<span>OAS</span>30001",
    "OAS\u200b30001",
    "002_S_0295",
    "sub-ADNI002S0295",
    "ADNI_002_S_0295_MR_S13408_I45107.nii",
)
ADDRESSES = ("Jane.Doe@Hospital.EXAMPLE.org", "JANE@EXAMPLE.ORG", "a%40b.org")
SECRETS = (
    "ghp_" + "a1B2" * 9,
    "AKIA" + "ABCD" * 4,
    "hf_" + "abCD" * 8,
    "sk-" + "abc1" * 8,
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "password=" + "hunter22",
    '"password": ' + '"hunter22"',
    "DB_PASSWORD = " + "'hunter22'",
    "http://localhost:8888/lab?token=" + "0a1b2c3d4e5f",
    "https://somebody:" + "hunter22@example.org/x",
)

ORDINARY = (
    "T1/fALFF and/or 1/2 at 3 mm/s, text/html, application/json",
    "https://example.org/data/home/x and //example.org/srv/x",
    "data/derived/demo, ./data/x/y, ../srv/x/y",
    "<dataset>/sub-XX/anat, path/to/sub-XX_T1w.nii.gz",
    "<p>T1</p></div><br/> a / b / c",
    '<link href="/_static/styles/theme.css"><a href="/genindex.html">',
    r"$f: \mathbb{R} \to \mathbb{R}$, a \\ b, x/y/z",
    "logo@2x.png, git@github.com, values @ weights",
    "token = None, tokens: many, no password, secret",
    "OASIS-3, ADNI, 10.1016/j.neuroimage.2019.01.041",
    "12:30:15, C: a drive, ratio 3:4",
)


@pytest.fixture
def page(tmp_path):
    """Give a page that is fit to publish."""
    return make_page(tmp_path)


@pytest.mark.parametrize(
    "text", [*sorted(PATHS), *OTHER_PATHS, *IDS, *ADDRESSES, *SECRETS]
)
def test_private_text_is_found(text):
    assert private_text.shown(f"Here it is: {text} and no more", NOBODY)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_passes(text):
    assert private_text.shown(text, NOBODY) == []


PEOPLE = Identifiers(
    frozenset(
        {"sub-QX7-planted", "Müller9", "0042", "17", "smith", "A1B2C3z"}
    ),
    frozenset({"d0129", "20150312", "1"}),
)


@pytest.mark.parametrize(
    "text",
    [
        "QX7-planted",
        "sub-QX7-planted_ses-1",
        "SUB-qx7-PLANTED",
        "qx7_planted.nii.gz",
        "anat/sub-qx7planted_T1w",
        "x" + "a1b2c3z" + "y",
        urllib.parse.quote("Müller9"),
        json.dumps("Müller9"),
        "M&uuml;ller9",
        "Mu\u0308ller9",
        "%51X7-planted",
        "\\u0051X7-planted",
        "person 0042 of many",
        "42",
        "sub-17",
        "sub-0017_T1w.nii",
        "Smith",
        "<b>A1B2</b>C3z",
        "scan of 20150312",
        "_d0129_",
        "ses-01",
    ],
)
def test_ids_of_the_cohort_are_found_however_they_are_spelt(text):
    found = private_text.shown(f"see {text}", PEOPLE)
    assert found[0].startswith("the id of a ")


@pytest.mark.parametrize(
    "text",
    [
        "17 people, 1 session, 0.42, 42nd, 142",
        "smithereens, blacksmiths",
        "planted in QX7",
        "a baseline and 20150313",
    ],
)
def test_other_words_and_numbers_are_nobodys_ids(text):
    assert private_text.shown(text, PEOPLE) == []


SECRET = "/".join(["", "srv", "scans", "one.nii"])


def _png(**texts):
    """A picture that says something of itself."""
    about = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        about.add_text(name, text, zip=name == "packed")
    about.add_itxt("other", texts.get("other", ""), zip=True)
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG", pnginfo=about)
    return base64.b64encode(stream.getvalue()).decode()


def _jpeg(text):
    """A picture with EXIF."""
    stream = io.BytesIO()
    image = Image.new("L", (4, 4))
    exif = image.getexif()
    exif[0x010E] = text
    image.save(stream, "JPEG", exif=exif)
    return base64.b64encode(stream.getvalue()).decode()


def _shows(**data):
    data = {kind.replace("__", "/"): text for kind, text in data.items()}
    return lambda cell: cell.outputs.append(
        nbformat.v4.new_output("display_data", data=data)
    )


def _in_metadata(cell):
    cell.outputs.append(
        nbformat.v4.new_output(
            "display_data", data={}, metadata={"image/png": {"alt": SECRET}}
        )
    )


def _in_a_traceback(cell):
    cell.outputs.append(
        nbformat.v4.new_output(
            "error",
            ename="OSError",
            evalue="no file",
            traceback=["line 1", f"File \x1b[0;32m{SECRET}\x1b[0m:3"],
        )
    )


def _in_json(kind, content):
    return lambda cell: cell.outputs.append(
        nbformat.v4.new_output("display_data", data={kind: content})
    )


SVG = f"<svg><metadata><rdf>{SECRET}</rdf></metadata></svg>"
PACKED = base64.b64encode(SVG.encode()).decode()
PLACES = {
    "text": _shows(text__plain=f"read {SECRET}"),
    "HTML": _shows(text__html=f"<td>{SECRET}</td>"),
    "SVG": _in_json("image/svg+xml", SVG),
    "SVG in a data URI": _shows(
        text__html=f'<img src="data:image/svg+xml;base64,{PACKED}">'
    ),
    "JSON": _in_json("application/json", {"a": [1, {"b": ["x", SECRET]}]}),
    "a key of JSON": _in_json("application/json", {SECRET: {}}),
    "a vendor's JSON": _in_json("application/vnd.x.v1+json", {"p": SECRET}),
    "a script": _in_json("application/javascript", f"f('{SECRET}')"),
    "metadata of an output": _in_metadata,
    "a traceback": _in_a_traceback,
    "a text chunk": _in_json("image/png", _png(Title=SECRET)),
    "a packed text chunk": _in_json("image/png", _png(packed=SECRET)),
    "an international text": _in_json("image/png", _png(other=SECRET)),
    "EXIF": _in_json("image/jpeg", _jpeg(SECRET)),
    "a picture in HTML": _shows(
        text__html=f'<img src="data:image/png;base64,{_png(Title=SECRET)}">'
    ),
    "a text in base64": _in_json(
        "application/octet-stream", base64.b64encode(SVG.encode()).decode()
    ),
    "a stream": lambda cell: cell.outputs.append(
        nbformat.v4.new_output("stream", name="stderr", text=SECRET)
    ),
    "metadata of a cell": lambda cell: cell.metadata.update(note=SECRET),
    "a tag": lambda cell: cell.metadata.update(tags=[SECRET]),
    "an attachment": lambda cell: cell.update(
        attachments={"a.png": {"image/png": _png(Title=SECRET)}}
    ),
    "a text cell": lambda cell: cell.update(source=f"From {SECRET}."),
}


@pytest.mark.parametrize("place", PLACES)
def test_private_text_is_found_in_every_place_of_a_page(page, place):
    in_text = place in ("an attachment", "a text cell")
    edit(page, PLACES[place], 0 if in_text else -1)
    reasons = build.check_page(page, "demo")
    number = 1 if in_text else 4
    assert any("one.nii" in r and f"cell {number}, " in r for r in reasons)


def test_a_path_among_the_parameters_is_found(page):
    execute(page, subjects=400, output="results", t1w=SECRET)
    reasons = build.check_page(page, "demo")
    assert f"it shows a path of this machine: {SECRET} (cell 3, source)" in (
        reasons
    )
    assert any(reason.startswith("in its sidecar") for reason in reasons)


def test_an_id_in_the_name_of_a_file_is_found(page):
    place = "raw/sub-QX7_T1w.nii.gz"
    execute(page, subjects=400, output="results", t1w=place)
    reasons = build.check_page(page, "demo")
    assert "it shows the id of a participant: QX7 (cell 3, source)" in reasons


def test_metadata_of_a_notebook_are_searched(page):
    notebook = nbformat.read(page, as_version=4)
    notebook.metadata["papermill"] = {"input_path": SECRET}
    nbformat.write(notebook, page)
    (reason, *_) = build.check_page(page, "demo")
    assert reason.endswith(f"{SECRET} (metadata of the notebook)")


@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("cohort.json", "{"),
        ("cohort.json", "[]"),
        ("participants.tsv", ""),
        ("participants.tsv", "name\nQX7\n"),
        ("pairs.tsv", None),
    ],
)
def test_a_cohort_whose_people_nobody_knows_is_refused(page, table, content):
    cohort = page.parents[2] / "cohort"
    fields = {"kind": "bids", "intensity": "brain"}
    (cohort / "cohort.json").write_text(json.dumps(fields))
    for name in ("participants.tsv", "pairs.tsv"):
        (cohort / name).write_text("participant_id\tsession\nQX7\tM12\n")
    execute(page, subjects=400, output="results")
    assert build.check_page(page, "demo") == []
    if content is None:
        (cohort / table).unlink()
    else:
        (cohort / table).write_text(content)
    reasons = build.check_page(page, "demo")
    assert any(table in reason for reason in reasons)


def _notebook(text):
    cell = nbformat.v4.new_markdown_cell(text)
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))


SITE = {
    "index.html": f"<p>{SECRET}</p>",
    "searchindex.js": f'Search.setIndex({{"titles": ["{SECRET}"]}})',
    "_sources/a.md": SECRET,
    "_sources/a.ipynb": _notebook(["From ", SECRET[:6], SECRET[6:]]),
    "_sources/broken.ipynb": f'{{"cells": 3, "a": "{SECRET}"}}',
    "_images/a.png": base64.b64decode(_png(Title=SECRET)),
    "_images/a.svg": SVG,
    "_downloads/a.tsv.json": json.dumps({"parameters": {"t1w": SECRET}}),
    "_static/own.js": f"load('{SECRET}')",
    "_static/no-ending": SECRET,
    "_downloads/unreadable.gz": b"\x1f\x8b\x00\x01",
    "_images/sub-QX7_T1.svg": "<svg></svg>",
}


@pytest.mark.parametrize("name", SITE)
def test_private_text_is_found_in_every_file_of_a_site(tmp_path, name):
    (tmp_path / "good.html").write_text("<p>T1/fALFF</p>")
    people = Identifiers(frozenset({"QX7"}))
    assert private_text.in_site(tmp_path, people) == []
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    content = SITE[name]
    file.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    (reason,) = private_text.in_site(tmp_path, people)
    assert reason.startswith(f"{name}: it ")


def test_what_packages_ship_is_public():
    import sphinx

    theme = build.Path(sphinx.__file__).parent / "themes" / "basic" / "static"
    assert private_text.in_site(theme, NOBODY) == []


def test_the_book_itself_shows_nothing_private():
    assert build._private_sources(NOBODY) == []
    for notebook in sorted((build.ROOT / "notebooks").glob("*.ipynb")):
        assert private_text.in_file(notebook, NOBODY) == []


def test_a_home_folder_is_a_path():
    assert private_text.shown(f"{HOME}/somebody", NOBODY)
