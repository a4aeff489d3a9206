"""Cohorts: paired images of people, tables of who they are, and splits."""

from mmssl.cohorts.cohort import Cohort, load, write
from mmssl.cohorts.natural import mnist_svhn, two_view_mnist
from mmssl.cohorts.preprocessed import write_person
from mmssl.cohorts.simulated.phantom import make_phantom
from mmssl.cohorts.simulated.planted_masks import planted

__all__ = [
    "Cohort",
    "load",
    "make_phantom",
    "mnist_svhn",
    "planted",
    "two_view_mnist",
    "write",
    "write_person",
]
