"""Multimodal self-supervised learning of brain images, as a reproducible compendium.

Submodules load on first use (``mmssl.losses``, ``from mmssl import cohorts``), so that
``import mmssl`` costs nothing and does not import torch.
"""

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    """Import the submodule `name` the first time somebody asks for it (PEP 562)."""
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the submodules too, loaded or not."""
    return sorted(set(globals()) | _SUBMODULES)
