"""What moves a latent dimension, and whether a map of it is evidence."""

from mmssl.saliency.deletion_curves import measure_deletion
from mmssl.saliency.dimensions import (
    SIGNS,
    corrected_group_differences,
    extreme_dimensions,
    fit_probes,
    group_differences,
    lacks_coefficient,
    maps_following_severity,
    prove_unseen,
    subject_maps,
)
from mmssl.saliency.maps import Saliency, average, postprocess
from mmssl.saliency.parameter_randomisation import (
    group_map_correlations,
    person_map_correlations,
    randomised,
)
from mmssl.saliency.person_maps import PersonMaps
from mmssl.saliency.planted_overlap import overlap_gains
from mmssl.saliency.sanity_checks import (
    Measurements,
    arrange_for_figure,
    positive_control,
    reason_table,
    report_table,
    run_checks,
    sanity_reports,
    untrained_reports,
)
from mmssl.saliency.smoothgrad import smoothgrad, stream

__all__ = [
    "Measurements",
    "PersonMaps",
    "SIGNS",
    "Saliency",
    "arrange_for_figure",
    "average",
    "corrected_group_differences",
    "extreme_dimensions",
    "fit_probes",
    "group_differences",
    "group_map_correlations",
    "lacks_coefficient",
    "maps_following_severity",
    "measure_deletion",
    "overlap_gains",
    "person_map_correlations",
    "positive_control",
    "postprocess",
    "prove_unseen",
    "randomised",
    "reason_table",
    "report_table",
    "run_checks",
    "sanity_reports",
    "smoothgrad",
    "stream",
    "subject_maps",
    "untrained_reports",
]
