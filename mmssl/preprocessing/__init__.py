"""From a person's raw T1 and BOLD to registered T1 and fALFF volumes, and to
the input of a network; exported encoders with what prepares theirs.
"""

from mmssl.preprocessing.exported_encoders import (
    ExportedEncoder,
    load_exported,
)
from mmssl.preprocessing.falff import falff
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.preprocessing.person import prepare

__all__ = [
    "ExportedEncoder",
    "falff",
    "fit_landmarks",
    "load_exported",
    "prepare",
    "standardised",
]
