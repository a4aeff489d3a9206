"""Encoders by name: DCGAN's, or a class of the package's or of a user's,
which a run's record names and another process makes again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn

from mmssl.models.by_name import named
from mmssl.models.dcgan import Encoder

NEEDED = ("latent", "local_channels")
"""Attributes that an encoder must have: the length of its z, and the channels
of its local map.
"""


def backbone_class(name: str | None) -> type[nn.Module]:
    """The class of a backbone.

    Parameters
    ----------
    name : str or None
        "module:Class", such as "mmssl.models.unet:UNetEncoder"; None is
        DCGAN's. The name may come from a file: what it names is imported, and
        is refused unless it is a module of torch.

    Raises
    ------
    ValueError
        For another spelling, a module that cannot be imported, or what is no
        subclass of `torch.nn.Module`.
    """
    if name is None:
        return Encoder
    found = named(name, "backbone", "mmssl.models.unet:UNetEncoder")
    if not inspect.isclass(found) or not issubclass(found, nn.Module):
        raise ValueError(
            f"backbone {name!r}: {found!r} found, expected a subclass of "
            "torch.nn.Module"
        )
    return found


def accepted_arguments(backbone: type[nn.Module], arguments: Mapping) -> dict:
    """Those of some arguments that the constructor of a class names."""
    accepted = inspect.signature(backbone).parameters
    return {name: v for name, v in arguments.items() if name in accepted}


def make_encoder(
    name: str | None, in_channels: int, options: Mapping
) -> nn.Module:
    """An encoder with initial weights, drawn from torch's global generator.

    Parameters
    ----------
    name : str or None
        As of `backbone_class`.
    in_channels : int
    options : mapping
        width, latent, size, dims, dropout; each is handed to a class whose
        constructor names it.

    Raises
    ------
    ValueError
        As `backbone_class`; for an encoder without the attributes `NEEDED`.
    """
    backbone = backbone_class(name)
    arguments = {"in_channels": in_channels, **options}
    encoder = backbone(**accepted_arguments(backbone, arguments))
    missing = [key for key in NEEDED if not hasattr(encoder, key)]
    if missing:
        raise ValueError(
            f"backbone {name!r}: no attribute {', '.join(missing)}; expected "
            "the length of z and the channels of the local map"
        )
    return encoder
