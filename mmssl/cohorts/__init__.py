"""Cohorts: paired images of people, who they are, and who may be seen by what.

A cohort is a folder (see :mod:`mmssl.cohorts.cohort`); it is made by a maker
(:func:`make_phantom`, :func:`two_view_mnist`, :func:`mnist_svhn`, or the preprocessing notebook
through :func:`write`) and read by :func:`load`.
"""

from importlib import import_module

_HOME = {
    "Cohort": "cohort",
    "load": "cohort",
    "write": "cohort",
    "make_phantom": "phantom",
    "mnist_svhn": "natural",
    "two_view_mnist": "natural",
}
_MODULES = ("anatomy", "cohort", "download", "factors", "images", "natural", "phantom", "pixels",
            "raw", "sources", "splits")  # fmt: skip

__all__ = ["Cohort", "load", "make_phantom", "mnist_svhn", "two_view_mnist", "write", *_MODULES]


def __getattr__(name: str):
    """Import a maker or a submodule when it is first asked for."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
