"""What a page leaves behind, each file complete and with its sidecar; and no
map without doubt.

A brain map says in its sidecar what it shows. One that compares groups is
written with its corrected p and its verdict or not at all, and `complaints`
finds any that came from elsewhere: the book refuses their page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmssl.ledger import atomic
from mmssl.ledger.hashes import hash_array, hash_file
from mmssl.ledger.sidecars import read_sidecar, sidecar_of, write_sidecar

GROUPS, CORRECTED, SALIENCY = (
    "group difference",
    "corrected p",
    "mean saliency",
)
"""What a map may show."""


class Provenance(NamedTuple):
    """What made the files of a page: the arguments of
    `mmssl.ledger.sidecars.write_sidecar`.
    """

    inputs: Mapping[str, str | Path]
    parameters: Mapping[str, Any]
    seed: int
    modules: tuple[str, ...]
    facts: Mapping[str, Any] = {}

    def record(self, file: Path, **facts: Any) -> Path:
        """Write the sidecar of a finished file."""
        write_sidecar(file, *self[:-1], dict(self.facts) | facts)
        return file

    def leave(
        self, folder: Path, prefix: str, contents: Mapping[str, Any]
    ) -> list[Path]:
        """Write tables as ``<prefix><name>.tsv`` and figures as
        ``<prefix><name>.png``.
        """
        import pandas as pd

        files = []
        for name, content in contents.items():
            is_table = isinstance(content, pd.DataFrame)
            files.append(
                folder / f"{prefix}{name}.{'tsv' if is_table else 'png'}"
            )
            with atomic.file(files[-1]) as temporary:
                if is_table:
                    content.to_csv(temporary, sep="\t", index=False)
                else:
                    content.savefig(temporary)
            self.record(files[-1])
        return files

    def leave_map(self, file: Path, volume, affine, **about: Any) -> Path:
        """Write a map (X, Y, Z) that says what it is; ``about`` holds its
        `kind` at least.
        """
        return self.record(write_map(file, volume, affine), map=about)

    def leave_group_maps(
        self,
        folder: Path,
        maps: Mapping,
        verdicts: Mapping,
        affine,
        permutations: int,
    ) -> list[Path]:
        """Write effect sizes and corrected p of group differences.

        Parameters
        ----------
        maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
        verdicts : {the same: `mmssl.ledger.artefacts.Verdict`}
        permutations : int
            Behind the corrected p.

        Raises
        ------
        ValueError
            Before anything is written, for a map without p or verdict, or with
            those of another.
        """
        for key, pair in maps.items():
            defended(*pair, verdicts.get(key), what=", ".join(key))
        files = []
        for key, (rbc, p) in maps.items():
            name = f"group_{'_'.join(key).replace(' ', '-')}"
            effect, corrected = (
                folder / f"{name}_{kind}.nii.gz" for kind in ("rbc", "p")
            )
            correction = {
                "method": "largest absolute effect of relabelled people, family-wise",
                "permutations": permutations,
                "file": corrected.name,
            }
            files += [
                self.leave_map(
                    corrected, p, affine, kind=CORRECTED, of=effect.name
                ),
                self.leave_map(
                    effect,
                    rbc,
                    affine,
                    kind=GROUPS,
                    name=key,
                    correction=correction,
                    verdict=verdicts[key].record(),
                ),
            ]
        return files


def defended(rbc, p, verdict, what: str = "map") -> None:
    """ValueError for a map of a group difference without corrected p or
    without its own verdict.

    Parameters
    ----------
    rbc, p : array, shape (X, Y, Z)
    verdict : Verdict
    what : str
        Name of the map in the message.
    """
    if p is None or np.shape(p) != np.shape(rbc):
        raise ValueError(
            f"{what}: corrected p of shape {np.shape(p) if p is not None else None}, "
            f"expected {np.shape(rbc)}: a map is shown with its correction"
        )
    if not ((np.asarray(p) > 0) & (np.asarray(p) <= 1)).all():
        raise ValueError(
            f"{what}: corrected p from {np.min(p)} to {np.max(p)}, expected above 0 "
            "and at most 1"
        )
    if not isinstance(verdict, Verdict):
        raise ValueError(
            f"{what}: {type(verdict).__name__} for a verdict; a map is shown with "
            "what the saliency court says of it (mmssl.saliency.sanity_checks)"
        )
    verdict.check(rbc)


def complaints(folder: str | Path) -> list[str]:
    """Say which maps of a folder must not be published, and why.

    Parameters
    ----------
    folder : path
        Of NIfTI files with sidecars.

    Returns
    -------
    list of str
        One for each map that does not say what it shows, was changed, or
        compares groups without a corrected p or a verdict of its own; one if
        there is no map of groups at all.
    """
    files = sorted(
        f for f in Path(folder).glob("*.nii*") if not f.name.endswith(".json")
    )
    about = {file: _about(file) for file in files}
    found = [reason for file in files for reason in _doubts(file, about[file])]
    if not any(said.get("kind") == GROUPS for said in about.values()):
        found.append(
            f"it draws maps of groups, but none lies in {Path(folder).name}"
        )
    return found


def _about(file: Path) -> dict:
    if not sidecar_of(file).is_file():
        return {}
    return read_sidecar(file)["facts"].get("map", {})


def _doubts(file: Path, about: Mapping) -> list[str]:
    """What is wrong with one map."""
    import nibabel as nib

    if about.get("kind") not in (GROUPS, CORRECTED, SALIENCY):
        return [
            f"map {file.name} does not say what it shows, so nobody knows whether it is "
            "corrected; run its page again or remove it"
        ]
    if read_sidecar(file)["content"] != hash_file(file):
        return [f"map {file.name} was changed after it was made"]
    if about["kind"] != GROUPS:
        return []
    effect = np.asarray(nib.load(file).dataobj)
    return [
        f"map {file.name} {reason}"
        for reason in (
            *_uncorrected(file, about.get("correction") or {}, effect),
            *_unjudged(about.get("verdict") or {}, effect),
        )
    ]


def _uncorrected(
    file: Path, correction: Mapping, effect: np.ndarray
) -> list[str]:
    import nibabel as nib

    if not correction.get("file"):
        return ["is not corrected for the number of voxels"]
    beside = file.with_name(correction["file"])
    if not beside.is_file():
        return [f"has lost its corrected p, {beside.name}"]
    p, least = (
        np.asarray(nib.load(beside).dataobj),
        1 / (1 + correction["permutations"]),
    )
    if (
        p.shape != effect.shape
        or not (p >= least * (1 - 1e-5)).all()
        or not (p <= 1).all()
    ):
        return [
            f"has p of shape {p.shape} from {p.min():.2g} to {p.max():.2g} in {beside.name}, "
            f"expected {effect.shape} from {least:.2g} to 1: these are not the corrected ones"
        ]
    return []


def _unjudged(verdict: Mapping, effect: np.ndarray) -> list[str]:
    if not verdict:
        return ["has no verdict of the saliency court"]
    if verdict.get("of") != stamp(effect):
        return ["carries the verdict on another map"]
    missing = [test for test in TESTS if test not in verdict.get("tests", {})]
    if missing and verdict.get("summary") not in (CONTROL, UNTRAINED):
        return [
            f"was not heard in full: {', '.join(missing)} missing from its verdict"
        ]
    return []


TESTS = ("weights", "labels", "random encoder", "deletion")
CONTROL, UNTRAINED = (
    "no encoder: positive control",
    "untrained encoder: baseline",
)
"""What is said of maps that no trained encoder made;
`mmssl.saliency.sanity_checks` gives it to no others.
"""


class Ruling(NamedTuple):
    """What one test says of a map: "yes", "no" or "undecided", and because of
    what.
    """

    answer: str
    because: str


@dataclass(frozen=True)
class Verdict:
    """What the court says of one map, and of no other.

    of : hash of the effect sizes, (X, Y, Z) float32.
    rulings : {test: Ruling} of all `TESTS`; empty where no trained encoder is
        on trial.
    instead : `CONTROL` or `UNTRAINED` where that is so.
    """

    of: str
    rulings: Mapping[str, Ruling]
    instead: str = ""

    def __post_init__(self) -> None:
        """ValueError for a verdict without rulings that does not say why."""
        expected = () if self.instead in (CONTROL, UNTRAINED) else TESTS
        if tuple(self.rulings) != expected:
            raise ValueError(
                f"a verdict with rulings on {list(self.rulings)} and {self.instead!r} "
                f"instead, expected {list(TESTS)}, or {CONTROL!r} or {UNTRAINED!r}"
            )

    def __str__(self) -> str:
        if self.instead:
            return self.instead
        tests = {
            a: [t for t, r in self.rulings.items() if r.answer == a]
            for a in ("yes", "no", "undecided")
        }
        doubts = [
            f"{answer}: {', '.join(tests[answer])}"
            for answer in ("no", "undecided")
            if tests[answer]
        ]
        return "; ".join(
            [f"court: {len(tests['yes'])} of {len(self.rulings)}", *doubts]
        )

    def check(self, volume) -> None:
        """ValueError unless the verdict was given on this very map, (X, Y,
        Z).
        """
        if stamp(volume) != self.of:
            raise ValueError(
                f"the verdict '{self}' was given on another map than this one"
            )

    def record(self) -> dict:
        """For a sidecar: of, summary, and what each test says."""
        return {
            "of": self.of,
            "summary": str(self),
            "tests": {
                test: ruling._asdict() for test, ruling in self.rulings.items()
            },
        }


def stamp(volume) -> str:
    """By what a verdict knows a map, (X, Y, Z): the hash of its values as they
    are stored.
    """
    return hash_array(np.asarray(volume, dtype=np.float32))


KEYS = ("source", "modality", "sign")
"""What names a map in tables: what it was made from, of which images, of which
dimension.
"""


def write_map(path: str | Path, volume, affine) -> Path:
    """Write a map as NIfTI with its true affine, at once or not at all.

    Parameters
    ----------
    path : path, ending in .nii or .nii.gz
    volume : array, shape (X, Y, Z)
    affine : array, shape (4, 4)
        Voxel to RAS+ world in mm.

    Raises
    ------
    ValueError
        If the volume is not 3D, or the affine no invertible (4, 4) matrix.
    """
    import nibabel as nib

    volume, affine = np.asarray(volume), np.asarray(affine, dtype=np.float64)
    if volume.ndim != 3:
        raise ValueError(
            f"{path}: a map of shape {volume.shape}, expected (X, Y, Z)"
        )
    if affine.shape != (4, 4) or np.linalg.det(affine[:3, :3]) == 0:
        raise ValueError(
            f"{path}: affine {affine.tolist()}, expected an invertible (4, 4)"
        )
    kept = volume.astype(np.uint8 if volume.dtype == bool else np.float32)
    image = nib.Nifti1Image(kept, affine)
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
    import nibabel as nib

    image = nib.load(path)
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
