"""A dataset's raw images to a cohort folder, from the command line.

python -m mmssl.cohorts bids DATASET data/derived/study --jobs 4
python -m mmssl.cohorts oasis3 DOWNLOAD data/derived/oasis3 --jobs 16
"""

import argparse
import sys
from collections.abc import Sequence
from math import comb
from pathlib import Path

import numpy as np

from mmssl.cohorts import assembly, batch, bids, derivatives, oasis3
from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.splits import MAIN
from mmssl.cohorts.study import SUFFIXES, Study, group_counts
from mmssl.preprocessing.person import BACKENDS
from mmssl.preprocessing.registration_status import DOUBTFUL, STATUSES
from mmssl.stats.permutation import SMALLEST_GROUP

_SHOWN = 5  # reasons that are printed


def main(words: Sequence[str]) -> int:
    """Make a cohort; return the exit status."""
    options = _parser().parse_args(words)
    try:
        study = options.read(options)
        if options.person is not None:
            derivatives.describe(prepared_folder(options))
            names = dict.fromkeys(study.pairs["participant_id"])
            by_folder = {derivatives.place("", n).name: n for n in names}
            derivatives.prepare_person(
                study,
                by_folder.get(options.person, options.person),
                prepared_folder(options),
                **_preparation(options),
            )
            return 0
        print(study.flow.to_string(index=False))
        print(group_counts(study) or "no groups are told apart")
        print(_set_aside(study))
        cohort = _write(options, study)
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(cohort)
    print(_held_out(cohort))
    print(
        f"set aside: {options.path}/aside.tsv; figures of every pair: "
        f"{options.path}/quality.tsv"
    )
    return 0


def _set_aside(study: Study) -> str:
    """Why images and people were set aside before any was prepared."""
    counts = study.aside["reason"].value_counts()
    reasons = [f"{n} {why}" for why, n in counts.head(_SHOWN).items()]
    if len(counts) > _SHOWN:
        reasons.append(f"{counts.iloc[_SHOWN:].sum()} for other reasons")
    return f"set aside: {'; '.join(reasons) or 'nobody'}"


def _held_out(cohort: Cohort) -> str:
    """How many people of each class are held out, and whether they are enough
    for a comparison of the groups.
    """
    if not cohort.tasks:
        return f"held out: {len(cohort.splits['holdout'])} people"
    labels = cohort.labels()
    tested = cohort.downstream(cohort.rows("holdout"))
    counts = np.bincount(labels[tested], minlength=len(cohort.classes))
    named = zip(counts, cohort.classes, strict=True)
    text = ", ".join(f"{number} {name}" for number, name in named)
    text = f"held out, with every image: {text}"
    if counts[:2].min() >= SMALLEST_GROUP:
        too_few = _chance_of_perfect_voxel(cohort, *counts[:2]) > 0.05
        few = "; of so few hardly any voxel of a map can survive"
        return text + few if too_few else text
    text += f"; maps of groups compare {SMALLEST_GROUP} of each at least"
    main = cohort.participants
    main = main[main["population"] == MAIN]
    column = next(iter(cohort.tasks.values()))["column"]
    people = main[column].astype(str).value_counts()
    smallest = min(people.get(name, 0) for name in cohort.classes[:2])
    for percent in range(5, 65, 5):
        if round(percent / 100 * smallest) >= SMALLEST_GROUP:
            return f"{text}: --holdout {percent / 100:g} would hold out enough"
    return f"{text}: there are too few people"


def _chance_of_perfect_voxel(cohort: Cohort, first: int, second: int) -> float:
    """How many voxels tell two groups of these sizes apart without an error by
    chance, were they independent: about the smallest corrected p of a map.
    """
    voxels = len(cohort.modalities) * int(cohort.mask.sum())
    return 2 * voxels / comb(int(first + second), int(first))


def prepare(words: Sequence[str]) -> tuple[Study, Path]:
    """Prepare everybody whom a command is about; return the study and the
    folder of its derivatives.

    Raises
    ------
    ValueError, OSError, RuntimeError
        As `mmssl.cohorts.bids.read`, `mmssl.cohorts.oasis3.read` and
        `mmssl.cohorts.batch.prepare_study`.
    """
    options = _parser().parse_args(words)
    study, prepared = options.read(options), prepared_folder(options)
    batch.prepare_study(
        study, prepared, options.jobs, preparation=_preparation(options)
    )
    return study, prepared


def write(words: Sequence[str]) -> Cohort:
    """Make the cohort that a command is about.

    Raises
    ------
    ValueError, OSError, RuntimeError
        As `prepare` and `mmssl.cohorts.assembly.assemble`.
    """
    options = _parser().parse_args(words)
    return _write(options, options.read(options))


def _write(options: argparse.Namespace, study: Study) -> Cohort:
    """Prepare everybody and write the cohort."""
    excluded = {}
    if options.excluded is not None:
        excluded = assembly.read_exclusions(study, options.excluded)
    return batch.from_study(
        study,
        options.path,
        prepared_folder(options),
        options.jobs,
        preparation=_preparation(options),
        accept=options.accept,
        excluded=excluded,
        folds=options.folds,
        holdout=options.holdout,
        seed=options.seed,
    )


def _preparation(options: argparse.Namespace) -> dict:
    """Options of `mmssl.cohorts.derivatives.prepare_person`."""
    return {"size": options.size, "backend": options.backend}


def read(words: Sequence[str]) -> tuple[Study, Path]:
    """The study that a command is about, and the folder of its derivatives."""
    options = _parser().parse_args(words)
    return options.read(options), prepared_folder(options)


def prepared_folder(options: argparse.Namespace) -> Path:
    """Where a command keeps the people it has prepared."""
    if options.prepared is None:
        return batch.prepared_beside(options.path)
    return Path(options.prepared)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    add = shared.add_argument
    add("root", help="folder of the dataset")
    add("path", help="folder of the cohort to make")
    add("--prepared", help="folder of the derivatives; PATH-derivatives")
    add("--person", help="prepare this one alone, by id or folder")
    add("--jobs", type=int, default=1, help="people at once")
    add("--size", type=int, default=64, help="voxels a side over 192 mm")
    add("--backend", choices=BACKENDS, default=BACKENDS[0], help="tools")
    add("--modalities", default=",".join(SUFFIXES), help="T1, or T1,fALFF")
    about = "the worst registration that is taken"
    add("--accept", choices=STATUSES, default=DOUBTFUL, help=about)
    add("--excluded", help="table with the images to leave out")
    add("--folds", type=int, default=5, help="of the people not held out")
    add("--holdout", type=float, default=0.2, help="share of each group")
    add("--seed", type=int, default=0, help="of the splits")
    add("--most-days", type=float, help="between the images of a pair")
    about = "keep who has a T1 and no other image that can be used"
    add("--incomplete", action="store_true", help=about)
    parser = argparse.ArgumentParser(
        prog="python -m mmssl.cohorts", description=__doc__.splitlines()[0]
    )
    kinds = parser.add_subparsers(required=True)
    options = {
        "parents": [shared],
        "formatter_class": argparse.ArgumentDefaultsHelpFormatter,
    }
    kind = kinds.add_parser("bids", help="any BIDS dataset", **options)
    kind.set_defaults(read=_read_bids)
    kind.add_argument("--task", default="rest", help="of the BOLD series")
    kind.add_argument("--group", help="column of participants.tsv")
    kind.add_argument("--classes", help="its values to be told apart: A,B")
    kind = kinds.add_parser("oasis3", help="OASIS-3", **options)
    kind.set_defaults(read=_read_oasis3)
    kind.add_argument("--tables", help="folder of the clinical tables")
    kind.add_argument(
        "--rule", choices=oasis3.RULES, default="papers", help="of the labels"
    )
    kind.add_argument(
        "--subset", choices=oasis3.SUBSETS, default="papers", help="of people"
    )
    return parser


def _read_bids(options: argparse.Namespace) -> Study:
    modalities = options.modalities.split(",")
    unknown = set(modalities) - set(SUFFIXES)
    if unknown:
        raise ValueError(
            f"--modalities: found {sorted(unknown)}, expected some of "
            f"{', '.join(SUFFIXES)}"
        )
    reading = {"suffixes": {m: SUFFIXES[m] for m in modalities}}
    if options.group is not None:
        reading["columns"] = {**bids.COLUMNS, "group": options.group}
    if options.classes is not None:
        reading["classes"] = options.classes.split(",")
    return bids.read(
        options.root,
        task=options.task,
        most_days=options.most_days,
        incomplete=options.incomplete,
        **reading,
    )


def _read_oasis3(options: argparse.Namespace) -> Study:
    return oasis3.read(
        options.root,
        options.tables,
        options.rule,
        options.subset,
        options.modalities.split(","),
        options.most_days,
        options.incomplete,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
