"""Where two groups differ, or a number goes along: voxelwise tests, their
corrections for the number of voxels, clusters and overlap with a planted mask.
"""

from mmssl.groupmaps.clusters import (
    Atlas,
    clusters,
    peak,
    peaks,
    read_atlas,
    surviving,
)
from mmssl.groupmaps.corrections import compare_corrections
from mmssl.groupmaps.freedman_lane import AdjustedDifference, freedman_lane
from mmssl.groupmaps.mann_whitney import (
    GroupDifference,
    RankBiserial,
    compare,
    max_statistic_test,
    rank_biserial,
    smallest_p,
)
from mmssl.groupmaps.overlap import Overlap, edges, overlap, overlaps
from mmssl.groupmaps.spearman import Correlation, correlate
from mmssl.groupmaps.tfce import EnhancedDifference, enhance, tfce_test

__all__ = [
    "AdjustedDifference",
    "Atlas",
    "Correlation",
    "EnhancedDifference",
    "GroupDifference",
    "Overlap",
    "RankBiserial",
    "clusters",
    "compare",
    "compare_corrections",
    "correlate",
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
    "smallest_p",
    "surviving",
    "tfce_test",
]
