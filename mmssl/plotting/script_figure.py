"""Places of a page that a script beside the book draws in."""

import html
import json
from typing import Any, ClassVar


class ScriptFigure:
    """A place of a page that a script of the book fills.

    In a notebook, on paper and where no script runs it is empty, and the
    page's own figures are all there is.

    Parameters
    ----------
    content : dict
        What the script needs, as JSON has it; nothing else leaves the page.

    Attributes
    ----------
    kind : str
        Of the figure; a script of the book draws one kind.
    """

    kind: ClassVar[str]

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def _repr_html_(self) -> str:
        """What the script needs; nobody sees anything without it."""
        text = json.dumps(
            self.content,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        content = html.escape(text)
        return (
            f'<div class="{self.kind}-viewer" data-viewer="{content}"></div>'
        )
