"""From a person's raw T1 and BOLD to registered T1 and fALFF volumes, and to
the input of a network.
"""

from mmssl.preprocessing.falff import falff
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.preprocessing.person import prepare

__all__ = ["falff", "fit_landmarks", "prepare", "standardised"]
