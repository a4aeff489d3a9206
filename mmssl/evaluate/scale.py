"""What a cohort costs by the person, measured, and what larger ones would
cost.

An extrapolation is no measurement: it takes every stage to go on as it did,
and memory and disk to grow in a straight line.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from mmssl.ledger.cost import measured
from mmssl.ledger.hashes import hash_file, hash_path
from mmssl.ledger.kept import kept
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.pretrain.encoders import encode, load_encoders
from mmssl.pretrain.fit import fit
from mmssl.pretrain.stored_inputs import chosen_place
from mmssl.stats.power_law import power_law

if TYPE_CHECKING:
    import pandas as pd

LOAD = "load and verify"
LANDMARKS = "landmarks"
STANDARDISE = "standardise"
EMBED = "embed"
TRAIN = "train"
STAGES = (LOAD, LANDMARKS, STANDARDISE, TRAIN, EMBED)
"""In the order of the work; the first two and training see every pair of a
role, the others a sample of pairs.
"""

GIGABYTE = 1e9
RESOURCES = {"hours": "time", "memory_gb": "memory", "disk_gb": "disk"}
"""{column of a table: what a reader calls it}."""


def timed_fit(cohort, objective: str, run: str | Path, **options) -> dict:
    """Pretrain, and say what it took; a finished run is not repeated, and what
    it took is on record beside it.

    Parameters
    ----------
    cohort, objective
        As of `mmssl.pretrain.fit.fit`.
    run : path
        Of the run. The record is in ``costs`` beside it, by the hash of the
        encoder, so that it is never that of another training.
    **options
        As of `mmssl.pretrain.fit.fit`.

    Returns
    -------
    dict
        stage, items (training pairs), seconds and peak (bytes of memory, of
        the whole process). NaN for a run that was stopped and went on, or was
        made by somebody else: nobody has seen all of it.
    """
    run = Path(run)
    partial = run.with_name(run.name + ".partial")
    is_new = not run.exists() and not partial.exists()
    with measured() as took:
        fit(cohort, objective, run, **options)
    now = {"seconds": np.nan, "peak": np.nan}
    if is_new:
        now = {"seconds": took.seconds, "peak": took.peak}
    folder = run.parent / "costs"
    folder.mkdir(exist_ok=True)
    encoder = hash_file(run / "checkpoint.ckpt")[:16]
    found = kept(
        folder,
        f"{run.name}-{encoder}",
        lambda: {name: np.array(value) for name, value in now.items()},
    )
    figures = {name: float(found[name]) for name in now}
    pairs = len(cohort.rows("train", options.get("fold", 0)))
    return {"stage": TRAIN, "items": pairs, **figures}


def stage_costs(
    path: str | Path, run: str | Path, sample: int = 1024
) -> list[dict]:
    """Measure what a cohort takes, but for training.

    Parameters
    ----------
    path : path
        Of the cohort. It is hashed anew and looked through for NaN, as by
        whoever opens it first; its files may be in the system's memory.
    run : path
        Finished run whose encoders embed.
    sample : int
        Pairs that are standardised and embedded, the first ones.

    Returns
    -------
    list of dict
        Of each of `STAGES` but training: stage, items (pairs), seconds and
        peak (bytes of memory, of the whole process).
    """
    from mmssl.cohorts.cohort import load

    lines = []
    with measured() as took:
        # hashes are computed once a process: here once more
        hash_path(path)
        cohort = load(path)
    lines.append(_line(LOAD, len(cohort), took))
    with measured() as took:
        landmarks = fit_landmarks(cohort, 0)
    lines.append(_line(LANDMARKS, len(cohort.rows("train", 0)), took))
    rows = np.arange(min(sample, len(cohort)))
    with measured() as took:
        inputs = standardised(cohort, landmarks, np.float16, rows)
    lines.append(_line(STANDARDISE, len(rows), took))
    encoders, _ = load_encoders(run)
    with measured() as took:
        encode(encoders, inputs)
    lines.append(_line(EMBED, len(rows), took))
    return lines


def _line(stage: str, items: int, took) -> dict:
    return {
        "stage": stage,
        "items": items,
        "seconds": took.seconds,
        "peak": took.peak,
    }


def cost_table(lines: Sequence[dict]) -> pd.DataFrame:
    """All measurements, in the order of the work.

    Parameters
    ----------
    lines : sequence of dict
        Of `timed_fit` and `stage_costs`, with people (to learn from).

    Returns
    -------
    DataFrame
        people, stage, items, seconds, milliseconds (a pair) and peak_gb.
    """
    import pandas as pd

    table = pd.DataFrame(lines)
    order = table["stage"].map(STAGES.index)
    table = table.assign(order=order).sort_values(["order", "people"])
    table["milliseconds"] = 1e3 * table["seconds"] / table["items"]
    table["peak_gb"] = table["peak"] / GIGABYTE
    columns = ["people", "stage", "items", "seconds", "milliseconds"]
    return table[[*columns, "peak_gb"]].reset_index(drop=True)


def cost_exponents(costs: pd.DataFrame) -> pd.DataFrame:
    """How seconds and memory grow with the pairs a stage sees.

    Parameters
    ----------
    costs : DataFrame
        Of `cost_table`.

    Returns
    -------
    DataFrame
        stage, of ("seconds" or "memory"), exponent, low, high, points; without
        what was measured at fewer than two sizes.
    """
    import pandas as pd

    lines = []
    for stage, own in costs.groupby("stage", sort=False):
        for column, name in (("seconds", "seconds"), ("peak_gb", "memory")):
            known = own[own[column].notna()]
            if known["items"].nunique() < 2:
                continue
            law = power_law(known["items"], known[column])
            lines.append(
                {
                    "stage": stage,
                    "of": name,
                    "exponent": law.exponent,
                    "low": law.low,
                    "high": law.high,
                    "points": law.points,
                }
            )
    columns = ["stage", "of", "exponent", "low", "high", "points"]
    return pd.DataFrame(lines, columns=columns)


def extrapolation(
    costs: pd.DataFrame,
    cohort,
    volumes: Sequence[int] = (1_000, 100_000, 10_000_000),
    sides: Sequence[int] = (16, 64),
    hours: float = 24.0,
) -> pd.DataFrame:
    """What cohorts of other sizes would take on this machine.

    Time is that of a pair in the largest cohort measured, in every stage,
    times the pairs; memory the straight line through what training held; disk
    the bytes of the cohort's folder by the pair. Where training would read
    its rows from disk (`mmssl.pretrain.stored_inputs.chosen_place`), memory is
    that line without the images, whose tables and embeddings go on growing,
    and the standardised images are on the disk too. Other sides count by
    their voxels, which is a guess for time.

    Parameters
    ----------
    costs : DataFrame
        Of `cost_table`.
    cohort : Cohort
        The largest that was measured.
    volumes : sequence of int
        Images of any modality.
    sides : sequence of int
        In voxels.
    hours : float
        That there are.

    Returns
    -------
    DataFrame
        volumes, side, hours, memory_gb, disk_gb; inputs ("memory" or "disk",
        where training reads from); limit_hours, limit_memory_gb and
        limit_disk_gb (of this machine: its memory, and what is free); and
        breaks, what is short by most, or "nothing".
    """
    import pandas as pd

    files = [path for path in cohort.path.rglob("*") if path.is_file()]
    bytes_each = sum(path.stat().st_size for path in files) / len(cohort)
    largest = costs[costs["people"] == costs["people"].max()]
    milliseconds = largest["milliseconds"].sum(skipna=False)
    _, image_gb = _inputs(cohort, 1, cohort.size)
    base, rest = _memory_line(costs[costs["stage"] == TRAIN], image_gb)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = {
        "limit_hours": hours,
        "limit_memory_gb": machine / GIGABYTE,
        "limit_disk_gb": shutil.disk_usage(cohort.path).free / GIGABYTE,
    }
    lines = []
    for side in sides:
        voxels = (side / cohort.size) ** cohort.dims
        for number in volumes:
            pairs = number / len(cohort.modalities)
            inputs, inputs_gb = _inputs(cohort, int(pairs), side)
            is_held = inputs == "memory"
            counted = pairs * voxels
            disk = counted * bytes_each / GIGABYTE
            memory = base + rest * pairs
            line = {
                "volumes": number,
                "side": side,
                "hours": counted * milliseconds / 3.6e6,
                "memory_gb": memory + inputs_gb * is_held,
                "disk_gb": disk + inputs_gb * (not is_held),
                "inputs": inputs,
                **limits,
            }
            lines.append({**line, "breaks": _shortest(line)})
    return pd.DataFrame(lines)


def _inputs(cohort, pairs: int, side: int) -> tuple[str, float]:
    """Where training would keep its inputs of so many pairs, and their GB."""
    shape = (pairs, *(side,) * cohort.dims)
    # of any shape without memory
    images = np.broadcast_to(np.float16(0), shape)
    imagined = SimpleNamespace(
        modalities=cohort.modalities,
        volumes=dict.fromkeys(cohort.modalities, images),
    )
    size = len(cohort.modalities) * images.nbytes / GIGABYTE
    return chosen_place("auto", imagined, np.float16), size


def _memory_line(
    training: pd.DataFrame, image_gb: float
) -> tuple[float, float]:
    """GB that training holds anyway, and by the pair beside its images."""
    known = training[training["peak_gb"].notna()]
    if known["items"].nunique() < 2:
        return np.nan, np.nan
    slope, _ = np.polyfit(known["items"], known["peak_gb"], 1)
    # a heap that had room already hides images, which are there all the same
    slope = max(float(slope), image_gb)
    base = (known["peak_gb"] - slope * known["items"]).max()
    return max(float(base), 0.0), slope - image_gb


def _shortest(line: dict) -> str:
    """What a line asks most of, beyond what there is."""
    shares = {}
    for column, name in RESOURCES.items():
        shares[name] = line[column] / line[f"limit_{column}"]
    known = {name: share for name, share in shares.items() if share > 1}
    return max(known, key=known.get, default="nothing")
