"""A user's distortions, in a module of their own."""

import torch

from mmssl.robustness import OwnDistortion, Parameter


class Stripes(OwnDistortion):
    """Darkens every second slab across the first axis, from a place that is
    drawn.
    """

    parameters = {
        "width": Parameter(2.0, 20.0, 6, float, 8.0, "mm"),
        "share": Parameter(0.1, 0.9, 8, float, 0.5),
    }

    def __init__(self, space, **settings):
        super().__init__(space, **settings)
        step = torch.from_numpy(space.affine[:3, 0]).norm()
        places = step * torch.arange(space.shape[0])
        self.places = places.to(space.device)

    def __call__(self, volume, generator):
        """Darken the volume in place."""
        width = self.settings["width"]
        offset = 2 * width * torch.rand(1, generator=generator).item()
        slabs = torch.div(self.places + offset, width, rounding_mode="floor")
        volume[slabs % 2 == 1] *= 1 - self.settings["share"]
        return volume


class Roll(OwnDistortion):
    """Moves the brain by whole voxels along the last axis."""

    parameters = {"voxels": Parameter(0, 3, 3, int, 1)}
    moves_brain = True

    def __call__(self, volume, generator):
        """Roll the volume."""
        return volume.roll(self.settings["voxels"], 2)
