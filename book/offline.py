"""What the site needs so that it is whole without a network: an extension of
Sphinx.

It leaves out the code that starts kernels on other people's machines, which
asks another site for itself; it takes from lists of references a role that
forbids the one which docutils gives to their entries; and it puts the maps
that readers move through beside the pages (`brain_maps`).
"""

from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

from book import brain_maps

KERNELS = "sphinx-thebe"
"""Whose scripts are left out; a second one of them is a text of its own."""

CITED = 'class="citation-list"'
"""How docutils marks a list of references."""


def setup(app) -> dict[str, bool]:
    """Connect the extension."""
    # after those who add scripts
    app.connect("html-page-context", _mend, priority=900)
    app.connect("build-finished", _publish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mend(app, name: str, template: str, context: dict[str, Any], _) -> None:
    """Change what a page loads, and its list of references."""
    kept = []
    for script in context.get("script_files", ()):
        said = f"{script} {getattr(script, 'attributes', {}).get('body')}"
        if KERNELS not in said and "THEBE_JS_URL" not in said:
            kept.append(script)
    context["script_files"] = kept
    if context.get("body"):
        context["body"] = context["body"].replace(
            f'<div role="list" {CITED}', f"<div {CITED}"
        )


def _publish(app, error: Exception | None) -> None:
    """Put the maps of all pages into the site."""
    if error is not None or app.builder.format != "html":
        return
    files = []
    for name in sorted(app.env.found_docs):
        page = Path(app.srcdir) / f"{name}.ipynb"
        if page.is_file():
            files += brain_maps.of_page(page)[0]
    reasons = brain_maps.publish(files, Path(app.outdir))
    if reasons:
        raise ExtensionError("; ".join(reasons))
