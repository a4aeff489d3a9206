"""The volumes of notebook 06's menus, in JupyterLab without a network."""

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import chromium
import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

CELL = """
import numpy as np
from mmssl.plotting import SaliencyMenus

def maps_of(run, modality, row):
    maps = np.full((2, 16, 16, 16), 0.1, np.float32)
    maps[0, 2:7, 2:7, 2:7] = 1
    maps[1, 9:14, 9:14, 9:14] = 1
    return maps

images = np.ones((1, 16, 16, 16), np.float32)
images[:, 4:12, 4:12, 4:12] = 2
affine = np.diag([12.0, 12, 12, 1])
SaliencyMenus(maps_of, ["a"], ["T1"], [0], {"T1": images}, affine).show()
"""


@pytest.fixture
def lab(browser, tmp_path):
    """Give the address of a JupyterLab with one notebook in it."""
    cell = {
        "cell_type": "code",
        "id": "menus",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": CELL.strip(),
    }
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel},
        "cells": [cell],
    }
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "menus.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    for kind in ("CONFIG", "DATA", "RUNTIME"):
        own[f"JUPYTER_{kind}_DIR"] = str(tmp_path / kind)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
    command += [f"--port={port}", f"--ServerApp.root_dir={folder}"]
    command += ["--allow-root", "--IdentityProvider.token=here"]
    command += ["--LabApp.news_url=None"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait(server, address, tmp_path / "log")
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait(server, address, log):
    """Wait until a server answers."""
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}api").close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text())


def _changes(page, before):
    """Wait until the volumes look otherwise; give their pixels."""
    canvas = page.locator(".jp-OutputArea canvas")
    for _ in range(60):
        picture = canvas.screenshot()
        if picture != before:
            # until nothing moves any more
            while picture != (picture := canvas.screenshot()):
                pass
            return picture
        page.wait_for_timeout(500)
    raise AssertionError("the volumes look as before")


def _peak(picture):
    """Where the middle of a map's largest values is, over all planes, as
    shares of the width and the height.
    """
    pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")
    # the last colour of viridis
    red, green, blue = np.moveaxis(pixels[..., :3], -1, 0)
    yellow = (red > 0.9) & (green > 0.8) & (blue < 0.3)
    # the colour bar lies below
    yellow[int(0.8 * len(yellow)) :] = False
    rows, columns = np.nonzero(yellow)
    assert len(rows) > 100
    return columns.mean() / yellow.shape[1], rows.mean() / len(yellow)


@pytest.mark.slow
def test_the_volumes_follow_the_menus_without_a_network(browser, lab):
    page = browser.new_page(viewport=chromium.WIDE)
    said, failed = chromium.listen(page, lab)
    page.goto(f"{lab}lab/tree/menus.ipynb?reset&token=here")
    page.locator(".jp-CodeCell .cm-content").wait_for(timeout=120_000)
    # the kernel is there
    page.get_by_text("| Idle").wait_for(timeout=120_000)
    page.locator(".jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")
    canvas = page.locator(".jp-OutputArea canvas")
    canvas.wait_for(timeout=120_000)
    canvas.scroll_into_view_if_needed()
    first = _changes(page, None)
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    second = _changes(page, first)
    # the second dimension looks further right, to the front and up
    across, down = np.subtract(_peak(second), _peak(first))
    assert across > 0.05 and down < -0.05
    # not every server has the extension that asks this
    assert [x for x in failed if "/lsp/status" not in x] == []
    assert not [x for x in said if "ipyniivue" in x or "uncaught" in x]
    page.close()
