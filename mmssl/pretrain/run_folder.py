"""The folder of a run: written under a temporary name, resumed only with the
parameters and the code it was begun with.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mmssl.ledger import atomic, limits
from mmssl.ledger.manifest import check_manifest, write_manifest
from mmssl.pretrain.encoders import encode, presence, write_embeddings

if TYPE_CHECKING:
    import pandas as pd

PARAMETERS = "params.json"
# what resuming needs, and a finished run does not
LAST, BEST = "last.ckpt", "best.ckpt"
LIBRARIES = ("python", "torch", "lightning", "numpy")
"""On whose versions the last digits of a run depend."""


def begin(folder: Path, parameters: Mapping, made_by: Mapping) -> None:
    """Open the folder of an unfinished run, or take it up where it stands.

    What a killed owner left half-written goes. Parameters are written down
    with what makes the run; where it goes on with another device, number of
    threads or processes, or version of `LIBRARIES`, the first stay on record
    and the others are added as ``resumed_in``.

    Parameters
    ----------
    folder : Path
        Made where it is missing; its owner alone may (`mmssl.ledger.locks`).
    parameters : mapping
        Asked for.
    made_by : mapping
        Code, versions, threads, processes and device.

    Warns
    -----
    UserWarning
        If the run goes on in another environment: it will not equal, bit for
        bit, one that was made in one piece.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atomic.remove_unfinished(folder)
    record = {**parameters, **made_by, "resumed_in": []}
    if (folder / LAST).exists():
        earlier = json.loads(limits.read_text(folder / PARAMETERS))
        resumed_in = _resumed_in(earlier, _environment(record))
        record = {**earlier, "resumed_in": resumed_in}
    text = json.dumps(record, indent=1, sort_keys=True)
    with atomic.file(folder / PARAMETERS) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _environment(record: Mapping) -> dict:
    """On what the last digits of a run depend, beside parameters and code."""
    libraries = {name: record["versions"][name] for name in LIBRARIES}
    return {
        "device": record["device"],
        "threads": record["threads"],
        "processes": record["processes"],
        **libraries,
    }


def _resumed_in(earlier: Mapping, environment: dict) -> list[dict]:
    """Environments that a run went on in, this one included if it is new."""
    known = [_environment(earlier), *earlier["resumed_in"]]
    differences = [
        f"{name} {known[-1][name]!r}, now {value!r}"
        for name, value in environment.items()
        if known[-1][name] != value
    ]
    if not differences:
        return known[1:]
    warnings.warn(
        "the run goes on in another environment than before: "
        f"{'; '.join(differences)}. It will not equal, bit for bit, a run in "
        "one piece; params.json says so",
        stacklevel=4,
    )
    return [*known[1:], environment]


def read_parameters(run_dir: str | Path) -> dict:
    """Return what was asked of a finished run and what made it.

    Raises
    ------
    ValueError
        Where there is no finished run, or one of its files is not the one
        that was made, by its hash.
    """
    folder = Path(run_dir)
    if not (folder / PARAMETERS).is_file():
        raise ValueError(
            f"{folder / PARAMETERS}: not found; expected the folder of a "
            "finished run"
        )
    check_manifest(folder)
    try:
        return json.loads(limits.read_text(folder / PARAMETERS))
    except ValueError as error:
        raise ValueError(
            f"{folder / PARAMETERS}: not valid JSON ({error})"
        ) from error


def read_history(run_dir: str | Path) -> pd.DataFrame:
    """Return the history of a finished run, a line for each epoch; errors as
    `read_parameters`.
    """
    import pandas as pd

    read_parameters(run_dir)
    return pd.read_csv(Path(run_dir) / "history.csv", encoding="utf-8")


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
    found = json.loads(limits.read_text(path))
    for name, expected in json.loads(json.dumps(parameters)).items():
        value = found.get(name)
        if value == expected:
            continue
        value, expected = _differing(value, expected)
        raise ValueError(
            f"{path}: {name} is {value!r}, asked for {expected!r}; "
            f"remove {folder} or choose another run_dir"
        )


def _differing(found, expected) -> tuple:
    """Two unequal values; of tables, the entries that differ are enough."""
    if not isinstance(found, dict) or not isinstance(expected, dict):
        return found, expected
    left, right = {}, {}
    for name in sorted(found.keys() | expected.keys()):
        first, second = found.get(name), expected.get(name)
        if first != second:
            left[name], right[name] = _differing(first, second)
    return left, right


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
        limits.check_archive(path)
        # its checksums, which torch does not look at
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # of zip, pickle or torch
        damaged = type(error).__name__
        cause = error
    else:
        cause = None
    if damaged:
        raise ValueError(
            f"{path}: not a readable checkpoint, it is truncated or damaged "
            f"({damaged}); remove {path.parent} to train anew"
        ) from cause


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
        modality -> Tensor or StoredInputs (pairs, C, *sides), standardised.
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
    check_checkpoint(folder / BEST)
    best = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    objective.load_state_dict(best)
    content = {"objective": best, "landmarks": landmarks, "network": network}
    torch.save(content, folder / "checkpoint.ckpt")
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    table = _dimension_table(dimensions)
    table.to_csv(folder / "dimensions.csv", index=False)
    there = presence(cohort)
    embeddings = encode(objective.encoders, inputs, present=there)
    write_embeddings(folder / "embeddings.npz", embeddings, cohort)
    for name in (LAST, BEST):
        (folder / name).unlink()
    write_manifest(folder)


def _dimension_table(records: list[dict]) -> pd.DataFrame:
    """A line for each epoch, modality and latent dimension."""
    import pandas as pd

    tables = []
    for record in records:
        numbers = range(len(record["std"]))
        tables.append(pd.DataFrame({**record, "dimension": numbers}))
    return pd.concat(tables)[["epoch", "modality", "dimension", "std"]]
