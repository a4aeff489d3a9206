"""Encoders of a finished run for others: weights as safetensors, with all
that it takes to prepare an image and to know what the encoders are.

:func:`mmssl.preprocessing.exported_encoders.load_exported` reads what is
written here, and says how the folder is laid out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmssl.ledger import atomic
from mmssl.ledger.hashes import as_json, hash_file, hash_json
from mmssl.ledger.manifest import write_manifest
from mmssl.models.exported import recorded_name
from mmssl.preprocessing.exported_config import FORMAT, STORED
from mmssl.preprocessing.exported_encoders import (
    CARD,
    CONFIG,
    EXPOSURES,
    MASK,
    WEIGHTS,
)
from mmssl.preprocessing.intensity import PERCENTILES
from mmssl.pretrain.backbones import accepted_arguments, backbone_class
from mmssl.pretrain.encoders import load_encoders, load_weights
from mmssl.pretrain.export_record import (
    check_cohort,
    data_record,
    making_record,
    recipe_record,
    seen_people,
    stated_simulated,
)
from mmssl.pretrain.model_card import LIBRARY, model_card
from mmssl.pretrain.probed_runs import (
    EMBEDDINGS,
    PROTOCOL,
    ProbedRuns,
    as_record,
)
from mmssl.pretrain.run_folder import read_parameters

if TYPE_CHECKING:
    import torch

_ARGUMENTS = ("width", "latent", "size", "dims", "dropout")

_STEPS = {
    "brain": [
        "Register the image to the space of the affine, voxel for voxel, and "
        "keep its own intensities.",
        "Measure the percentiles of the voxels that are inside the mask and "
        "not 0 (region 'brain'), or of all voxels (region 'image'), and map "
        "them linearly onto the landmarks, but those of 25 and 75.",
        "Subtract the mean of the same voxels and divide by their standard "
        "deviation; of region 'image', those above the image's own mean.",
        "Set to 0 what is outside the mask or was 0.",
        "Round to float16, and compute in float32.",
    ],
    "unit": [
        "Values are in [0, 1] and pass as they are.",
        "Round to float16, and compute in float32.",
    ],
}
"""What `ExportedEncoder.prepare` does to an image, for other software."""


def export_encoders(
    run_dir: str | Path,
    folder: str | Path,
    results: str | Path | None = None,
    *,
    cohort,
    dtype: str = "float32",
    license: str | None = None,
    simulated: str | None = None,
    protocol: str = PROTOCOL,
) -> Path:
    """Write the encoders of a finished run, with a model card.

    Parameters
    ----------
    run_dir : path
        Of the run.
    folder : path
        To be made; complete or not at all.
    results : path, optional
        ``linear_evaluation.tsv`` of the page that probed the run, with its
        sidecar. The line of each modality goes into the card, with the
        baselines beside it.
    cohort : Cohort
        That the run was trained on: its space and mask prepare an image.
    dtype : {"float32", "float16"}
        In which weights are kept; half of the bytes, and no longer equal to
        the bit.
    license : str, optional
        Of the weights, as model hubs spell it; nothing is said without.
    simulated : {"people", "lesions"}, optional
        What of the data is simulated, where the cohort does not say so
        itself.
    protocol : str
        Of the lines of the table.

    Returns
    -------
    Path
        ``folder``. It holds no identifier of anybody, nor anybody's image;
        of simulated people also ``exposures.json``, the keyed hashes by which
        who has the same cohort proves that somebody was not seen.

    Raises
    ------
    FileExistsError
        Where the folder exists.
    ValueError
        As `load_encoders`; for another cohort, dtype or table than one of
        this run, a license of more than a line, a weight beyond the range of
        float16, or simulated people posed as others.
    """
    run_dir, folder = Path(run_dir), Path(folder)
    if dtype not in STORED:
        raise ValueError(
            f"dtype is {dtype!r}, expected one of {', '.join(STORED)}"
        )
    if license is not None and not (license and license.isprintable()):
        raise ValueError(f"license is {license!r}, expected a line of text")
    parameters = read_parameters(run_dir)
    check_cohort(run_dir, parameters, cohort)
    stated = stated_simulated(cohort, simulated)
    encoders, landmarks = load_encoders(run_dir)
    data = data_record(cohort, stated) | {"seen": seen_people(run_dir)}
    config = {
        "format": FORMAT,
        "library": LIBRARY,
        "modalities": list(encoders),
        "network": _network_record(run_dir, encoders),
        "weights": {"dtype": dtype},
        "input": _input_record(cohort, landmarks),
        "data": data,
        "recipe": recipe_record(parameters),
        "results": None,
        "made_by": making_record(parameters),
    }
    if results is not None:
        probed = ProbedRuns(results, protocol)
        config["results"] = _results_record(probed, run_dir, encoders)
    weights = {}
    for m, encoder in encoders.items():
        weights[m] = _stored_weights(run_dir, m, encoder, dtype)
    with atomic.directory(folder) as unfinished:
        if stated == "people":
            shutil.copyfile(run_dir / EXPOSURES, unfinished / EXPOSURES)
        _write(unfinished, weights, config, cohort.mask, license)
    return folder


def _network_record(run_dir: Path, encoders: Mapping) -> dict[str, Any]:
    """What makes the networks again."""
    shape = load_weights(run_dir).shape
    first = next(iter(encoders.values()))
    backbone = backbone_class(shape.get("backbone"))
    arguments, numbers = {}, {}
    for m, encoder in encoders.items():
        own = {name: shape[name] for name in _ARGUMENTS}
        own["in_channels"] = shape["channels"][m]
        arguments[m] = accepted_arguments(backbone, own)
        numbers[m] = sum(p.numel() for p in encoder.parameters())
    return {
        "class": recorded_name(backbone),
        "arguments": arguments,
        "shared": bool(shape.get("shared")),
        "latent": int(first.latent),
        "parameters": numbers,
    }


def _input_record(cohort, landmarks: Mapping) -> dict[str, Any]:
    """What prepares an image."""
    is_plain = all(found is None for found in landmarks.values())
    if is_plain != (cohort.intensity == "unit"):
        raise ValueError(
            f"{cohort.path / 'cohort.json'}: intensity is "
            f"{cohort.intensity!r}, expected that of the run, which has "
            f"{'no ' if is_plain else ''}landmarks"
        )
    affine = voxels = None
    if cohort.affine is not None:
        affine = cohort.affine.tolist()
        voxels = np.linalg.norm(cohort.affine[:3, :3], axis=0).tolist()
    sides = "X, Y, Z: RAS+" if cohort.dims == 3 else "H, W"
    return {
        "axes": f"(images, channels, sides), sides {sides}",
        "channels": dict(cohort.channels),
        "size": cohort.size,
        "dims": cohort.dims,
        "affine": affine,
        "voxel_mm": voxels,
        "mask": cohort.mask is not None,
        "intensity": cohort.intensity,
        "percentiles": PERCENTILES.tolist(),
        "landmarks": dict(landmarks),
        "steps": _STEPS[cohort.intensity],
    }


def _results_record(
    probed: ProbedRuns, run_dir: Path, modalities
) -> dict[str, Any]:
    """The lines of a results table that are those of the run."""
    own = probed.of_embeddings(hash_file(run_dir / EMBEDDINGS))
    found = {}
    for m in modalities:
        lines = own[own["modality"] == m]
        if len(lines) != 1:
            raise ValueError(
                f"{probed.file}: {len(lines)} lines of {m} made from "
                f"{run_dir / EMBEDDINGS}, expected 1: the table of the page "
                "that probed this run"
            )
        row = as_record(lines.iloc[0])
        baselines = []
        for _, line in probed.baselines(m).iterrows():
            baselines.append(as_record(line))
        found[m] = {
            "row": row,
            "row_hash": hash_json(row),
            "baselines": baselines,
        }
    return {
        "table": probed.file.name,
        "table_hash": probed.hash,
        "protocol": found[next(iter(found))]["row"]["protocol"],
        "modalities": found,
    }


def _stored_weights(
    run_dir: Path, modality: str, encoder: torch.nn.Module, dtype: str
) -> dict[str, torch.Tensor]:
    """Weights of an encoder in the type they are kept in, each with memory of
    its own.
    """
    import torch

    weights = {}
    for name, value in encoder.state_dict().items():
        kept = value.detach().clone(memory_format=torch.contiguous_format)
        if value.is_floating_point():
            kept = kept.to(getattr(torch, dtype))
            if not kept.isfinite().all():
                raise ValueError(
                    f"{run_dir / 'checkpoint.ckpt'}: encoder of {modality}: "
                    f"{name} holds values up to {value.abs().max().item():g}, "
                    f"expected what {dtype} can hold"
                )
        weights[name] = kept
    return weights


def _write(
    folder: Path,
    weights: Mapping[str, Mapping[str, torch.Tensor]],
    config: Mapping,
    mask: np.ndarray | None,
    license: str | None,
) -> None:
    """Write all files of an export, the manifest last."""
    from safetensors.torch import save

    for m, tensors in weights.items():
        # other software asks for the format; a file that safetensors writes
        # itself is readable by its owner alone
        content = save(dict(tensors), {"format": "pt"})
        (folder / f"{m}{WEIGHTS}").write_bytes(content)
    if mask is not None:
        np.save(folder / MASK, np.asarray(mask, dtype=bool))
    text = as_json(config, indent=1) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    card = model_card(config, license)
    (folder / CARD).write_text(card, encoding="utf-8")
    write_manifest(folder)
