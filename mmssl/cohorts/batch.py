"""From a dataset to a cohort folder in one call: everybody of a study prepared
side by side, and the cohort written.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from tqdm.auto import tqdm

from mmssl.cohorts import bids, derivatives, oasis3
from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.study import Study
from mmssl.ledger.workers import end_with

_SHOWN = 3  # people that a message names


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
    **options : of `mmssl.cohorts.derivatives.assemble`.

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
    prepare_study(study, prepared, jobs, progress, preparation)
    return derivatives.assemble(study, prepared, path, **options)


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
        high, orientation, dummy_scans.

    Raises
    ------
    OSError
        When everybody has been tried, where somebody could not be prepared
        for want of room, memory or rights; the next call goes on from there.
    """
    from joblib import Parallel, delayed

    names = sorted(set(study.pairs["participant_id"]))
    derivatives.describe(prepared)
    pool = Parallel(
        jobs,
        return_as="generator_unordered",
        initializer=end_with,
        initargs=(os.getpid(),),
    )
    one = delayed(_failure)
    failures = pool(
        one(study, name, prepared, dict(preparation or {})) for name in names
    )
    progress_bar = tqdm(
        failures, desc="people", total=len(names), disable=not progress
    )
    with warnings.catch_warnings():
        # a worker that has grown by a person's images is replaced
        warnings.filterwarnings("ignore", message="A worker stopped")
        failed = [failure for failure in progress_bar if failure]
    if failed:
        raise OSError(
            f"{prepared}: {len(failed)} of {len(names)} people could not be "
            f"prepared: {'; '.join(sorted(failed)[:_SHOWN])}"
        )


def _failure(
    study: Study, name: str, prepared: str | Path, preparation: Mapping
) -> str | None:
    """Prepare one person; what the machine lacked for it, or None."""
    from SimpleITK import ProcessObject

    threads = ProcessObject.GetGlobalDefaultNumberOfThreads()
    ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        derivatives.prepare_person(study, name, prepared, **preparation)
    except (OSError, MemoryError) as error:
        return f"{name}: {type(error).__name__}: {error}"
    finally:
        ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return None
