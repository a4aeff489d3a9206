"""One way to save what a page made: tables, figures and maps, each complete
and with its sidecar.

A brain map says in its sidecar what it shows. A map of a group difference is
written with its corrected p and with the report of its sanity checks
(`mmssl.saliency.sanity_checks`) or not at all. `unpublishable_maps` finds
those that lack either, and the book refuses their page.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmssl.ledger import atomic, limits
from mmssl.ledger.hashes import hash_array, hash_file
from mmssl.ledger.sidecars import (
    changed,
    read_sidecar,
    sidecar_of,
    stale,
    write_sidecar,
)

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("source", "modality", "sign")
"""What names a map in tables: what it was made from, of which images, of which
dimension.
"""

GROUPS = "group difference"
CORRECTED = "corrected p"
SALIENCY = "mean saliency"
"""The kinds of map: what a map may show."""

_ABOUT: Mapping[str, Mapping[str, type]] = {
    "map": {"kind": str, "of": str, "together": list},
    "correction": {"file": str, "permutations": int},
    "report": {"map_hash": str, "summary": str, "checks": dict},
}
"""What the sidecar of a map may say of it, and of which type."""

CHECKS = ("weights", "labels", "random encoder", "deletion")
"""The four sanity checks of a map of group differences."""

ANSWERS = ("yes", "no", "undecided")
"""What a check may find: whether the map passes."""

POSITIVE_CONTROL = "no encoder: positive control"
UNTRAINED = "untrained encoder: baseline"
"""What exempts a map from the checks: no trained encoder made it.
`mmssl.saliency.sanity_checks` gives these to no others.
"""


class CheckResult(NamedTuple):
    """What one sanity check found.

    answer : one of `ANSWERS`.
    reason : the numbers behind it.
    """

    answer: str
    reason: str


@dataclass(frozen=True)
class SanityReport:
    """What the sanity checks found of one map; it is valid for no other map.

    Parameters
    ----------
    map_hash : str
        Of the effect sizes, see `map_hash`.
    results : {check: CheckResult}
        Of all `CHECKS` in their order; empty for a map that is exempt.
    exemption : str
        `POSITIVE_CONTROL` or `UNTRAINED` for a map that no trained encoder
        made.

    Raises
    ------
    ValueError
        For other checks than these, or none without an exemption.
    """

    map_hash: str
    results: Mapping[str, CheckResult]
    exemption: str = ""

    def __post_init__(self) -> None:
        exempt = self.exemption in (POSITIVE_CONTROL, UNTRAINED)
        expected = () if exempt else CHECKS
        if tuple(self.results) != expected:
            raise ValueError(
                f"a report on {list(self.results)} with the exemption "
                f"{self.exemption!r}, expected one on {list(CHECKS)}, or the "
                f"exemption {POSITIVE_CONTROL!r} or {UNTRAINED!r}"
            )

    def __str__(self) -> str:
        """One line for the title of a figure."""
        if self.exemption:
            return self.exemption
        passed = self._with_answer("yes")
        parts = [f"checks: {len(passed)} of {len(self.results)}"]
        for answer in ("no", "undecided"):
            checks = self._with_answer(answer)
            if checks:
                parts.append(f"{answer}: {', '.join(checks)}")
        return "; ".join(parts)

    def _with_answer(self, answer: str) -> list[str]:
        return [c for c, r in self.results.items() if r.answer == answer]

    def check_map(self, volume) -> None:
        """ValueError unless the report is of this very map, (X, Y, Z)."""
        if map_hash(volume) != self.map_hash:
            raise ValueError(
                f"the report '{self}' is of another map than this one"
            )

    def record(self) -> dict:
        """For a sidecar: the map's hash, a summary, and what each check
        found.
        """
        checks = {c: result._asdict() for c, result in self.results.items()}
        return {
            "map_hash": self.map_hash,
            "summary": str(self),
            "checks": checks,
        }


def map_hash(volume) -> str:
    """Hash of a map's values, (X, Y, Z), as they are stored: float32."""
    return hash_array(np.asarray(volume, dtype=np.float32))


class Provenance(NamedTuple):
    """What made the files of a page, and how to save them with it.

    The fields are the arguments of `mmssl.ledger.sidecars.write_sidecar`.
    """

    inputs: Mapping[str, str | Path]
    parameters: Mapping[str, Any]
    seed: int | None
    modules: tuple[str, ...]
    facts: Mapping[str, Any] = {}

    def record(self, file: Path, **facts: Any) -> Path:
        """Write the sidecar of a finished file, with more facts if given."""
        everything = dict(self.facts)
        everything.update(facts)
        write_sidecar(
            file,
            self.inputs,
            self.parameters,
            self.seed,
            self.modules,
            everything,
        )
        return file

    def save(
        self, folder: Path, prefix: str, contents: Mapping[str, Any]
    ) -> list[Path]:
        """Save tables as ``<prefix><name>.tsv`` and figures as
        ``<prefix><name>.png``.

        Parameters
        ----------
        folder : Path
            Made where it is missing.
        prefix : str
        contents : {name: DataFrame or matplotlib Figure}
            The index of a table is not saved.

        Returns
        -------
        list of Path
            Each complete, with its sidecar.
        """
        import pandas as pd

        files = []
        for name, content in contents.items():
            is_table = isinstance(content, pd.DataFrame)
            suffix = "tsv" if is_table else "png"
            file = folder / f"{prefix}{name}.{suffix}"
            with atomic.file(file) as temporary:
                if is_table:
                    content.to_csv(temporary, sep="\t", index=False)
                else:
                    content.savefig(temporary)
            files.append(self.record(file))
        return files

    def save_map(self, file: Path, volume, affine, **about: Any) -> Path:
        """Save a map (X, Y, Z) that says what it shows.

        Parameters
        ----------
        file : Path, ending in .nii or .nii.gz
        volume, affine
            As in `write_map`.
        **about
            What the sidecar says of the map; at least its ``kind``.
        """
        return self.record(write_map(file, volume, affine), map=about)

    def save_group_maps(
        self,
        folder: Path,
        maps: Mapping,
        reports: Mapping,
        affine,
        permutations: int,
        effect: str = "rbc",
    ) -> list[Path]:
        """Save effect sizes and corrected p of group differences, or of what
        goes along with a number.

        Parameters
        ----------
        folder : Path
        maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each
        reports : {the same: SanityReport}
        affine : array, shape (4, 4)
        permutations : int
            Behind the corrected p.
        effect : "rbc" or "rho"
            The rank-biserial correlation, or Spearman's; ends the file's name.

        Returns
        -------
        list of Path
            Of each map the corrected p and the effect sizes.

        Raises
        ------
        ValueError
            Before anything is written, for a map without p or report, or with
            those of another map.
        """
        for key, (rbc, p) in maps.items():
            check_report(rbc, p, reports.get(key), what=", ".join(key))
        files = []
        together = sorted(map_name(key, effect) for key in maps)
        for key, (rbc, p) in maps.items():
            effect_file = folder / map_name(key, effect)
            p_file = folder / map_name(key, "p")
            correction = {
                "method": "largest absolute effect of permuted labels, "
                "family-wise",
                "permutations": permutations,
                "file": p_file.name,
            }
            self.save_map(
                p_file, p, affine, kind=CORRECTED, of=effect_file.name
            )
            self.save_map(
                effect_file,
                rbc,
                affine,
                kind=GROUPS,
                name=key,
                correction=correction,
                report=reports[key].record(),
                together=together,
            )
            files += [p_file, effect_file]
        return files


def map_name(key: tuple[str, str, str], shown: str = "rbc") -> str:
    """Name of the file of a map of group differences.

    Parameters
    ----------
    key : (source, modality, sign)
    shown : "rbc", "rho" or "p"
        The effect, or its corrected p.
    """
    stem = "_".join(key).replace(" ", "-")
    return f"group_{stem}_{shown}.nii.gz"


def check_report(rbc, p, report, what: str = "map") -> None:
    """ValueError for a map of a group difference without corrected p or
    without its own report.

    Parameters
    ----------
    rbc, p : array, shape (X, Y, Z)
    report : SanityReport
    what : str
        Name of the map in the message.
    """
    if p is None or np.shape(p) != np.shape(rbc):
        shape = None if p is None else np.shape(p)
        raise ValueError(
            f"{what}: corrected p of shape {shape}, expected "
            f"{np.shape(rbc)}: a map is shown with its correction"
        )
    valid = (np.asarray(p) > 0) & (np.asarray(p) <= 1)
    if not valid.all():
        raise ValueError(
            f"{what}: corrected p from {np.min(p)} to {np.max(p)}, expected "
            "above 0 and at most 1"
        )
    if not isinstance(report, SanityReport):
        raise ValueError(
            f"{what}: {type(report).__name__} for a report; a map is shown "
            "with what the sanity checks found (mmssl.saliency.sanity_checks)"
        )
    report.check_map(rbc)


def unpublishable_maps(folder: str | Path) -> list[str]:
    """Say which maps of a folder must not be published, and why.

    Parameters
    ----------
    folder : path
        Of NIfTI files with sidecars.

    Returns
    -------
    list of str
        One for each map that does not say what it shows, was changed, cannot
        be read, or compares groups without a corrected p or a report of its
        own; one for each that is gone while others that were saved together
        with it are there; one if there is no map of groups at all.
    """
    reasons, kinds, saved = [], set(), set()
    for file in sorted(Path(folder).glob("*.nii*")):
        if file.name.endswith(".json"):
            continue
        try:
            about = _about_map(file)
            reasons += _map_faults(file, about)
        except ValueError as error:
            reasons.append(f"map {file.name} cannot be checked: {error}")
            continue
        kinds.add(about.get("kind"))
        saved.update(about.get("together", ()), [about.get("of", file.name)])
    for name in sorted(saved):
        if not (Path(folder) / name).is_file():
            reasons.append(
                f"map {name} is gone, though others of its run are there"
            )
    if GROUPS not in kinds:
        reasons.append(
            f"it draws maps of groups, but none lies in {Path(folder).name}"
        )
    return reasons


def _about_map(file: Path) -> dict:
    """What the sidecar says of a map; empty where it says nothing."""
    if not sidecar_of(file).is_file():
        return {}
    about = read_sidecar(file)["facts"].get("map", {})
    for field, types in _ABOUT.items():
        entries = about if field == "map" else about.get(field, {})
        _check_types(sidecar_of(file), field, entries, types)
    for name in about.get("together", ()):
        if not isinstance(name, str):
            raise ValueError(
                f"{sidecar_of(file)}: together holds {name!r}, expected names "
                "of files"
            )
    return about


def _check_types(
    file: Path, field: str, entries: Any, types: Mapping[str, type]
) -> None:
    """ValueError unless what is there of some entries has their types."""
    if not isinstance(entries, dict):
        raise ValueError(f"{file}: {field} is {entries!r}, expected a mapping")
    for name, expected in types.items():
        if name in entries and not isinstance(entries[name], expected):
            raise ValueError(
                f"{file}: {field}.{name} is {entries[name]!r}, expected "
                f"{expected.__name__}"
            )


def _values(file: Path) -> np.ndarray:
    """A map's values, (X, Y, Z); ValueError where it is no NIfTI."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        return np.asarray(limits.load_image(file).dataobj)
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        zlib.error,
    ) as error:
        raise ValueError(f"{file}: not NIfTI ({error})") from error


def _map_faults(file: Path, about: Mapping) -> list[str]:
    """What is wrong with one map."""
    if about.get("kind") not in (GROUPS, CORRECTED, SALIENCY):
        return [
            f"map {file.name} does not say what it shows, so nobody knows "
            "whether it is corrected; run its page again or remove it"
        ]
    if read_sidecar(file)["content"] != hash_file(file):
        return [f"map {file.name} was changed after it was made"]
    if about["kind"] != GROUPS:
        return []
    effect = _values(file)
    correction = about.get("correction", {})
    report = about.get("report", {})
    faults = _correction_faults(file, correction, effect)
    faults += _report_faults(report, effect)
    return [f"map {file.name} {fault}" for fault in faults]


def _correction_faults(
    file: Path, correction: Mapping, effect: np.ndarray
) -> list[str]:
    """What is wrong with the corrected p of a map of effect sizes."""
    if not correction.get("file"):
        return ["is not corrected for the number of voxels"]
    permutations = correction.get("permutations", 0)
    if permutations < 1:
        return [f"has p of {permutations} permutations, expected at least 1"]
    # what lies in another folder is not checked itself
    p_file = file.parent / Path(correction["file"]).name
    if not p_file.is_file():
        return [f"has lost its corrected p, {p_file.name}"]
    p = _values(p_file)
    smallest = 1 / (1 + permutations)
    in_range = (p >= smallest * (1 - 1e-5)).all() and (p <= 1).all()
    if p.shape != effect.shape or not in_range:
        return [
            f"has p of shape {p.shape} from {p.min():.2g} to {p.max():.2g} "
            f"in {p_file.name}, expected {effect.shape} from {smallest:.2g} "
            "to 1: these are not the corrected ones"
        ]
    return []


def _report_faults(report: Mapping, effect: np.ndarray) -> list[str]:
    """What is wrong with the report of a map of effect sizes."""
    if not report:
        return ["has no report of the sanity checks"]
    if report.get("map_hash") != map_hash(effect):
        return ["carries the report on another map"]
    if report.get("summary") in (POSITIVE_CONTROL, UNTRAINED):
        return []
    checks = report.get("checks", {})
    missing = [c for c in CHECKS if not _answered(checks.get(c))]
    if missing:
        return [
            f"was not checked in full: {', '.join(missing)} missing from its "
            "report"
        ]
    return []


def _answered(check: Any) -> bool:
    """Whether the record of a check says what it found."""
    return isinstance(check, dict) and check.get("answer") in ANSWERS


def read_table(file: str | Path) -> pd.DataFrame:
    """Read a table that a page saved, if it is the one that was saved.

    Raises
    ------
    ValueError
        When it is missing, has no sidecar, or was changed since.
    """
    import pandas as pd

    faults = changed(file)
    if faults:
        raise ValueError(f"{file}: {faults[0]}; run its page again")
    try:
        return pd.read_csv(file, sep="\t", encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{file}: not a table ({error})") from error


def check_tables(folder: str | Path) -> None:
    """ValueError unless every table of a folder of results is the one that its
    page saved.
    """
    for file in sorted(Path(folder).glob("*.tsv")):
        faults = changed(file)
        if faults:
            raise ValueError(f"{file}: {faults[0]}; run its page again")


def read_tables(
    folder: Path,
    prefix: str,
    names: Sequence[str],
    edition: str,
    page: str,
) -> dict[str, pd.DataFrame]:
    """Read tables that another page saved, if they are fresh and belong
    together.

    Parameters
    ----------
    folder : Path
    prefix, names : str and sequence of str
        Of ``<prefix><name>.tsv``.
    edition : str
        Which the facts of their sidecars must name.
    page : str
        The notebook that makes them, for the message.

    Returns
    -------
    {name: DataFrame}

    Raises
    ------
    ValueError
        For a table that is missing, stale, of another edition, or of another
        run of the page than the first one.
    """

    tables, first = {}, None
    for name in names:
        file = folder / f"{prefix}{name}.tsv"
        faults = stale(file)
        if faults:
            raise ValueError(
                f"{file}: {faults[0]}; make it with notebook {page}"
            )
        record = read_sidecar(file)
        made_for = record["facts"].get("edition")
        if made_for != edition:
            raise ValueError(
                f"{file}: of the edition {made_for}, expected {edition}; make "
                f"it with notebook {page}"
            )
        run = (record["inputs"], record["parameters"], record["seed"])
        first = first or run
        if run != first:
            raise ValueError(
                f"{file}: made from other inputs or parameters than "
                f"{prefix}{names[0]}.tsv; run notebook {page} again"
            )
        tables[name] = read_table(file)
    return tables


def write_map(path: str | Path, volume, affine) -> Path:
    """Write a map as NIfTI with its true affine, at once or not at all.

    Parameters
    ----------
    path : path, ending in .nii or .nii.gz
    volume : array, shape (X, Y, Z)
        Stored as float32; bool as uint8.
    affine : array, shape (4, 4)
        Voxel to RAS+ world in mm.

    Raises
    ------
    ValueError
        If the volume is not 3D, or the affine no invertible (4, 4) matrix.
    """
    import nibabel as nib

    volume = np.asarray(volume)
    affine = np.asarray(affine, dtype=np.float64)
    if volume.ndim != 3:
        raise ValueError(
            f"{path}: a map of shape {volume.shape}, expected (X, Y, Z)"
        )
    if affine.shape != (4, 4) or np.linalg.det(affine[:3, :3]) == 0:
        raise ValueError(
            f"{path}: affine {affine.tolist()}, expected an invertible (4, 4)"
        )
    stored_type = np.uint8 if volume.dtype == bool else np.float32
    image = nib.Nifti1Image(volume.astype(stored_type), affine)
    image.header.set_xyzt_units("mm")
    with atomic.file(path) as temporary:
        image.to_filename(temporary)
    return Path(path)


def read_map(path: str | Path, shape, affine) -> np.ndarray:
    """Read a map or mask that must lie on the given grid, (X, Y, Z) float32.

    Raises
    ------
    ValueError
        If its shape or its affine (beyond 0.001) is another, naming file,
        found and expected.
    """
    image = limits.load_image(path)
    if image.shape != tuple(shape):
        raise ValueError(
            f"{path}: shape {image.shape}, expected {tuple(shape)}"
        )
    if not np.allclose(image.affine, affine, atol=1e-3):
        raise ValueError(
            f"{path}: affine {image.affine.tolist()}, expected "
            f"{np.asarray(affine).tolist()}"
        )
    return np.asarray(image.dataobj, dtype=np.float32)
