"""Encoders, decoders and projection heads, and the random numbers they
draw.
"""

from mmssl.models.batchnorm import SharedUpdate
from mmssl.models.dcgan import Decoder, Encoder, Features
from mmssl.models.densenet import DenseNetEncoder
from mmssl.models.heads import ConvolutionalHead
from mmssl.models.keyed_random import Stream
from mmssl.models.resnet import (
    ResNetEncoder,
    ResNetUNetDecoder,
    ResNetUNetEncoder,
)
from mmssl.models.transformation_attention import TransformationAttention
from mmssl.models.unet import UNetDecoder, UNetEncoder

__all__ = [
    "ConvolutionalHead",
    "Decoder",
    "DenseNetEncoder",
    "Encoder",
    "Features",
    "ResNetEncoder",
    "ResNetUNetDecoder",
    "ResNetUNetEncoder",
    "SharedUpdate",
    "Stream",
    "TransformationAttention",
    "UNetDecoder",
    "UNetEncoder",
]
