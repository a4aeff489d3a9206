"""Encoders that somebody exported: from a folder to the representation of an
image, without the code that trained them.

Layout of the folder, which :mod:`mmssl.pretrain.encoder_export` writes::

    <modality>.safetensors  weights of its encoder
    config.json             what makes the network again, what prepares an
                            image, what is known of data, recipe and results
    mask.npy                (X, Y, Z) bool, the brain in the space of the
                            images (brains only)
    README.md               the same for people to read
    exposures.json          whom the encoders have seen, as keyed hashes
                            (simulated people only)
    manifest.json           hashes of these

The folder may come from anybody: each file is compared with its hash, and
what it says with what the others hold, before anything is made of it; nothing
in it is executed or imported, and no path is taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmssl.ledger import limits
from mmssl.ledger.hashes import is_hash
from mmssl.ledger.manifest import MANIFEST, check_files, read_manifest
from mmssl.preprocessing.exported_config import ExportedConfig, read_config
from mmssl.preprocessing.network_inputs import network_input

if TYPE_CHECKING:
    import torch

CONFIG, CARD, MASK = "config.json", "README.md", "mask.npy"
EXPOSURES = "exposures.json"
WEIGHTS = ".safetensors"

LARGEST_HEADER = 1 << 20
"""Bytes of the header of a file of weights; that of 900 tensors has 100 kB."""

# of images that pass a network at once
_BATCH = 64


@dataclass(frozen=True, eq=False)
class ExportedEncoder:
    """An encoder and what prepares an image for it.

    Attributes
    ----------
    modality : what it encodes.
    network : Module in evaluation mode, on the CPU; gives
        :class:`mmssl.models.dcgan.Features`.
    shape : (C, *sides) of one image.
    landmarks : of its intensities, or None for images in [0, 1].
    mask : (X, Y, Z) bool, the brain, or None.
    affine : (4, 4) voxel to RAS+ world in mm of the space in which images
        must lie, or None.
    config : all that ``config.json`` says.
    """

    modality: str
    network: torch.nn.Module
    shape: tuple[int, ...]
    landmarks: dict | None
    mask: np.ndarray | None
    affine: np.ndarray | None
    config: Mapping[str, Any]

    def prepare(self, volumes: np.ndarray) -> torch.Tensor:
        """Input of the network for images.

        Parameters
        ----------
        volumes : array, shape (n, *sides), or (n, C, *sides) of several C
            In the space of ``affine``, in intensities of their own.

        Returns
        -------
        Tensor, shape (n, C, *sides)
            float32; rounded to float16 on the way, as in training.

        Raises
        ------
        ValueError
            For another shape, or an image that cannot be standardised, by
            its number.
        """
        import torch

        volumes = np.asarray(volumes)
        has_channels = self.shape[0] > 1
        expected = self.shape if has_channels else self.shape[1:]
        if volumes.shape[1:] != expected:
            raise ValueError(
                f"volumes of {self.modality}: shape {volumes.shape} found, "
                f"expected (n, {', '.join(map(str, expected))})"
            )
        x = network_input(volumes, self.landmarks, self.mask)
        x = x.astype(np.float16).astype(np.float32)
        return torch.from_numpy(x if has_channels else x[:, None])

    def embed(self, volumes: np.ndarray) -> np.ndarray:
        """z of images, (n, latent) float32; parameters and errors as of
        `prepare`.
        """
        import torch

        x = self.prepare(volumes)
        parts = [np.empty((0, self.network.latent), np.float32)]
        with torch.no_grad():
            for start in range(0, len(x), _BATCH):
                z = self.network(x[start : start + _BATCH]).z
                parts.append(z.float().numpy())
        return np.concatenate(parts)


def load_exported(
    folder: str | Path, backbone: type[torch.nn.Module] | None = None
) -> dict[str, ExportedEncoder]:
    """The encoders of a folder, with what prepares images for them.

    >>> encoder = preprocessing.load_exported("exported/RR")["T1"]
    >>> x = encoder.prepare(volumes)  # (n, 1, X, Y, Z)
    >>> z = encoder.network(x).z  # (n, latent)

    Parameters
    ----------
    folder : path
        As :func:`mmssl.pretrain.encoder_export.export_encoders` wrote it.
    backbone : subclass of Module, optional
        The class of the encoders, where it is not one of the package's: what
        a file names is never imported.

    Returns
    -------
    dict
        {modality: ExportedEncoder}; all with one network where the run had
        one.

    Raises
    ------
    ValueError
        Naming the file, the field, what was found and what is expected: a
        file that is missing, changed, truncated, of another type or of other
        shapes than the network's; a class that is not the package's; a field
        that is missing or impossible.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    modalities = config.modalities()
    has_mask = config.field("input.mask", bool)
    hashes = _check_manifest(folder, modalities, has_mask)
    mask = None
    if has_mask:
        mask = _read_mask(folder / MASK, config.shape(modalities[0])[1:])
    networks = {}
    for m in modalities:
        networks[m] = _network(folder, config, m, backbone)
    if config.field("network.shared", bool):
        if len({hashes[f"{m}{WEIGHTS}"] for m in modalities}) > 1:
            expected = "false, as the files of weights differ"
            raise config.fault("network.shared", True, expected)
        networks = dict.fromkeys(modalities, networks[modalities[0]])
    encoders = {}
    for m, network in networks.items():
        steps = config.landmarks(m), mask, config.affine()
        encoders[m] = ExportedEncoder(
            m, network, config.shape(m), *steps, config.content
        )
    return encoders


def _check_manifest(
    folder: Path, modalities: list[str], has_mask: bool
) -> dict[str, str]:
    """Hashes of the files of the folder, which the manifest names and they
    have.
    """
    file = folder / MANIFEST
    expected = {CONFIG, CARD, *(f"{m}{WEIGHTS}" for m in modalities)}
    if has_mask:
        expected.add(MASK)
    if file.is_file():
        limits.check_text(file)
    hashes = read_manifest(folder)
    if EXPOSURES in hashes:
        expected.add(EXPOSURES)
    if set(hashes) != expected:
        raise ValueError(
            f"{file}: files {sorted(hashes)} found, expected "
            f"{sorted(expected)}"
        )
    for name, value in hashes.items():
        if not is_hash(value):
            raise ValueError(
                f"{file}: {name} is {value!r}, expected a SHA-256"
            )
    check_files(folder, hashes, sorted(expected))
    return hashes


def _read_mask(file: Path, sides: tuple[int, ...]) -> np.ndarray:
    """The brain of the space, a copy in memory."""
    try:
        # `numpy.load` opens archives too
        found = np.lib.format.open_memmap(file, mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file}: not a readable array ({error})") from error
    if found.shape != sides or found.dtype != bool:
        raise ValueError(
            f"{file}: {found.dtype} of shape {found.shape} found, expected "
            f"bool of shape {sides}"
        )
    return np.array(found)


def _network(
    folder: Path,
    config: ExportedConfig,
    modality: str,
    backbone: type[torch.nn.Module] | None,
) -> torch.nn.Module:
    """The network of a modality with its weights."""
    from mmssl.models import exported

    arguments = config.field(f"network.arguments.{modality}", dict)
    try:
        name = config.field("network.class", str)
        encoder = exported.encoder_class(name, backbone)
        expected = exported.expected_weights(encoder, arguments)
    except exported.RecordError as error:
        raise ValueError(f"{config.file}: network.{error}") from error
    file = folder / f"{modality}{WEIGHTS}"
    try:
        weights = _read_weights(file, expected, config.stored())
        network = exported.rebuilt_encoder(encoder, arguments, weights)
    except exported.RecordError as error:
        raise ValueError(f"{file}: {error}") from error
    shape = config.shape(modality)
    # a user's class need not know the shape of its input
    found = tuple(getattr(network, "input_shape", shape))
    if found != shape:
        raise config.fault(
            f"network.arguments.{modality}",
            arguments,
            f"those of a network for {shape}, as input has it",
        )
    return network


def _read_weights(
    file: Path, expected: Mapping[str, torch.Tensor], stored: str
) -> dict[str, torch.Tensor]:
    """Tensors of a file of the names, shapes and types that are expected."""
    import torch
    from safetensors import SafetensorError, safe_open

    from mmssl.models import exported

    _check_header_length(file)
    weights = {}
    try:
        with safe_open(file, framework="pt") as content:
            shapes = {}
            for name in content.keys():
                shapes[name] = tuple(content.get_slice(name).get_shape())
            exported.check_weights(shapes, expected)
            for name in expected:
                weights[name] = content.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{file}: not a whole file of safetensors ({error})"
        ) from error
    for name, value in expected.items():
        wanted = value.dtype
        if value.is_floating_point():
            wanted = getattr(torch, stored)
        if weights[name].dtype != wanted:
            raise ValueError(
                f"{file}: tensor {name!r}: {weights[name].dtype} found, "
                f"expected {wanted}"
            )
    return weights


def _check_header_length(file: Path) -> None:
    """ValueError for a file of another kind, or too large, by its first
    bytes.
    """
    size = file.stat().st_size
    limits.check_declared(file, size, "file")
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if not 0 < length <= min(LARGEST_HEADER, size - 8):
        raise ValueError(
            f"{file}: a header of {length} bytes declared by a file of "
            f"{size}, expected safetensors with one of at most "
            f"{LARGEST_HEADER} (exported_encoders.LARGEST_HEADER)"
        )
