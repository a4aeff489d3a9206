"""What a page leaves behind, each file complete and with its sidecar; and no map without doubt.

A brain map says in its sidecar what it shows. One that compares groups is written with its
corrected p and its verdict or not at all, and `complaints` finds any that came from elsewhere: the
book refuses their page.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl import atomic, ledger, localisation
from mmssl.verdict import CONTROL, FLOOR, TESTS, Verdict, stamp

GROUPS, CORRECTED, SALIENCY = "group difference", "corrected p", "mean saliency"
"""What a map may show."""


class Provenance(NamedTuple):
    """What made the files of a page: the arguments of `mmssl.ledger.write_sidecar`."""

    inputs: Mapping[str, str | Path]
    parameters: Mapping[str, Any]
    seed: int
    modules: tuple[str, ...]
    facts: Mapping[str, Any] = {}

    def record(self, file: Path, **facts: Any) -> Path:
        """Write the sidecar of a finished file."""
        ledger.write_sidecar(file, *self[:-1], dict(self.facts) | facts)
        return file

    def leave(self, folder: Path, prefix: str, contents: Mapping[str, Any]) -> list[Path]:
        """Write tables as ``<prefix><name>.tsv`` and figures as ``<prefix><name>.png``."""
        files = []
        for name, content in contents.items():
            is_table = isinstance(content, pd.DataFrame)
            files.append(folder / f"{prefix}{name}.{'tsv' if is_table else 'png'}")
            with atomic.file(files[-1]) as temporary:
                if is_table:
                    content.to_csv(temporary, sep="\t", index=False)
                else:
                    content.savefig(temporary)
            self.record(files[-1])
        return files

    def leave_map(self, file: Path, volume, affine, **about: Any) -> Path:
        """Write a map (X, Y, Z) that says what it is; ``about`` holds its `kind` at least."""
        return self.record(localisation.save(file, volume, affine), map=about)

    def leave_group_maps(
        self, folder: Path, maps: Mapping, verdicts: Mapping, affine, permutations: int
    ) -> list[Path]:
        """Write effect sizes and corrected p of group differences.

        Parameters
        ----------
        maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
        verdicts : {the same: `mmssl.verdict.Verdict`}
        permutations : int
            Behind the corrected p.

        Raises
        ------
        ValueError
            Before anything is written, for a map without p or verdict, or with those of another.
        """
        for key, pair in maps.items():
            defended(*pair, verdicts.get(key), what=", ".join(key))
        files = []
        for key, (rbc, p) in maps.items():
            name = f"group_{'_'.join(key).replace(' ', '-')}"
            effect, corrected = (folder / f"{name}_{kind}.nii.gz" for kind in ("rbc", "p"))
            correction = {"method": "largest absolute effect of relabelled people, family-wise",
                          "permutations": permutations, "file": corrected.name}  # fmt: skip
            files += [
                self.leave_map(corrected, p, affine, kind=CORRECTED, of=effect.name),
                self.leave_map(effect, rbc, affine, kind=GROUPS, name=key, correction=correction,
                               verdict=verdicts[key].record()),
            ]  # fmt: skip
        return files


def defended(rbc, p, verdict, what: str = "map") -> None:
    """ValueError for a map of a group difference without corrected p or without its own verdict.

    Parameters
    ----------
    rbc, p : array, shape (X, Y, Z)
    verdict : Verdict
    what : str
        Name of the map in the message.
    """
    if p is None or np.shape(p) != np.shape(rbc):
        raise ValueError(f"{what}: corrected p of shape {np.shape(p) if p is not None else None}, "
                         f"expected {np.shape(rbc)}: a map is shown with its correction")
    if not ((np.asarray(p) > 0) & (np.asarray(p) <= 1)).all():
        raise ValueError(f"{what}: corrected p from {np.min(p)} to {np.max(p)}, expected above 0 "
                         "and at most 1")
    if not isinstance(verdict, Verdict):
        raise ValueError(f"{what}: {type(verdict).__name__} for a verdict; a map is shown with "
                         "what the saliency court says of it (mmssl.court)")
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
        One for each map that does not say what it shows, was changed, or compares groups without a
        corrected p or a verdict of its own; one if there is no map of groups at all.
    """
    files = sorted(f for f in Path(folder).glob("*.nii*") if not f.name.endswith(".json"))
    about = {file: _about(file) for file in files}
    found = [reason for file in files for reason in _doubts(file, about[file])]
    if not any(said.get("kind") == GROUPS for said in about.values()):
        found.append(f"it draws maps of groups, but none lies in {Path(folder).name}")
    return found


def _about(file: Path) -> dict:
    if not ledger.sidecar_of(file).is_file():
        return {}
    return ledger.read_sidecar(file)["facts"].get("map", {})


def _doubts(file: Path, about: Mapping) -> list[str]:
    """What is wrong with one map."""
    if about.get("kind") not in (GROUPS, CORRECTED, SALIENCY):
        return [f"map {file.name} does not say what it shows, so nobody knows whether it is "
                "corrected; run its page again or remove it"]
    if ledger.read_sidecar(file)["content"] != ledger.hash_file(file):
        return [f"map {file.name} was changed after it was made"]
    if about["kind"] != GROUPS:
        return []
    effect = np.asarray(nib.load(file).dataobj)
    return [f"map {file.name} {reason}" for reason in
            (*_uncorrected(file, about.get("correction") or {}, effect),
             *_unjudged(about.get("verdict") or {}, effect))]


def _uncorrected(file: Path, correction: Mapping, effect: np.ndarray) -> list[str]:
    if not correction.get("file"):
        return ["is not corrected for the number of voxels"]
    beside = file.with_name(correction["file"])
    if not beside.is_file():
        return [f"has lost its corrected p, {beside.name}"]
    p, least = np.asarray(nib.load(beside).dataobj), 1 / (1 + correction["permutations"])
    if p.shape != effect.shape or not (p >= least * (1 - 1e-5)).all() or not (p <= 1).all():
        return [f"has p of shape {p.shape} from {p.min():.2g} to {p.max():.2g} in {beside.name}, "
                f"expected {effect.shape} from {least:.2g} to 1: these are not the corrected ones"]
    return []


def _unjudged(verdict: Mapping, effect: np.ndarray) -> list[str]:
    if not verdict:
        return ["has no verdict of the saliency court"]
    if verdict.get("of") != stamp(effect):
        return ["carries the verdict on another map"]
    missing = [test for test in TESTS if test not in verdict.get("tests", {})]
    if missing and verdict.get("summary") not in (CONTROL, FLOOR):
        return [f"was not heard in full: {', '.join(missing)} missing from its verdict"]
    return []
