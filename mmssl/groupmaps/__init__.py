"""Where two groups differ: voxelwise tests, their corrections, and what a map
points at.
"""

from mmssl.groupmaps.clusters import (
    Atlas,
    clusters,
    peak,
    peaks,
    read_atlas,
    surviving,
)
from mmssl.groupmaps.freedman_lane import Adjusted, freedman_lane
from mmssl.groupmaps.mann_whitney import (
    Compared,
    RankBiserial,
    compare,
    max_statistic_test,
    rank_biserial,
)
from mmssl.groupmaps.overlap import Overlap, edges, overlap, overlaps
from mmssl.groupmaps.tfce import Enhanced, enhance, tfce_test

__all__ = [
    "Adjusted",
    "Atlas",
    "Compared",
    "Enhanced",
    "Overlap",
    "RankBiserial",
    "clusters",
    "compare",
    "edges",
    "enhance",
    "freedman_lane",
    "max_statistic_test",
    "overlap",
    "overlaps",
    "peak",
    "peaks",
    "rank_biserial",
    "read_atlas",
    "surviving",
    "tfce_test",
]
