"""Cohorts: paired images of people, tables of who they are, and splits."""

from mmssl.cohorts.assembly import check_study
from mmssl.cohorts.batch import (
    from_bids,
    from_oasis3,
    from_study,
    prepare_study,
)
from mmssl.cohorts.cohort import Cohort, load, write
from mmssl.cohorts.natural import mnist_svhn, two_view_mnist
from mmssl.cohorts.preprocessed import write_person
from mmssl.cohorts.public import abide, oasis1
from mmssl.cohorts.quality_control import (
    prepared_volumes,
    quality_table,
    reasons,
    with_files,
)
from mmssl.cohorts.simulated.many_people import make_many_people
from mmssl.cohorts.simulated.phantom import make_phantom
from mmssl.cohorts.simulated.planted_masks import planted
from mmssl.cohorts.slices import cut_slices, slice_sources
from mmssl.cohorts.study import Study

__all__ = [
    "Cohort",
    "Study",
    "abide",
    "check_study",
    "cut_slices",
    "from_bids",
    "from_oasis3",
    "from_study",
    "load",
    "make_many_people",
    "make_phantom",
    "mnist_svhn",
    "oasis1",
    "planted",
    "prepare_study",
    "prepared_volumes",
    "quality_table",
    "reasons",
    "slice_sources",
    "two_view_mnist",
    "with_files",
    "write",
    "write_person",
]
