"""What moves a latent dimension, and whether a map of it is evidence."""

from mmssl.saliency.maps import Saliency, average, postprocess
from mmssl.saliency.parameter_randomisation import randomised
from mmssl.saliency.smoothgrad import smoothgrad, stream

__all__ = [
    "Saliency",
    "average",
    "postprocess",
    "randomised",
    "smoothgrad",
    "stream",
]
