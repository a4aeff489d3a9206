"""Encoders, decoders and projection heads, and the random numbers they
draw.
"""

from mmssl.models.batchnorm import SharedUpdate
from mmssl.models.dcgan import Decoder, Encoder, Features
from mmssl.models.heads import ConvolutionalHead
from mmssl.models.keyed_random import Stream

__all__ = [
    "ConvolutionalHead",
    "Decoder",
    "Encoder",
    "Features",
    "SharedUpdate",
    "Stream",
]
