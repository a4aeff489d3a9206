"""Do intervals and tests keep their nominal rates? Simulations in which the
truth is known, at any size.

Each function draws worlds from a seed fixed beforehand, applies what a page of
the book applies, and returns one line per method and setting: how often it was
right, with the exact binomial 99 % interval of that share, the mean width of
its intervals, and whether the claim beside it holds: that the binomial
interval reaches up to the nominal rate ("at least"), down to it ("at most"),
or contains it ("exactly"). Lines without a claim are there to compare.
"""

from covariates import covariate_in_noise
from editions import claim_verdicts
from intervals import (
    auc_coverage,
    calibration_line,
    difference_coverage,
    population_gap,
)
from maps import covariate_behind_groups, false_voxels
from representations import coupling_difference, scans_across_folds

SIMULATIONS = {  # worlds at full size
    auc_coverage: 2000,
    difference_coverage: 1000,
    population_gap: 1000,
    calibration_line: 1000,
    covariate_in_noise: 300,
    false_voxels: 2000,
    covariate_behind_groups: 1000,
    scans_across_folds: 200,
    coupling_difference: 2000,
    claim_verdicts: 200,
}


def sizes(share=1.0, least=20):
    """Each simulation and its number of worlds, at a share of the full
    size.
    """
    return {
        run: max(least, round(share * full))
        for run, full in SIMULATIONS.items()
    }
