"""Write what is published of a finished edition, into ``book/published/``.

    python book/publish.py config/overnight.yaml

A folder an edition, made of what the edition left and nothing else::

    published.json   edition, version, code, and hashes of what it was made of
    tables/          of chapters, with their sidecars; none of single people or
                     of single random draws
    figures/         the same, in 128 colours, or as a photograph; of trainings
                     only that which the book shows
    encoders/        of fold 0, of the models in the README (float16)
    manifest.json    hashes of all of these, which make verify checks

An edition with a run that is missing, failed or stale is refused, and so are
files of more than `LIMIT` bytes together, and whatever names a person or shows
a place of a machine. What was published before is replaced as a whole or stays
as it is.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import yaml
from PIL import Image

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path[:0] = [str(BOOK), str(ROOT / "notebooks")]

import identifiers  # noqa: E402
import jobs  # noqa: E402
import private_text  # noqa: E402
import published_editions  # noqa: E402
import status  # noqa: E402

from mmssl import cohorts, ledger, pretrain  # noqa: E402
from mmssl.ledger import atomic, locks  # noqa: E402
from mmssl.ledger.hashes import as_json  # noqa: E402
from mmssl.ledger.manifest import write_manifest  # noqa: E402
from mmssl.pretrain.published import ENCODERS, FOLDER  # noqa: E402

OF_PEOPLE = {"person", "participant_id", "session"}
"""Columns of a table with a line a person: it is for the machine that made it,
simulated people included, as their scores are most of an edition's bytes.
"""

OF_DRAWS = {"draw", "study"}
"""The same of a table with a line a random draw, which others sum up."""

SHEETS = "15_overlays_"
"""What figures of single people, image by image, begin with."""

COLOURS = 128
MANY_COLOURS = 4096
"""More are those of a map or an image, whose shades few colours would band."""

LIMIT = 20_000_000
"""Bytes of all published files of an edition."""

LARGEST = 5
"""Files that are named where they are too many bytes."""

NOT_READ = (".npy", ".safetensors")
"""Endings of arrays, which hold no text."""

TRAINING = "03_pretraining"

FOLD = 0
"""Whose encoders are published."""


class RefusedError(ValueError):
    """An edition is not fit to publish; one line a reason."""


def publish(edition: Mapping[str, Any], root: Path = ROOT) -> Path:
    """Write ``book/published/<edition>`` of a finished edition; return it.

    Parameters
    ----------
    edition : mapping
        The content of a file of ``config/``.
    root : Path, optional
        The checkout.

    Raises
    ------
    RefusedError
        For a run that is not done, a table or a figure that is stale or
        missing, pages of several versions, too many bytes, and private text.
    """
    known = jobs.jobs_of(edition)
    _check_done(known, root)
    name = edition["edition"]
    sources = {
        "tables": _saved(root / "data" / "results" / name, "*.tsv"),
        "figures": _saved(root / "figures" / name, "*.png"),
    }
    sources["tables"] = [f for f in sources["tables"] if not _of_single(f)]
    _, *other_runs = _runs(known)
    endings = tuple(f"_{run}" for run in other_runs)
    sources["figures"] = [
        f
        for f in sources["figures"]
        if not f.stem.endswith(endings) and not f.stem.startswith(SHEETS)
    ]
    target = root / FOLDER / name
    with locks.owned(target), atomic.scratch(target) as made:
        for part, write in (("tables", _copy), ("figures", _lighten)):
            (made / part).mkdir()
            for file in sources[part]:
                write(file, made / part)
        _export(known, root, made / ENCODERS)
        record = as_json(_record(edition, known, root), indent=1) + "\n"
        (made / published_editions.RECORD).write_text(record, encoding="utf-8")
        write_manifest(made)
        _check_private(made, known, root)
        _check_size(made)
        _replace(target, made)
    return target


def _check_done(known: Sequence[jobs.Job], root: Path) -> None:
    """Refuse an edition with a run that is not done."""
    reasons = []
    for found in status.statuses_of(known, root):
        if found.state != "done":
            told = f": {found.told}" if found.told else ""
            reasons.append(f"{found.run} is {found.state}{told}")
    if reasons:
        raise RefusedError("\n".join(reasons))


def _saved(folder: Path, pattern: str) -> list[Path]:
    """Return what pages left in a folder, all of it fresh."""
    files = sorted(folder.glob(pattern))
    reasons = [] if files else [f"{folder}: no {pattern}"]
    for file in files:
        reasons += ledger.stale(file, once=True)
    if reasons:
        raise RefusedError("\n".join(reasons))
    return files


def _copy(file: Path, folder: Path) -> None:
    """Copy a file with its sidecar."""
    shutil.copy(file, folder)
    shutil.copy(ledger.sidecar_of(file), folder)


def _lighten(figure: Path, folder: Path) -> None:
    """Write a figure as WebP, in few colours unless it has many; its sidecar
    names the hash of what was drawn, too.
    """
    file = folder / f"{figure.stem}.webp"
    with Image.open(figure) as drawn:
        colours = drawn.convert("RGBA")
    flat = Image.new("RGB", colours.size, "white")
    flat.paste(colours, mask=colours.getchannel("A"))
    if flat.getcolors(MANY_COLOURS):
        few = flat.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
        few.save(file, lossless=True, quality=90, method=6)
    else:
        flat.save(file, quality=75, method=6)
    record = ledger.read_sidecar(figure)
    record["facts"]["drawn"] = record["content"]
    record |= {"artefact": file.name, "content": ledger.hash_file(file)}
    text = as_json(record, indent=1) + "\n"
    ledger.sidecar_of(file).write_text(text, encoding="utf-8")


def _of_single(table: Path) -> bool:
    """Whether a table has a line a person, a pair of images or a draw."""
    lines = pd.read_csv(table, sep="\t")
    # in other tables a pair is one of modalities, by their names
    numbered = "pair" in lines and pd.api.types.is_numeric_dtype(lines["pair"])
    return numbered or bool((OF_PEOPLE | OF_DRAWS) & set(lines))


def _runs(known: Sequence[jobs.Job]) -> list[str]:
    """Return the names of all trainings; the book shows the first."""
    runs = []
    for job in known:
        if job.notebook == TRAINING:
            runs.append(Path(job.resolved["run_dir"]).name)
    return runs or [""]


def _export(known: Sequence[jobs.Job], root: Path, folder: Path) -> None:
    """Export the encoders of the README's models that the edition trained."""
    results = None
    for job in known:
        if job.notebook == "04_linear_evaluation":
            file = f"{job.resolved['output']}/linear_evaluation.tsv"
            results = root / file
    shown = _readme().SHOWN
    for job in known:
        if job.notebook != TRAINING or job.resolved["fold"] != FOLD:
            continue
        run = root / job.resolved["run_dir"]
        model = run.name.partition("-fold")[0]
        # of several seeds the first
        if model in shown and not (folder / model).exists():
            pretrain.export_encoders(
                run,
                folder / model,
                results,
                cohort=cohorts.load(root / job.resolved["cohort"]),
                dtype="float16",
            )


def _record(
    edition: Mapping[str, Any], known: Sequence[jobs.Job], root: Path
) -> dict[str, Any]:
    """Return who made it of what, without a date or a place."""
    name = edition["edition"]
    versions, code, pages, hours = set(), {}, {}, 0.0
    is_simulated = True
    for job in known:
        page = ledger.read_sidecar(root / job.executed)
        versions.add(page["versions"]["mmssl"])
        code |= page["code"]
        pages[job.executed] = page["content"]
        hours += page["facts"].get("processor_seconds", 0) / 3600
        folder = root / str(job.resolved.get("cohort", ""))
        if (folder / "cohort.json").is_file():
            is_simulated &= not identifiers.has_people(folder)
    if len(versions) != 1:
        raise RefusedError(
            f"pages of {name}: made by mmssl {', '.join(sorted(versions))}, "
            "expected one version; run them again"
        )
    return {
        "format": published_editions.FORMAT,
        "edition": name,
        "banner": edition["banner"],
        "version": versions.pop(),
        "code": code,
        "core_hours": round(hours, 2),
        "simulated": is_simulated,
        "config": ledger.hash_json(edition),
        "pages": pages,
    }


def _check_private(made: Path, known: Sequence[jobs.Job], root: Path) -> None:
    """Refuse what names a person or shows a place of a machine."""
    people = identifiers.Identifiers()
    for job in known:
        people |= identifiers.of_parameters(job.resolved, root)
    reasons = []
    for file in sorted(made.rglob("*")):
        name = file.relative_to(made).as_posix()
        found = private_text.shown(name, people)
        if file.is_file() and file.suffix not in NOT_READ:
            found += private_text.in_file(file, people)
        reasons += [f"{name}: {reason}" for reason in found]
    if reasons:
        raise RefusedError("\n".join(reasons))


def _check_size(made: Path) -> None:
    """Refuse more bytes than a repository should carry."""
    sizes = {}
    for file in made.rglob("*"):
        if file.is_file():
            sizes[file.relative_to(made).as_posix()] = file.stat().st_size
    total = sum(sizes.values())
    if total <= LIMIT:
        return
    largest = sorted(sizes, key=sizes.get, reverse=True)[:LARGEST]
    named = ", ".join(f"{name} ({sizes[name] / 1e6:.1f})" for name in largest)
    raise RefusedError(
        f"{total / 1e6:.1f} MB, expected at most {LIMIT / 1e6:.1f}; the "
        f"largest: {named}"
    )


def _replace(target: Path, made: Path) -> None:
    """Give a finished folder its name; what had it goes, or comes back."""
    earlier = made.with_name(f"{made.name}-earlier")
    if not target.exists():
        os.rename(made, target)
        return
    os.rename(target, earlier)
    try:
        os.rename(made, target)
    except OSError:
        os.rename(earlier, target)
        raise


def _readme() -> ModuleType:
    """The script that knows the README's rows; it is in no package."""
    file = ROOT / "figures" / "readme" / "refresh.py"
    spec = importlib.util.spec_from_file_location("refresh", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    file = Path(arguments[0])
    try:
        edition = yaml.safe_load(file.read_text(encoding="utf-8"))
        folder = publish(edition)
    except (OSError, ValueError, locks.LockedError) as error:
        for reason in str(error).splitlines():
            print(f"publish refused: {reason}", file=sys.stderr)
        return 1
    print(folder.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
