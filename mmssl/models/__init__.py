"""Encoders, decoders and projection heads."""

from mmssl.models.dcgan import Decoder, Encoder, Features
from mmssl.models.heads import ConvolutionalHead

__all__ = ["ConvolutionalHead", "Decoder", "Encoder", "Features"]
