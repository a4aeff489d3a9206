"""A brain with a planted ball, for the tests of group maps."""

import numpy as np
from nibabel.affines import apply_affine

SHAPE = (17, 18, 19)


def planted(affine, side):
    """A brain and, on one side of x = 0 mm, a ball around a point far from it;
    bool each.
    """
    world = apply_affine(affine, np.stack(np.indices(SHAPE), axis=-1))
    centre = world[tuple(n // 2 for n in SHAPE)]
    brain = np.linalg.norm((world - centre) / (15, 19, 24), axis=-1) < 1
    ball = np.linalg.norm(world - centre - (side * 8, 3, -5), axis=-1) < 5.5
    return brain, ball, centre + (side * 8, 3, -5)
