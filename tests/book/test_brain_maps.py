"""The maps that a page shows come to the site, whole and each once."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from executed_page import build

from mmssl.ledger.artefacts import write_map
from mmssl.plotting.viewer import BrainViewer, ViewerMap
from mmssl.preprocessing import template

brain_maps, readable = build.brain_maps, build.private_text.readable


def _cell(*names):
    """Return a cell that shows maps of some names."""
    maps = {}
    for number, name in enumerate(names):
        maps[f"M{number}"] = ViewerMap(name, (0.0, 1.0, 2.0), 0.5, "a & b")
    viewer = BrainViewer({"<one>": maps}, "RBC", symmetric=True)
    shown = viewer._repr_html_().splitlines(keepends=True)
    return {"outputs": [{"text": "x"}, {"data": {"text/html": shown}}]}


@pytest.fixture
def left(tmp_path, rng, affine):
    """Give the folder of a page that left two maps."""
    for name in ("a", "b"):
        file = tmp_path / "left" / "maps" / f"{name}.nii.gz"
        write_map(file, rng.random((7, 8, 9)), affine)
    return tmp_path / "left"


def test_the_maps_of_a_page_are_found_once(left):
    cells = [_cell("b.nii.gz"), {}, _cell("a.nii.gz", "b.nii.gz")]
    files, reasons = brain_maps.shown(cells, left)
    assert [file.name for file in files] == ["b.nii.gz", "a.nii.gz"]
    assert reasons == []


@pytest.mark.parametrize("name", ["c.nii.gz", "../maps/a.nii.gz", ""])
def test_a_map_that_the_page_did_not_leave_is_a_reason(left, name):
    _, reasons = brain_maps.shown([_cell("a.nii.gz", name)], left)
    assert reasons == [f"it shows {name}, which it left not"]


def test_the_site_gets_them_with_what_they_share(left, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    assert brain_maps.publish([], site) == []
    assert list(site.iterdir()) == []
    files, _ = brain_maps.shown([_cell("a.nii.gz")], left)
    assert brain_maps.publish(files, site) == []
    names = {file.name for file in (site / "maps").iterdir()}
    assert names == {"a.nii.gz", "regions.json", "template.nii.gz"}
    # and of an earlier build nothing stays
    (site / "maps" / "old.nii.gz").write_bytes(b"")
    assert brain_maps.publish(files, site) == []
    assert {file.name for file in (site / "maps").iterdir()} == names
    copied = (site / "maps" / "a.nii.gz").read_bytes()
    assert copied == files[0].read_bytes()
    image = nib.load(site / "maps" / "template.nii.gz")
    maps = template.template(96)
    np.testing.assert_allclose(image.affine, maps.affine)
    brain = np.asarray(image.dataobj) > 0
    assert not (brain & ~maps.mask).any()
    assert brain.sum() > 0.95 * maps.mask.sum()


def test_two_maps_of_one_name_that_differ_are_a_reason(left, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    other = tmp_path / "other" / "a.nii.gz"
    write_map(other, np.ones((3, 4, 5)), np.eye(4))
    (reason,) = brain_maps.publish([left / "maps" / "a.nii.gz", other], site)
    assert reason == "a.nii.gz: two pages show it, with other values"


def test_the_named_places_are_those_of_the_publication(tmp_path):
    regions = json.loads(json.dumps(brain_maps._regions()))
    assert len(regions) == 160
    assert ["vmPFC", "default", 6, 64, 3] in regions
    assert {len(region) for region in regions} == {5}


def _volume(**fields):
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    return image


def test_what_a_volume_says_of_itself_is_read(tmp_path):
    image = _volume(descrip=b"of somebody", aux_file=b"their file")
    extension = nib.nifti1.Nifti1Extension("comment", b"a remark")
    image.header.extensions.append(extension)
    packed = gzip.compress(image.to_bytes())
    said = "\n".join(readable.texts(packed))
    for text in ("of somebody", "their file", "a remark"):
        assert text in said
    with gzip.open(tmp_path / "named.nii.gz", "wb") as file:
        file.write(image.to_bytes())
    packed = (tmp_path / "named.nii.gz").read_bytes()
    assert "named.nii" in "\n".join(readable.texts(packed))


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"no volume"),
        gzip.compress(bytes(400)),
        gzip.compress(_volume().to_bytes())[:40],
    ],
    ids=["short", "zeros", "cut"],
)
def test_what_is_packed_and_no_volume_is_refused(packed):
    with pytest.raises(ValueError, match="packed, and"):
        list(readable.texts(packed))


def test_the_vendored_viewer_is_the_one_on_record():
    folder = build.BOOK / "_static" / "niivue"
    (file,) = folder.glob("*.mjs")
    (digest,) = build.private_text.VENDORED
    assert build.ledger.hash_file(file) == digest
    assert build.private_text.VENDORED[digest] == file.name
    licence = (folder / "LICENSE").read_text()
    assert file.name in licence and digest in licence
    assert "BSD 2-Clause License" in licence
    assert file.name in (build.BOOK / "_static" / "viewer.js").read_text()
