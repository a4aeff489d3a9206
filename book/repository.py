"""Links of the book to its repository, and buttons that start a page on
Binder: an extension of Sphinx.

The address is written in one place, ``repository-code`` of ``CITATION.cff``;
on GitHub's runners, where that is not there, it is the repository that they
build. Where nobody knows an address the book has no such link.
"""

import os
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BINDER = "https://mybinder.org"

EXECUTED = re.compile(r"book/executed/[^/]+/([^/?]+\.ipynb)")
"""Where the theme looks for the page that it shows: an executed copy, which no
repository has.
"""


def address(root: Path = ROOT) -> str | None:
    """Return the address of the repository; None where none is known.

    Raises
    ------
    ValueError
        When what stands in ``CITATION.cff`` is not the address of a
        repository, ``https://host/owner/name``.
    """
    text = (root / "CITATION.cff").read_text(encoding="utf-8")
    found = yaml.safe_load(text).get("repository-code")
    server = os.environ.get("GITHUB_SERVER_URL")
    name = os.environ.get("GITHUB_REPOSITORY")
    if found is None and server and name:
        found = f"{server}/{name}"
    if found and not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", found):
        raise ValueError(
            f"CITATION.cff, repository-code: {found!r}, expected "
            "https://host/owner/name"
        )
    return found


def options(found: str) -> dict[str, Any]:
    """Return what the theme takes of a repository's address."""
    return {
        "repository_url": found,
        "repository_branch": "main",
        "path_to_docs": "book",
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "binderhub_url": BINDER,
            "notebook_interface": "jupyterlab",
        },
    }


def point_at_sources(buttons: list[dict[str, Any]]) -> None:
    """Let links to an executed page lead to the notebook it was made from."""
    for button in buttons:
        point_at_sources(button.get("buttons", []))
        if "url" in button:
            button["url"] = EXECUTED.sub(r"notebooks/\1", button["url"])


def setup(app) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("config-inited", _add_links)
    # after the theme has written its buttons
    app.connect("html-page-context", _point, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_links(app, config) -> None:
    found = address()
    if found:
        config.html_theme_options.update(options(found))


def _point(app, page, template, context, doctree) -> None:
    point_at_sources(context.get("header_buttons", []))
