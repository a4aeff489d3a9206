"""Where the repository is, so that a notebook finds its data from any working
directory.
"""

import tomllib
from pathlib import Path


def root(start: str | Path | None = None) -> Path:
    """Return the repository's root, seen from `start`.

    Parameters
    ----------
    start : path, optional
        Folder to walk up from; the working directory if not given.

    Returns
    -------
    Path
        The nearest folder at or above `start` whose ``pyproject.toml`` is that
        of mmssl; if there is none, `start` itself, so that the package also
        works outside a checkout.
    """
    start = Path.cwd() if start is None else Path(start).resolve()
    for folder in (start, *start.parents):
        if _is_project(folder / "pyproject.toml"):
            return folder
    return start


def project(path: str | Path) -> Path:
    """Resolve a path of a parameters cell.

    Parameters
    ----------
    path : str or Path
        Absolute: returned as it is. Relative: taken from the repository's
        root.

    Returns
    -------
    Path
        An absolute path; it need not exist.
    """
    path = Path(path).expanduser()
    return path if path.is_absolute() else root() / path


def _is_project(pyproject: Path) -> bool:
    if not pyproject.is_file():
        return False
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    return content.get("project", {}).get("name") == "mmssl"
