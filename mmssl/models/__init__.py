"""Encoders, decoders and projection heads."""

from mmssl.models.dcgan import Decoder, Encoder, Features
from mmssl.models.heads import ConvolutionalHead
from mmssl.models.statistics import SharedUpdate

__all__ = ["ConvolutionalHead", "Decoder", "Encoder", "Features", "SharedUpdate"]
