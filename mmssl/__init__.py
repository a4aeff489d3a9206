"""Multimodal self-supervised learning of brain images, as a reproducible
compendium.

Submodules load on first use (``mmssl.losses``, ``from mmssl import cohorts``),
so that ``import mmssl`` costs nothing and does not import torch.

Docstrings cite the five papers by number: 000, "Tasting the cake" (Fedorov et
al. 2021); 001, "On self-supervised multimodal representation learning: an
application to Alzheimer's disease" (Fedorov et al. 2021); 002,
"Self-supervised learning from 100 million medical images" (Ghesu et al. 2022);
003, "Preservational learning" (Zhou et al. 2021); 004, "Self-supervised
multimodal domino", first "Taxonomy of multimodal self-supervised
representation learning" (Fedorov et al. 2021).
"""

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = frozenset(
    module.name for module in pkgutil.iter_modules(__path__)
)


def __getattr__(name: str) -> ModuleType:
    """Import the submodule `name` the first time somebody asks for it (PEP
    562).
    """
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the submodules too, loaded or not."""
    return sorted(set(globals()) | _SUBMODULES)
