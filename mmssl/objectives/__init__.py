"""The language of objectives: a name such as CR-XX-CC is a sum of terms over
views of the modalities.
"""

from mmssl.objectives.language import Objective, build, options_of, parse
from mmssl.objectives.term import (
    Batch,
    Context,
    Edge,
    Node,
    Term,
    cross_edges,
)
from mmssl.objectives.views import (
    Clean,
    Noisy,
    PadCropFlip,
    View,
    make_views,
    paper_recipe,
)

__all__ = [
    "Batch",
    "Clean",
    "Context",
    "Edge",
    "Node",
    "Noisy",
    "Objective",
    "PadCropFlip",
    "Term",
    "View",
    "build",
    "cross_edges",
    "make_views",
    "options_of",
    "paper_recipe",
    "parse",
]
