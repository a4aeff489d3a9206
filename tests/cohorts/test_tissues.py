"""Tissue labels of simulated people follow their anatomy."""

from dataclasses import replace

import numpy as np
import pytest
from small_cohort import write_small_cohort

from mmssl import cohorts
from mmssl.cohorts import lesions
from mmssl.cohorts.simulated import images
from mmssl.cohorts.simulated.tissues import CLASSES, tissue_labels
from mmssl.preprocessing import template

STILL = images.Design(
    ventricles=0,
    thinning=0,
    second=0,
    private=0,
    deformation=0,
    head=0,
    shift=0,
    turn=0,
    zoom=0,
    bias=0,
    contrast=0,
    noise=0,
)


def test_people_who_do_not_differ_have_the_tissue_of_the_template(tmp_path):
    people = cohorts.make_phantom(
        tmp_path / "still", 20, 32, seed=4, folds=2, design=STILL
    )
    labels = tissue_labels(people)
    assert (labels == labels[0]).all()
    mni = template.template(32)
    inside = mni.mask & (labels[0] > 0)
    fractions = np.stack([mni.csf, mni.grey, mni.white])
    # where the template is sure
    sure = inside & (fractions.max(0) > 0.7)
    expected = 1 + fractions.argmax(0)
    assert (labels[0] == expected)[sure].mean() > 0.98


def test_they_lie_where_the_scan_shows_them(tiny_phantom):
    labels = tissue_labels(tiny_phantom)
    t1 = tiny_phantom.volumes["T1"].astype(np.float32)
    assert np.array_equal(labels > 0, t1 != 0)
    swapped = np.roll(np.arange(len(labels)), 1)
    for row, other in zip(range(8), swapped, strict=False):
        level = [t1[row][labels[row] == k].mean() for k in (1, 2, 3)]
        assert level == sorted(level)

        def within(tissue, image=t1[row]):
            """Variance of the image that is left within a tissue."""
            return sum(
                image[tissue == k].var() * (tissue == k).sum()
                for k in range(1, len(CLASSES))
            )

        # a scan is told by its own tissue, not by another person's
        both = (labels[row] > 0) & (labels[other] > 0)
        own, others = labels[row] * both, labels[other] * both
        assert within(own) < within(others)


def test_lesions_leave_the_tissue_as_it_was(tiny_phantom, tmp_path):
    planted = lesions.plant(
        tiny_phantom, tmp_path / "planted", modalities=("T1",)
    )
    before = tissue_labels(tiny_phantom)
    assert np.array_equal(tissue_labels(planted), before)


def test_other_people_are_refused(tmp_path, tiny_phantom):
    with pytest.raises(ValueError, match="of kind .*, expected simulated"):
        tissue_labels(write_small_cohort(tmp_path / "small"))
    with pytest.raises(ValueError, match="expected simulated people"):
        tissue_labels(replace(tiny_phantom, parameters={}))
