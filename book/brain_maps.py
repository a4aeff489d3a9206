"""The maps that readers of the book move through: which files a page shows,
and how they come to the site, each once.

`mmssl.plotting.viewer` writes into a page which maps it shows;
``_static/viewer.js`` reads them from the folder ``maps`` of the site, with the
template that lies below them and the places that are named under the cursor.
"""

import html
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import nilearn.datasets
import numpy as np

from mmssl import ledger
from mmssl.ledger import paths
from mmssl.preprocessing import template

FOLDER = "maps"
"""Of a site, and of what a page leaves."""

RESULTS = "output"
"""The parameter of the folder that a page leaves its results in."""

TEMPLATE, REGIONS = "template.nii.gz", "regions.json"
"""What all maps of a site share."""

SIDE = 96
"""Voxels of 2 mm along each side of the template."""

SHOWN = re.compile(r'<div class="brain-viewer" data-viewer="([^"]*)"')


def of_page(page: Path) -> tuple[list[Path], list[str]]:
    """Find the maps that an executed notebook shows, by its sidecar.

    Parameters
    ----------
    page : Path
        With its sidecar beside it.

    Returns
    -------
    files : list of Path
        Each once, in the order in which they are shown.
    reasons : list of str
        One for each that is not there, or not named as a file of the folder.
    """
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    output = ledger.read_sidecar(page)["parameters"].get(RESULTS)
    return shown(cells, paths.root(page.parent) / str(output or ""))


def shown(
    cells: Iterable[Mapping[str, Any]], folder: Path
) -> tuple[list[Path], list[str]]:
    """Find the maps that cells show, among what their page left in a folder;
    result as `of_page`.
    """
    files, reasons = [], []
    for cell in cells:
        for output in cell.get("outputs", ()):
            text = output.get("data", {}).get("text/html", "")
            for content in SHOWN.findall("".join(text)):
                for name in _names(json.loads(html.unescape(content))):
                    file = folder / FOLDER / name
                    if Path(name).name != name or not file.is_file():
                        reasons.append(f"it shows {name}, which it left not")
                    files.append(file)
    return list(dict.fromkeys(files)), reasons


def publish(files: Iterable[Path], site: Path) -> list[str]:
    """Put maps into the site, and what all of them share.

    Parameters
    ----------
    files : iterable of Path
        Nothing is written if there are none.
    site : Path
        Folder of the site.

    Returns
    -------
    list of str
        A reason for each of two maps of one name that differ.
    """
    folder = site / FOLDER
    # else those of an earlier build would stay in it
    shutil.rmtree(folder, ignore_errors=True)
    contents: dict[str, bytes] = {}
    reasons = []
    for file in files:
        content = file.read_bytes()
        if contents.setdefault(file.name, content) != content:
            reasons.append(
                f"{file.name}: two pages show it, with other values"
            )
    if not contents:
        return []
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    nib.save(_template(), folder / TEMPLATE)
    text = json.dumps(_regions(), ensure_ascii=False)
    (folder / REGIONS).write_text(text, encoding="utf-8")
    return reasons


def _names(content: Mapping[str, Any]) -> list[str]:
    names = []
    for choice in content["choices"]:
        names += [shown["file"] for shown in choice["volumes"].values()]
    return names


def _template() -> nib.Nifti1Image:
    """The brain of MNI152 at 2 mm, in 256 greys."""
    maps = template.template(SIDE)
    brain = np.where(maps.mask, maps.t1, 0)
    greys = np.rint(255 * brain / brain.max()).astype(np.uint8)
    image = nib.Nifti1Image(greys, maps.affine)
    image.header.set_xyzt_units("mm")
    return image


def _regions() -> list[tuple]:
    """(name, network, x, y, z in mm) of the 160 places of Dosenbach et al.
    2010, which nilearn brings; a number ends their names there. Atlases with
    a label in every voxel come with no package, nilearn downloads its own.
    """
    places = nilearn.datasets.fetch_coords_dosenbach_2010()
    named = []
    rows = zip(
        places.labels, places.networks, places.rois.to_numpy(), strict=True
    )
    for label, network, centre in rows:
        name = re.sub(r"\s+\d+$", "", label)
        named.append((name, network, *map(int, centre)))
    return named
