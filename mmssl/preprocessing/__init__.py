"""From a person's raw T1 and BOLD to registered T1 and fALFF volumes in MNI152 space.

`prepare` (in `person`) runs the whole chain; the steps are modules of their own: `inputs` (what is
refused), `template` (the standard space), `motion`, `fluctuations` (fALFF), `registration`,
`brain` (the mask), `space` (resampling), `quality` (how good it is) and `intensity`.
"""

import importlib

_NAMES = {"falff": "fluctuations", "prepare": "person"}
_MODULES = (
    "brain", "fluctuations", "inputs", "intensity", "motion", "person", "quality", "registration",
    "space", "template",
)  # fmt: skip


def __getattr__(name: str):
    """Load submodules and the two public functions on first use: a cohort needs no SimpleITK."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_MODULES, *_NAMES])
