"""The folder of a run: written under a temporary name, resumed only with the
parameters and the code it was begun with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mmssl.ledger import atomic
from mmssl.pretrain.encoders import encode, export_embeddings

if TYPE_CHECKING:
    import pandas as pd

PARAMETERS = "params.json"
# what resuming needs, and a finished run does not
LAST, BEST = "last.ckpt", "best.ckpt"


def write_parameters(folder: Path, parameters: Mapping) -> None:
    """Write what was asked of a run, of which data, by which code."""
    text = json.dumps(parameters, indent=1, sort_keys=True)
    with atomic.file(folder / PARAMETERS) as temporary:
        temporary.write_text(text + "\n")


def check_parameters(folder: Path, parameters: Mapping) -> None:
    """Refuse to continue or return a run of other parameters.

    Parameters
    ----------
    folder : Path
        Of a finished or unfinished run; nothing is checked where there is
        none.
    parameters : mapping
        Those asked for; others of the run are not looked at.

    Raises
    ------
    ValueError
        Naming the file, the parameter, and its value found and expected.
    """
    path = folder / PARAMETERS
    if not path.exists():
        return
    found = json.loads(path.read_text())
    for name, expected in json.loads(json.dumps(parameters)).items():
        value = found.get(name)
        if value == expected:
            continue
        if name == "code":  # the modules that differ are enough
            value = value or {}
            difference = value.items() ^ expected.items()
            modules = sorted({module for module, _ in difference})
            value = {m: value.get(m) for m in modules}
            expected = {m: expected.get(m) for m in modules}
        raise ValueError(
            f"{path}: {name} is {value!r}, asked for {expected!r}; "
            f"remove {folder} or choose another run_dir"
        )


def check_checkpoint(path: Path) -> None:
    """Refuse to resume from a checkpoint that cannot be read whole.

    Parameters
    ----------
    path : Path
        Of the checkpoint; nothing is checked where there is none.

    Raises
    ------
    ValueError
        Naming the file and the way out.
    """
    if not path.exists():
        return
    try:
        torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # of zip, pickle or torch
        raise ValueError(
            f"{path}: not a readable checkpoint, it is truncated or damaged "
            f"({type(error).__name__}); remove {path.parent} to train anew"
        ) from error


def finish(
    folder: Path,
    objective: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    cohort,
    landmarks: Mapping,
    network: Mapping,
    history: list[dict],
    dimensions: list[dict],
) -> None:
    """Write what a finished run holds beside its parameters, and drop what
    only resuming needs.

    Parameters
    ----------
    folder : Path
        Of the unfinished run, which holds the best state of the objective.
    objective : Objective
        Left in that state.
    inputs : mapping
        modality -> Tensor (pairs, C, *sides), standardised.
    cohort : Cohort
        Whose pairs they are.
    landmarks, network : mapping
        Intensity landmarks and shape of the encoders, for
        :func:`mmssl.pretrain.encoders.load_encoders`.
    history, dimensions : list of dict
        Of :class:`mmssl.pretrain.loop.Recorder`.
    """
    import pandas as pd

    # no trace of the device it was trained on
    best = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    objective.load_state_dict(best)
    content = {"objective": best, "landmarks": landmarks, "network": network}
    torch.save(content, folder / "checkpoint.ckpt")
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    table = _dimension_table(dimensions)
    table.to_csv(folder / "dimensions.csv", index=False)
    arrays = {m: x.cpu().numpy() for m, x in inputs.items()}
    embeddings = encode(objective.encoders, arrays)
    export_embeddings(folder / "embeddings.npz", embeddings, cohort)
    for name in (LAST, BEST):
        (folder / name).unlink()


def _dimension_table(records: list[dict]) -> pd.DataFrame:
    """A line for each epoch, modality and latent dimension."""
    import pandas as pd

    tables = []
    for record in records:
        numbers = range(len(record["std"]))
        tables.append(pd.DataFrame({**record, "dimension": numbers}))
    return pd.concat(tables)[["epoch", "modality", "dimension", "std"]]
