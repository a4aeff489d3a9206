"""Encoders that were exported: described by a record, and made again from it
without believing it.

A record may come from anybody's file, so nothing that it names is imported:
a class is one of `ENCODERS`, or one that the caller hands over. Shapes are
compared with those of the weights before there is memory for either.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmssl.models.dcgan import Encoder
from mmssl.models.densenet import DenseNetEncoder
from mmssl.models.resnet import ResNetEncoder, ResNetUNetEncoder
from mmssl.models.unet import UNetEncoder

_OWN = (
    Encoder,
    DenseNetEncoder,
    ResNetEncoder,
    ResNetUNetEncoder,
    UNetEncoder,
)
ENCODERS = {one.__name__: one for one in _OWN}
"""The package's encoders, by the name that a record has for them."""

WHOLE = ("in_channels", "width", "latent", "size", "dims")
"""Arguments of an encoder that are whole numbers; ``dropout`` is a share."""

LARGEST_ARGUMENT = 1 << 16


class RecordError(ValueError):
    """A record, or weights, of which no encoder is made: the field, what was
    found and what is expected. Who reads a file adds its name.
    """


def recorded_name(encoder: type[nn.Module]) -> str:
    """The name of a class in a record: that of `ENCODERS`, or "module:Class"
    of a user's.
    """
    if ENCODERS.get(encoder.__name__) is encoder:
        return encoder.__name__
    return f"{encoder.__module__}:{encoder.__qualname__}"


def encoder_class(
    name: str, backbone: type[nn.Module] | None = None
) -> type[nn.Module]:
    """The class that a record names.

    Parameters
    ----------
    name : str
        As of `recorded_name`; nothing is imported by it.
    backbone : subclass of Module, optional
        The class itself, where it is not one of the package's.

    Raises
    ------
    RecordError
        For a name that is not one of `ENCODERS`, without a class of that
        name; or a class that is not the one that is named.
    """
    known = ENCODERS.get(name) if isinstance(name, str) else None
    if backbone is None and known is None:
        raise RecordError(
            f"class is {name!r}, expected one of {', '.join(ENCODERS)}; hand "
            "a class of your own over as backbone="
        )
    if backbone is None or backbone is known:
        return known
    short = name.rpartition(":")[2] if isinstance(name, str) else name
    if known is not None or backbone.__qualname__ != short:
        raise RecordError(
            f"class is {name!r}, expected {recorded_name(backbone)!r}, which "
            "was handed over as backbone="
        )
    return backbone


def check_arguments(arguments: Mapping) -> None:
    """RecordError unless these are arguments of an encoder, of a size that
    one can have.
    """
    if not isinstance(arguments, Mapping):
        raise RecordError(
            f"arguments is {arguments!r}, expected a value for each name"
        )
    for name, value in arguments.items():
        if name in WHOLE:
            expected = f"a whole number from 1 to {LARGEST_ARGUMENT}"
            fits = type(value) is int and 1 <= value <= LARGEST_ARGUMENT
        elif name == "dropout":
            expected = "a share from 0 to below 1"
            fits = type(value) in (int, float) and 0 <= value < 1
        else:
            expected = f"only {', '.join(WHOLE)} and dropout"
            fits = False
        if not fits:
            raise RecordError(
                f"arguments.{name} is {value!r}, expected {expected}"
            )


def expected_weights(
    encoder: type[nn.Module], arguments: Mapping
) -> dict[str, Tensor]:
    """Names, shapes and types of an encoder's weights: tensors without memory.

    Raises
    ------
    RecordError
        As `check_arguments`, or where the class refuses them.
    """
    check_arguments(arguments)
    try:
        with torch.device("meta"):
            return encoder(**arguments).state_dict()
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise RecordError(
            f"arguments is {dict(arguments)!r}, expected what "
            f"{encoder.__name__} can be made of ({error})"
        ) from error


def check_weights(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, Tensor]
) -> None:
    """RecordError unless weights have the names and shapes of an encoder's.

    Parameters
    ----------
    found : {name: shape}
        Of the weights that are there.
    expected : {name: Tensor}
        Of `expected_weights`.
    """
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise RecordError(
            f"no tensor {missing[0]!r} found ({len(missing)} missing), "
            f"expected {len(expected)} of the network"
        )
    further = sorted(found.keys() - expected.keys())
    if further:
        raise RecordError(
            f"tensor {further[0]!r} found ({len(further)} further), expected "
            f"the {len(expected)} of the network alone"
        )
    for name, value in expected.items():
        if tuple(found[name]) != tuple(value.shape):
            raise RecordError(
                f"tensor {name!r}: shape {tuple(found[name])} found, expected "
                f"{tuple(value.shape)}"
            )


def rebuilt_encoder(
    encoder: type[nn.Module], arguments: Mapping, weights: Mapping[str, Tensor]
) -> nn.Module:
    """An encoder with given weights, in evaluation mode, on the CPU.

    Parameters
    ----------
    encoder : subclass of Module
        Of `encoder_class`.
    arguments : mapping
        Of its constructor.
    weights : {name: Tensor}
        Half precision becomes what the network computes in.

    Raises
    ------
    RecordError
        As `expected_weights` and `check_weights`; for a weight that is not
        finite.
    """
    expected = expected_weights(encoder, arguments)
    check_weights({n: value.shape for n, value in weights.items()}, expected)
    for name, value in weights.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise RecordError(
                f"tensor {name!r}: values that are not finite found, expected "
                "finite ones"
            )
    # initial weights, which are replaced at once, disturb nobody's draws
    with torch.random.fork_rng(devices=[]):
        network = encoder(**arguments)
    network.load_state_dict(weights)
    return network.eval()
