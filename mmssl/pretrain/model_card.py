"""The card of exported encoders: what ``config.json`` says, for people and
for the sites that share models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmssl.ledger.markup import escaped
from mmssl.models.exported import ENCODERS

LIBRARY = "mmssl"
_FIGURES = ("auc", "low", "high")


def model_card(config: Mapping[str, Any], license: str | None = None) -> str:
    """The text of a ``README.md``.

    Parameters
    ----------
    config : mapping
        As :func:`mmssl.pretrain.encoder_export.export_encoders` writes it.
    license : str, optional
        Of the weights; nothing is said where it is not known.

    Returns
    -------
    str
        Markdown below a head in YAML. Names are shown literally, whatever
        they are.
    """
    modalities = " and ".join(escaped(m) for m in config["modalities"])
    objective = escaped(config["recipe"]["objective"])
    parts = [
        _head(config, license),
        f"# {objective}: encoders of {modalities}",
        f"**{config['data']['statement']}** For research; nothing here is "
        "made for a diagnosis.",
        *_use(config),
        *_input(config),
        *_network(config),
        *_data(config),
        "## Recipe",
        _recipe(config),
        *_results(config),
        *_making(config),
    ]
    return "\n\n".join(parts) + "\n"


def _head(config: Mapping, license: str | None) -> str:
    """The head that sites which share models read."""
    import yaml

    tags = [LIBRARY, "self-supervised-learning", "feature-extraction"]
    if config["input"]["intensity"] == "brain":
        tags.append("mri")
    if config["data"]["simulated"]:
        tags.append("simulated-data")
    head = {"library_name": LIBRARY, "tags": tags}
    if license:
        head["license"] = license
    text = yaml.safe_dump(head, sort_keys=True, allow_unicode=True)
    return f"---\n{text}---"


def _use(config: Mapping) -> Iterator[str]:
    first, words = config["modalities"][0], "FOLDER"
    if config["network"]["class"] not in ENCODERS:
        words = "FOLDER, backbone=CLASS"
    yield "## Use"
    code = [
        "from mmssl import preprocessing",
        "",
        f"encoder = preprocessing.load_exported({words})[{first!r}]",
        "x = encoder.prepare(volumes)",
        "z = encoder.network(x).z",
    ]
    yield "\n".join(["```python", *code, "```"])


def _input(config: Mapping) -> Iterator[str]:
    found = config["input"]
    yield "## What an image must be"
    voxels = "none: images without a world"
    if found["voxel_mm"]:
        voxels = " x ".join(f"{side:g}" for side in found["voxel_mm"])
    lines = [
        ("sides, voxels", " x ".join([str(found["size"])] * found["dims"])),
        ("voxels, mm", voxels),
        ("affine, landmarks", "config.json"),
        ("axes", found["axes"]),
        ("brain", "mask.npy" if found["mask"] else "no mask"),
    ]
    for m, channels in found["channels"].items():
        lines.append((f"channels of {m}", channels))
    yield _table(("property", "value"), lines)
    steps = enumerate(found["steps"], 1)
    yield "\n".join(f"{number}. {step}" for number, step in steps)


def _network(config: Mapping) -> Iterator[str]:
    found = config["network"]
    yield "## Network"
    lines = [
        ("class", found["class"]),
        ("length of z", found["latent"]),
        ("one encoder for all modalities", found["shared"]),
        ("weights kept in", config["weights"]["dtype"]),
    ]
    for m, number in found["parameters"].items():
        lines.append((f"parameters of {m}", f"{number:,}"))
    yield _table(("property", "value"), lines)


def _data(config: Mapping) -> Iterator[str]:
    found = config["data"]
    yield "## Data"
    lines = [
        ("cohort", found["name"]),
        ("kind", found["kind"]),
        ("simulated", found["simulated"] or "not known to be"),
        ("hash of all files", found["hash"]),
        ("people", found["people"]),
        ("pairs of images", found["pairs"]),
        ("people trained on", found["seen"]["train"]),
        ("people who chose the epoch", found["seen"]["valid"]),
    ]
    yield _table(("property", "value"), lines)


def _recipe(config: Mapping) -> str:
    lines = []
    for name, value in config["recipe"].items():
        lines.append((name.replace("_", " "), value))
    return _table(("setting", "value"), lines)


def _results(config: Mapping) -> Iterator[str]:
    found = config["results"]
    yield "## Results"
    if found is None:
        yield "None is on record."
        return
    lines = []
    for m, of_modality in found["modalities"].items():
        for line in [of_modality["row"], *of_modality["baselines"]]:
            name = line["model"]
            if line["baseline"]:
                name = f"{name} (baseline)"
            lines.append((m, name, _figure(line)))
    yield _table(("modality", "model", "AUC (95 %)"), lines)
    first = next(iter(found["modalities"].values()))["row"]
    folds = ""
    if first.get("folds", 1) > 1:
        folds = f"; the mean of {first['folds']} folds, of which this is one"
    yield (
        f"Hold-out ROC-AUC of {escaped(found['protocol'])} on frozen "
        f"encoders, with its interval over people{folds}. An encoder that is "
        "not above the baselines is of no use for this question. "
        f"{config['data']['statement']}"
    )
    lines = [("table", found["table"], found["table_hash"])]
    for m, of_modality in found["modalities"].items():
        lines.append(("line", m, of_modality["row_hash"]))
    yield _table(("what", "of", "SHA-256"), lines)


def _figure(line: Mapping) -> str:
    """An AUC with its interval, or a dash where there is none."""
    auc, low, high = (line[name] for name in _FIGURES)
    if auc is None or low is None or high is None:
        return "–"
    return f"{auc:.3f} ({low:.3f} to {high:.3f})"


def _making(config: Mapping) -> Iterator[str]:
    found = config["made_by"]
    yield "## What made it"
    lines = [
        ("code, SHA-256", found["code"]),
        ("device", found["device"]),
        ("threads", found["threads"]),
        ("processes", found["processes"]),
        *found["versions"].items(),
    ]
    yield _table(("what", "value"), lines)


def _table(head: Sequence[str], lines: Iterable[Sequence]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head)]
    for line in lines:
        rows.append([_cell(value) for value in line])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: Any) -> str:
    """A value as it stands, whatever it is called."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {one}" for name, one in value.items())
    # a cell begins no line, so its first sign needs nothing of its own
    return escaped(f"a{value}")[1:] or "–"
