"""The cohort: a folder of paired images, its people, its pairs and its splits.

Layout of a cohort folder::

    cohort.json        format, name, kind, dims, size, channels, intensity,
                       affine, tasks, hashes of the other files, …, content
                       (hash of its own fields)
    <modality>.npy     (pairs, X, Y, Z) or (pairs, H, W), float16 or float32;
                       (pairs, C, …) where a modality has several channels
    mask.npy           (X, Y, Z) bool, the brain in the cohort's space
                       (cohorts of brains only)
    participants.tsv   one row per person: participant_id, group, age, sex,
                       site, population, …
    pairs.tsv          one row per pair of images: pair, participant_id,
                       session, day, downstream; has_<modality> (1 or 0) for
                       a modality that some rows lack
    splits.json        {"seed", "holdout", "shift",
                       "folds": [{"train", "valid"}, …]}, by person

Volumes are RAS+ and stay memory-mapped. A person may have several pairs;
``downstream`` marks the one pair per person that an evaluation reads (Fedorov
et al. 2021, "Tasting the cake"). A row may lack the image of a modality, never
those of all: its volume is 0 there, and nothing reads it. The papers' pairing
is the case in which no row lacks any.

Tables are those of BIDS: what is missing is ``n/a``. Ids, groups, sex, site,
population and the columns of tasks are words and stay as they stand, whatever
they look like ("NA", "None", 1, TRUE), so that nobody's label is lost to a
guess at its type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype
from pandas.errors import EmptyDataError, ParserError

from mmssl.cohorts import checks
from mmssl.ledger import atomic, limits
from mmssl.ledger.allocation import new_array
from mmssl.ledger.hashes import hash_array, hash_files, hash_json
from mmssl.ledger.manifest import check_files
from mmssl.ledger.sidecars import versions

FORMAT = 1
FOLD_ROLES = ("train", "valid")
ROLES = (*FOLD_ROLES, "holdout", "shift")
WORDS = ("participant_id", "group", "sex", "site", "population")
"""Columns that are read as text, beside those of the tasks."""
PAIR_COLUMNS = ("pair", "participant_id", "session", "day", "downstream")

_KEYS = (
    "format",
    "name",
    "kind",
    "dims",
    "size",
    "channels",
    "intensity",
    "affine",
    "tasks",
    "hashes",
    "parameters",
    "seed",
    "versions",
    "content",
)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Paired images of people, memory-mapped.

    Attributes
    ----------
    path, name, kind : its folder, its name, what made it.
    modalities : names, in the order they were written.
    volumes : {modality: (pairs, X, Y, Z)}, or (pairs, C, …) with more than one
        channel.
    participants, pairs : tables; ``pairs`` row i describes volume i of every
        modality.
    splits : {"seed", "holdout", "shift", "folds"}, lists of participant_id.
    affine : (4, 4) voxel to RAS+ world in mm, or None for images without a
        world.
    mask : (X, Y, Z) bool in the same space, or None.
    dims, size : 2 or 3, and the side in voxels.
    channels : {modality: number of channels}.
    intensity : "brain" (to be standardised and z-scored) or "unit" (already in
        [0, 1]).
    tasks : {task: {"column", "classes"}}; a label is the index in ``classes``.
        Further values that the column may hold stand under "ignored".
    hashes : {file: sha256} as recorded when the folder was written.
    parameters, seed : of what made it.
    """

    path: Path
    name: str
    kind: str
    modalities: tuple[str, ...]
    volumes: Mapping[str, np.ndarray]
    participants: pd.DataFrame
    pairs: pd.DataFrame
    splits: dict
    affine: np.ndarray | None
    mask: np.ndarray | None
    dims: int
    size: int
    channels: Mapping[str, int]
    intensity: str
    tasks: Mapping[str, Mapping]
    hashes: Mapping[str, str]
    parameters: Mapping = field(default_factory=dict)
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        side = " x ".join([str(self.size)] * self.dims)
        modalities = []
        for m in self.modalities:
            number = int((~self.present(m)).sum())
            modalities.append(f"{m} ({number} lack it)" if number else m)
        return (
            f"Cohort({str(self.path)!r}: {self.kind}, {len(self)} pairs of "
            f"{len(self.participants)} people, {', '.join(modalities)}, "
            f"{side} voxels)"
        )

    @property
    def pairing(self) -> str | None:
        """Task whose label makes a pair, or None.

        With a task, any two training images of one class may be paired; with
        None, only the images in one row are.
        """
        return self.parameters.get("pairing")

    @property
    def subjects(self) -> np.ndarray:
        """(pairs,) participant_id of every pair."""
        return self.pairs["participant_id"].to_numpy(dtype=str)

    def present(
        self, modalities: str | Sequence[str] | None = None
    ) -> np.ndarray:
        """Whether each pair has the images of some modalities.

        Parameters
        ----------
        modalities : str or sequence of str
            Names; all of the cohort's by default.

        Returns
        -------
        (pairs,) bool
        """
        if isinstance(modalities, str):
            modalities = [modalities]
        there = np.ones(len(self), dtype=bool)
        for name in self.modalities if modalities is None else modalities:
            column = f"{checks.PRESENCE}{name}"
            if column in self.pairs:
                there &= self.pairs[column].to_numpy() == 1
        return there

    def lacking(self, rows: Sequence[int] | None = None) -> str:
        """How many of some rows lack a modality, as text for a page.

        Parameters
        ----------
        rows : sequence of int, optional
            All by default.

        Returns
        -------
        str
            "12 without fALFF, 3 without T1"; empty where nobody lacks any.
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        numbers = {}
        for m in self.modalities:
            numbers[m] = int((~self.present(m)[rows]).sum())
        return ", ".join(f"{n} without {m}" for m, n in numbers.items() if n)

    def rows(self, role: str, fold: int = 0) -> np.ndarray:
        """Rows of all pairs of the people in a role.

        Parameters
        ----------
        role : "train", "valid", "holdout" or "shift".
        fold : which fold's train or valid; the other roles have no folds.

        Returns
        -------
        (n,) int64 array, rising.

        Raises
        ------
        ValueError
            For an unknown role or a fold that ``splits.json`` does not have.
        """
        if role not in ROLES:
            raise ValueError(
                f"role {role!r} is unknown; expected one of {', '.join(ROLES)}"
            )
        sides = self._fold(fold) if role in FOLD_ROLES else self.splits
        people = np.asarray(sides[role], dtype=str)
        return np.flatnonzero(np.isin(self.subjects, people))

    def _fold(self, fold: int) -> dict:
        """{"train", "valid"} of one fold, lists of participant_id."""
        folds = self.splits["folds"]
        if not 0 <= fold < len(folds):
            raise ValueError(
                f"{self.path / 'splits.json'}: fold {fold} asked for, "
                f"{len(folds)} folds found"
            )
        return folds[fold]

    def labels(self, task: str | None = None) -> np.ndarray:
        """(pairs,) int64 class index of every pair for a task.

        The first task by default; -1 where a person's value is missing or
        ignored.
        """
        spec = self.tasks[self._task(task)]
        people = self.participants.set_index("participant_id")
        class_of = people[spec["column"]].dropna().astype(str).to_dict()
        index = {str(name): i for i, name in enumerate(spec["classes"])}
        labels = [
            index.get(class_of.get(person), -1) for person in self.subjects
        ]
        return np.array(labels, dtype=np.int64)

    def with_task(
        self, task: str = "", classes: str | Sequence[str] = ()
    ) -> Cohort:
        """The cohort as a study of one task, or of some of its classes, sees
        it; nothing is written.

        Parameters
        ----------
        task : str
            Becomes the first task; empty: the one that is.
        classes : str, comma-separated, or a sequence of str
            The only classes, in this order: labels are indices in it, and who
            is of another class has none. Empty: all, in their order.

        Raises
        ------
        ValueError
            For a task or a class that the cohort does not have, fewer than two
            classes, or one twice.
        """
        name = self._task(task or None)
        spec = dict(self.tasks[name])
        known = [str(own) for own in spec["classes"]]
        if isinstance(classes, str):
            classes = [c.strip() for c in classes.split(",") if c.strip()]
        chosen = [str(own) for own in classes] or known
        if not {*chosen} <= {*known} or not 1 < len(chosen) == len({*chosen}):
            raise ValueError(
                f"{self.path / 'cohort.json'}: classes {chosen} asked for, "
                f"expected two or more of task {name!r}, each once: {known}"
            )
        others = [own for own in known if own not in chosen]
        spec["classes"] = chosen
        spec["ignored"] = [*spec.get("ignored", ()), *others]
        return replace(self, tasks={name: spec} | {**self.tasks, name: spec})

    def contrast(
        self, task: str = "", classes: str | Sequence[str] = ()
    ) -> Cohort:
        """As `with_task`, for a comparison of two classes: the first two of
        those that are named, or of the task.
        """
        chosen = self.with_task(task, classes)
        return chosen.with_task(classes=chosen.classes[:2])

    @property
    def classes(self) -> list[str]:
        """Names of the classes of the first task; ValueError where there is
        none.
        """
        return [str(name) for name in self.tasks[self._task(None)]["classes"]]

    def _task(self, task: str | None) -> str:
        """Name of a task, the first by default; ValueError where there is
        none.
        """
        if not self.tasks:
            raise ValueError(
                f"{self.path / 'cohort.json'}: the cohort has no task, "
                "so no labels"
            )
        name = next(iter(self.tasks)) if task is None else task
        if name not in self.tasks:
            raise ValueError(
                f"task {name!r} is unknown in {self.path}; "
                f"found {', '.join(self.tasks)}"
            )
        return name

    def downstream(
        self,
        rows: Sequence[int],
        task: str | None = None,
        modalities: str | Sequence[str] | None = None,
    ) -> np.ndarray:
        """Those of ``rows`` that an evaluation reads: downstream pairs that
        have a label, and the images.

        Parameters
        ----------
        rows : sequence of int
        task : str, optional
            Whose label; the first task by default.
        modalities : str or sequence of str, optional
            Whose images must be there, as of `present`; ``()`` asks for none.
        """
        rows = self.one_each(rows, modalities)
        return rows[self.labels(task)[rows] >= 0]

    def one_each(
        self,
        rows: Sequence[int],
        modalities: str | Sequence[str] | None = None,
    ) -> np.ndarray:
        """As `downstream`, of people with a label or without."""
        rows = np.asarray(rows, dtype=np.int64)
        downstream = self.pairs["downstream"].to_numpy()[rows] == 1
        return rows[downstream & self.present(modalities)[rows]]

    def file(self, name: str) -> Path:
        """Where a further file of the folder is, "truth/factors.tsv" say;
        ValueError unless it is the one that was made, by its hash.
        """
        check_files(self.path, self.hashes, [name])
        return self.path / name

    def image_hashes(self, rows: Sequence[int]) -> dict[str, str]:
        """{"<modality>[<row>]": content hash} of the images that are there;
        equal hashes are one image.
        """
        rows = np.asarray(rows, dtype=np.int64).tolist()
        hashes = {}
        for modality in self.modalities:
            # a view of the map: a row of the map itself is slow to make
            volumes = np.asarray(self.volumes[modality])
            there = self.present(modality)
            for row in rows:
                if not there[row]:
                    continue
                hashes[f"{modality}[{row}]"] = hash_array(volumes[row])
        return hashes


def load(path: str | Path) -> Cohort:
    """Read a cohort folder; volumes stay on disk, memory-mapped.

    Raises
    ------
    ValueError
        Naming the file and the field when the folder is not a cohort, a
        modality has a name that is no file's, a volume is larger than
        `mmssl.ledger.limits.LARGEST`, a table lacks a column or names an
        unknown person, the column of a task holds a value that is no class,
        nor ``n/a``, nor ignored, or lacks a class, an array has another shape
        than the tables and ``cohort.json`` say, a volume holds NaN or Inf, a
        person stands in two roles of one fold, or a file is not the one that
        was made, by its hash.
    """
    path = Path(path)
    file = path / "cohort.json"
    fields = _read_json(file)
    missing = [key for key in _KEYS if key not in fields]
    checks.require(file, "fields", missing)
    if fields["format"] != FORMAT:
        raise ValueError(
            f"{file}: format is {fields['format']!r}, expected {FORMAT}"
        )
    checks.check_sizes(file, fields)
    mask_file = path / "mask.npy"
    mask = _open(mask_file) if mask_file.exists() else None
    affine = fields["affine"]
    if affine is not None:
        affine = np.asarray(affine, dtype=np.float64)
    for name, task in fields["tasks"].items():
        absent = [key for key in ("column", "classes") if key not in task]
        checks.require(file, f"fields of task {name!r}", absent)
    words = {*WORDS, *(task["column"] for task in fields["tasks"].values())}
    cohort = Cohort(
        path=path,
        name=fields["name"],
        kind=fields["kind"],
        modalities=tuple(fields["channels"]),
        volumes={m: _open(path / f"{m}.npy") for m in fields["channels"]},
        participants=read_table(
            path / "participants.tsv", ("participant_id",), words
        ),
        pairs=read_table(path / "pairs.tsv", PAIR_COLUMNS, WORDS),
        splits=_read_json(path / "splits.json"),
        affine=affine,
        mask=mask,
        dims=fields["dims"],
        size=fields["size"],
        channels=fields["channels"],
        intensity=fields["intensity"],
        tasks=fields["tasks"],
        hashes=fields["hashes"],
        parameters=fields["parameters"],
        seed=fields["seed"],
    )
    checks.agree(cohort)
    _check_unchanged(cohort, fields)
    if mask is not None:
        # small, and asked for often
        cohort = replace(cohort, mask=np.array(mask))
    return cohort


def _check_unchanged(cohort: Cohort, fields: dict) -> None:
    """ValueError where a file that was read is not the one that was made."""
    names = [f"{m}.npy" for m in cohort.modalities]
    names += ["participants.tsv", "pairs.tsv", "splits.json"]
    if cohort.mask is not None or "mask.npy" in cohort.hashes:
        names.append("mask.npy")
    check_files(cohort.path, cohort.hashes, names)
    recorded = fields.pop("content")
    if hash_json(fields) != recorded:
        raise ValueError(
            f"{cohort.path / 'cohort.json'}: was changed after it was made "
            f"(sha256 of its fields found {hash_json(fields)[:12]}, expected "
            f"{recorded[:12]}); make the cohort anew"
        )


def write(
    path: str | Path,
    *,
    volumes: Mapping[str, np.ndarray],
    extra: Callable[[Path], None] | None = None,
    **description,
) -> Cohort:
    """Write a cohort folder at once or not at all, and load it.

    Parameters
    ----------
    path : folder to make; an existing one is an error.
    volumes : {modality: (pairs, X, Y, Z) or (pairs, C, …)}, kept in float16 or
        float32.
    extra : called with the unfinished folder to add files of its own (truth/,
        raw/).
    **description : everything else that :func:`describe` takes.

    Raises
    ------
    ValueError
        As :func:`load`; nothing is left behind.
    OSError
        If there is no room, as
        :func:`mmssl.ledger.allocation.new_array`.
    """
    path = Path(path)
    checks.check_modalities(path / "cohort.json", volumes)
    with atomic.directory(path) as folder:
        for modality, values in volumes.items():
            values = np.asarray(values)
            if values.dtype != np.float16:
                values = values.astype(np.float32, copy=False)
            file = folder / f"{modality}.npy"
            # as `numpy.save` lays an array out
            order = values.flags.fnc
            kept = new_array(file, values.shape, values.dtype, order)
            kept[...] = values
            kept.flush()
        if extra is not None:
            extra(folder)
        describe(folder, modalities=tuple(volumes), **description)
    return load(path)


def describe(
    folder: Path,
    *,
    name: str,
    kind: str,
    modalities: Sequence[str],
    participants: pd.DataFrame,
    pairs: pd.DataFrame,
    splits: Mapping | None = None,
    affine: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    channels: Mapping[str, int] | None = None,
    intensity: str = "brain",
    tasks: Mapping[str, Mapping] | None = None,
    parameters: Mapping | None = None,
    seed: int | None = None,
) -> None:
    """Add tables, splits and cohort.json to a folder that holds its
    ``<modality>.npy``.

    For makers that fill arrays larger than memory row by row. Runs
    :func:`load` on the folder, so that what is wrong raises before the folder
    gets its final name.

    Parameters
    ----------
    folder : to complete.
    name, kind : what it is called, what made it.
    modalities : names of the arrays, in the order wanted.
    participants, pairs : tables with the columns named in the module's
        docstring; in a row that lacks a modality, its volume is 0.
    splits : as :func:`mmssl.cohorts.splits.make` returns; None leaves every
        role empty.
    affine, mask : the cohort's space, for brains.
    channels : {modality: channels}; 1 each by default.
    intensity : "brain" or "unit".
    tasks : {task: {"column": column of participants, "classes": [names],
        "ignored": [other values that the column may hold], "absent": [classes
        that nobody need have]}}; the last two may be left out.
    parameters : of the maker, for the record; "pairing" is read by
        :attr:`Cohort.pairing`.
    seed : of the maker.
    """
    checks.check_modalities(folder / "cohort.json", modalities)
    options = {
        "sep": "\t",
        "index": False,
        "na_rep": "n/a",
        "encoding": "utf-8",
    }
    participants = _whole_codes(participants, tasks or {})
    participants.to_csv(folder / "participants.tsv", **options)
    pairs.to_csv(folder / "pairs.tsv", **options)
    splits = splits or {"seed": None, "holdout": [], "shift": [], "folds": []}
    _write_json(folder / "splits.json", splits)
    if mask is not None:
        np.save(folder / "mask.npy", np.asarray(mask, dtype=bool))
    if affine is not None:
        affine = np.asarray(affine, dtype=float).tolist()
    channels = dict(channels or dict.fromkeys(modalities, 1))
    first = _open(folder / f"{modalities[0]}.npy")
    has_channel_axis = channels[modalities[0]] > 1
    fields = {
        "format": FORMAT,
        "name": name,
        "kind": kind,
        "dims": first.ndim - 1 - has_channel_axis,
        "size": first.shape[-1],
        "channels": channels,
        "intensity": intensity,
        "affine": affine,
        "tasks": dict(tasks or {}),
        "hashes": hash_files(folder),
        "parameters": dict(parameters or {}),
        "seed": seed,
        "versions": versions(),
    }
    fields["content"] = hash_json(fields)
    _write_json(folder / "cohort.json", fields)
    load(folder)


def _whole_codes(participants: pd.DataFrame, tasks: Mapping) -> pd.DataFrame:
    """Participants whose classes are integers again where a missing value had
    made them floats.
    """
    table = participants.copy()
    for task in tasks.values():
        if task["column"] not in table:
            continue
        codes = table[task["column"]].infer_objects()
        if not is_float_dtype(codes):
            continue
        known = codes.dropna()
        if np.isfinite(known).all() and (known == known.round()).all():
            table[task["column"]] = codes.astype("Int64")
    return table


def _write_json(file: Path, content: Mapping) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _read_json(file: Path) -> dict:
    if not file.is_file():
        raise ValueError(
            f"{file}: not found; expected a cohort folder with cohort.json, "
            "participants.tsv, pairs.tsv and splits.json"
        )
    try:
        return json.loads(limits.read_text(file))
    except ValueError as error:
        raise ValueError(f"{file}: not valid JSON ({error})") from error


def read_table(
    file: Path, columns: Sequence[str], words: Collection[str]
) -> pd.DataFrame:
    """A table: numbers where all of a column are, and text as it stands.

    Missing is ``n/a``; outside the columns of words also an empty cell.
    """
    if not file.is_file():
        raise ValueError(f"{file}: not found")
    limits.check_text(file)
    options = {"sep": "\t", "encoding": "utf-8"}
    try:
        header = pd.read_csv(file, nrows=0, **options).columns
        missing = {name: ["n/a", ""] for name in header}
        missing |= {name: ["n/a"] for name in words}
        options |= {"keep_default_na": False, "na_values": missing}
        table = pd.read_csv(file, dtype=str, **options)
        guessed = pd.read_csv(file, **options)
    except (UnicodeError, ParserError, EmptyDataError) as error:
        raise ValueError(
            f"{file}: not a table of tab-separated UTF-8 text ({error})"
        ) from error
    absent = [column for column in columns if column not in table]
    checks.require(file, "columns", absent)
    for name in table.columns.difference(list(words)):
        kind = guessed[name].dtype
        if is_numeric_dtype(kind) and not is_bool_dtype(kind):
            table[name] = guessed[name]
    return table


def _open(file: Path) -> np.ndarray:
    if not file.is_file():
        raise ValueError(
            f"{file}: not found, but cohort.json names the modality "
            f"{file.stem!r}"
        )
    try:
        # `numpy.load` opens archives too, and reads what is no array at all
        return np.lib.format.open_memmap(file, mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file}: not a readable array ({error})") from error
