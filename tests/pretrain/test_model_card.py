"""The card shows names as they stand, and says nothing that it does not
know.
"""

import copy
import html
import re

import pytest
import yaml

from mmssl.pretrain.model_card import model_card

CONFIG = {
    "modalities": ["T1"],
    "network": {
        "class": "Encoder",
        "latent": 4,
        "shared": False,
        "parameters": {"T1": 12345},
    },
    "weights": {"dtype": "float32"},
    "input": {
        "axes": "(images, channels, sides)",
        "channels": {"T1": 1},
        "size": 16,
        "dims": 2,
        "voxel_mm": None,
        "mask": False,
        "intensity": "unit",
        "steps": ["Values pass as they are."],
    },
    "data": {
        "name": "people",
        "kind": "phantom",
        "simulated": "people",
        "statement": "Simulated people.",
        "hash": "0" * 64,
        "people": 3,
        "pairs": 4,
        "seen": {"train": 2, "valid": 1},
    },
    "recipe": {"objective": "RR", "batch_size": 8, "options": {"a": 1}},
    "results": None,
    "made_by": {
        "code": "1" * 64,
        "device": "cpu",
        "threads": 1,
        "processes": 1,
        "versions": {"torch": "2.0"},
    },
}
NAMES = (
    "<script>alert(1)</script>",
    "a | b | c",
    "**bold** _it_ `code`",
    "[link](http://x)",
    "two\n\n# lines",
    "--- \nlicense: mit",
    "$x$",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_markup(name):
    config = copy.deepcopy(CONFIG)
    config["data"]["name"] = config["data"]["kind"] = name
    config["made_by"]["device"] = config["recipe"]["objective"] = name
    config["recipe"]["options"] = {name: name}
    plain, card = model_card(CONFIG), model_card(config)
    assert name not in card
    shown = re.sub(r"&#\d+;", "", card)
    for sign in "|`*[#$\n":
        assert shown.count(sign) == plain.count(sign), sign
    read = re.sub(r"</?span>", "", html.unescape(card))
    assert " ".join(name.split()) in read
    head = yaml.safe_load(card.split("---\n")[1])
    assert head == yaml.safe_load(plain.split("---\n")[1])


def test_values_are_readable_as_they_are():
    card = model_card(CONFIG)
    for line in (
        "| batch size | 8 |",
        "| options | a 1 |",
        "| parameters of T1 | 12,345 |",
        "| sides, voxels | 16 x 16 |",
        "| voxels, mm | none: images without a world |",
        "| people trained on | 2 |",
        "**Simulated people.** For research",
        "1. Values pass as they are.",
        "None is on record.",
    ):
        assert line in card, line


def test_the_head_says_only_what_is_known():
    head = yaml.safe_load(model_card(CONFIG).split("---\n")[1])
    assert set(head) == {"library_name", "tags"}
    assert "simulated-data" in head["tags"] and "mri" not in head["tags"]
    head = yaml.safe_load(model_card(CONFIG, "mit\ntags: x").split("---\n")[1])
    assert head["license"] == "mit\ntags: x"


def test_a_mean_of_folds_is_called_one():
    row = {"model": "RR", "baseline": False, "folds": 5}
    row |= {"auc": 0.75, "low": 0.5, "high": 1.0}
    of_modality = {"row": row, "row_hash": "2" * 64, "baselines": []}
    config = CONFIG | {
        "results": {
            "table": "linear_evaluation.tsv",
            "table_hash": "3" * 64,
            "protocol": "logistic regression",
            "modalities": {"T1": of_modality},
        }
    }
    card = model_card(config)
    assert "| T1 | RR | 0.750 (0.500 to 1.000) |" in card
    assert "the mean of 5 folds, of which this is one" in card
    row["folds"] = 1
    assert "folds" not in model_card(config)
