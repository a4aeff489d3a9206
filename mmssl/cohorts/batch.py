"""From a dataset to a cohort folder in one call: everybody of a study prepared
side by side, and the cohort written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tqdm.auto import tqdm

from mmssl.cohorts import assembly, bids, derivatives, oasis3
from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.study import Study
from mmssl.ledger.workers import end_with
from mmssl.preprocessing.person import SIMPLEITK, check_backend

_SHOWN = 3  # people that a message names
_OF_SPLITS = ("folds", "holdout", "seed")


def from_bids(
    root: str | Path,
    path: str | Path,
    reading: Mapping | None = None,
    **options,
) -> Cohort:
    """Make a cohort of a BIDS dataset.

    Parameters
    ----------
    root : folder of the dataset.
    path : of the cohort's folder to make.
    reading : options of `mmssl.cohorts.bids.read`: modalities, the column of
        the groups, the classes.
    **options : of `from_study`.

    Raises
    ------
    ValueError, OSError
        As `bids.read` and `from_study`.

    Examples
    --------
    >>> cohorts.from_bids(
    ...     "ds002748",
    ...     "data/derived/depression",
    ...     {"columns": {"group": "group"}, "classes": ["control", "depr"]},
    ...     jobs=4,
    ... )  # doctest: +SKIP
    """
    return from_study(bids.read(root, **(reading or {})), path, **options)


def from_oasis3(
    root: str | Path,
    path: str | Path,
    reading: Mapping | None = None,
    **options,
) -> Cohort:
    """Make a cohort of a download of OASIS-3, as `from_bids`; ``reading`` are
    options of `mmssl.cohorts.oasis3.read`: tables, rule, subset.
    """
    return from_study(oasis3.read(root, **(reading or {})), path, **options)


def from_study(
    study: Study,
    path: str | Path,
    prepared: str | Path | None = None,
    jobs: int = 1,
    progress: bool = True,
    preparation: Mapping | None = None,
    **options,
) -> Cohort:
    """Prepare everybody of a study, and write their cohort.

    Parameters
    ----------
    study : from `bids.read` or `oasis3.read`.
    path : of the cohort's folder to make.
    prepared : folder of the derivatives; None: ``<path>-derivatives``.
    jobs, progress, preparation : as `prepare_study` takes them.
    **options : of `mmssl.cohorts.assembly.assemble`.

    Raises
    ------
    ValueError, OSError
        As `prepare_study` and `assemble`.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(
            f"{path}: exists already; remove it, or choose another folder"
        )
    if prepared is None:
        prepared = prepared_beside(path)
    # before hours of work
    asked = {k: v for k, v in options.items() if k in _OF_SPLITS}
    assembly.deal(study, study.participants, **asked)
    prepare_study(study, prepared, jobs, progress, preparation)
    return assembly.assemble(study, prepared, path, **options)


def prepared_beside(path: str | Path) -> Path:
    """The folder of derivatives of a cohort for which none is named."""
    return Path(path).with_name(f"{Path(path).name}-derivatives")


def prepare_study(
    study: Study,
    prepared: str | Path,
    jobs: int = 1,
    progress: bool = True,
    preparation: Mapping | None = None,
) -> None:
    """Prepare everybody of a study, some people at once.

    Whoever is finished is not prepared again; whose images are bad is set
    aside (`derivatives.prepare_person`).

    Parameters
    ----------
    study : from `bids.read` or `oasis3.read`.
    prepared : folder of the derivatives, a BIDS dataset.
    jobs : people at once, each on one core.
    progress : show a progress bar.
    preparation : options of `derivatives.prepare_person`: size, tr, low,
        high, orientation, dummy_scans, backend.

    Raises
    ------
    RuntimeError
        If FSL is asked for and not installed.
    OSError
        When everybody has been tried, where somebody could not be prepared
        for want of room, memory or rights, or because their folder was
        changed by hand; the next call goes on from there.
    """
    preparation = dict(preparation or {})
    check_backend(preparation.get("backend", SIMPLEITK))
    names = sorted(set(study.pairs["participant_id"]))
    derivatives.describe(prepared)
    work = partial(_failure, study, prepared, preparation)
    results = tqdm(
        _unordered(work, names, jobs),
        desc="people",
        total=len(names),
        disable=not progress,
    )
    failed = [failure for failure in results if failure]
    if failed:
        raise OSError(
            f"{prepared}: {len(failed)} of {len(names)} people could not be "
            f"prepared: {'; '.join(sorted(failed)[:_SHOWN])}"
        )


def _unordered(work: Callable, names: Sequence[str], jobs: int) -> Iterator:
    """The results of a function for each name, as they come."""
    if jobs == 1:
        yield from map(work, names)
        return
    # a fork would inherit locks that threads of the libraries may hold
    pool = ProcessPoolExecutor(
        jobs, get_context("spawn"), end_with, (os.getpid(),)
    )
    try:
        tasks = [pool.submit(work, name) for name in names]
        for task in as_completed(tasks):
            yield task.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _failure(
    study: Study, prepared: str | Path, preparation: Mapping, name: str
) -> str | None:
    """Prepare one person; what stood in its way, or None."""
    from SimpleITK import ProcessObject

    threads = ProcessObject.GetGlobalDefaultNumberOfThreads()
    ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        derivatives.prepare_person(study, name, prepared, **preparation)
    except (OSError, MemoryError, ValueError) as error:
        return f"{name}: {type(error).__name__}: {error}"
    finally:
        ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return None
