"""TorchIO's own random transforms, as the paper calls them."""

import warnings

import torch
import torchio as tio

DEFAULTS = {
    "affine": {"scales": (1, 1), "degrees": (0, 0), "translation": (0, 0)},
    "elastic": {},
    "motion": {"degrees": (0, 0), "translation": (0, 0), "num_transforms": 1},
    "ghost": {"num_ghosts": (1, 1), "intensity": (0.5, 0.5)},
    "spike": {"num_spikes": (1, 1), "intensity": (0.5, 0.5)},
    "blur": {"std": (0.25, 0.25)},
    "bias": {"coefficients": (0.5, 0.5), "order": 3},
    "noise": {"mean": (0, 0), "std": (0.25, 0.25)},
    "gamma": {},
}
TRANSFORMS = {
    "affine": tio.RandomAffine,
    "elastic": tio.RandomElasticDeformation,
    "motion": tio.RandomMotion,
    "ghost": tio.RandomGhosting,
    "spike": tio.RandomSpike,
    "blur": tio.RandomBlur,
    "bias": tio.RandomBiasField,
    "noise": tio.RandomNoise,
    "gamma": tio.RandomGamma,
}
# these take one number, the others a range
SINGLE = ("num_control_points", "max_displacement", "order")


def torchio_transform(distortion, parameter, value):
    """The random transform of appendix A.1 as the paper writes it: one
    parameter as (v, v).
    """
    parameters = dict(DEFAULTS[distortion])
    parameters[parameter] = (value, value)
    if parameter in SINGLE:
        parameters[parameter] = value
    return TRANSFORMS[distortion](**parameters)


def by_torchio(volume, distortion, parameter, value, seed, affine):
    """TorchIO's random transform after torch.manual_seed."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore", RuntimeWarning)  # "folding may occur"
        torch.manual_seed(seed)
        image = tio.ScalarImage(tensor=volume.clone(), affine=affine)
        return torchio_transform(distortion, parameter, value)(image).data
