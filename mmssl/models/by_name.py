"""A class or a function that stands in a module of the package's or of a
user's, by its name "module:Name".

Such a name may come from a file: what it names is imported. Who asks says what
it must be, and refuses anything else before it is called.
"""

from __future__ import annotations

import importlib
import re

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_named(name: object) -> bool:
    """Whether something is spelt "module:Name"."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name))


def named(name: str, what: str, example: str) -> object:
    """What a name stands for.

    Parameters
    ----------
    name : str
        "module:Name" of a module that this Python can import.
    what : str
        What is asked for, such as "backbone"; for messages.
    example : str
        A name that would do.

    Raises
    ------
    ValueError
        For another spelling, or a module or name that is not found.
    """
    if not is_named(name):
        raise ValueError(
            f"{what} is {name!r}, expected 'module:Class', such as {example!r}"
        )
    module, attribute = name.split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{what} {name!r}: not found ({error}); the module must be one "
            "that this Python can import"
        ) from error
