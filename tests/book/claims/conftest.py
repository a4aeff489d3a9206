"""The book's list of claims, and tables of random numbers to assess it on."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from statsmodels.stats.proportion import proportion_confint

from book.claims import catalogue, rule, tables
from book.claims.scores import SCORES
from mmssl.objectives.preservation import ABLATION
from mmssl.similarity.measures import MEASURES

LIST = Path(__file__).parents[3] / "book" / "claims" / "claims.yaml"
BASELINES = ("random encoder", "PCA-64")
MODALITIES = ("T1", "fALFF")
PANELS = (
    "mean of panels",
    "ghost intensity",
    "spike intensity",
    "blur std",
    "noise std",
    "affine scales",
)


@pytest.fixture(scope="session")
def papers():
    """Give the five papers, {number: Paper}."""
    return catalogue.read(LIST)[0]


@pytest.fixture(scope="session")
def claims():
    """Give the claims of the book."""
    return catalogue.read(LIST)[1]


@pytest.fixture(scope="session")
def edition(tmp_path_factory):
    """Give a folder with every table the tests read, of random numbers for all
    models.
    """
    folder = tmp_path_factory.mktemp("results") / "made"
    folder.mkdir()
    listed = yaml.safe_load(LIST.read_text())["models"]["all objectives"]
    models = [
        *BASELINES,
        *listed,
        "MMVAE",
        "Supervised-dropout",
        "XX-CC-noisy",
    ]
    rng = np.random.default_rng(5)
    makers = {
        SCORES: _scores,
        tables.SIMILARITY: _similarities,
        tables.NATURAL_IMAGES: _accuracies,
        tables.COMPARISONS: _comparisons,
        tables.POPULATIONS: _populations,
        tables.OVERLAP: _overlaps,
        tables.GROUPS: _groups,
        tables.PRETEXT: _answers,
        tables.ASSIGNMENTS: _assignments,
        tables.TUNED_SCORES: _tuned_scores,
        tables.DEVIATIONS: _deviations,
    }
    for name, make in makers.items():
        table = make(rng, models)
        table.to_csv(folder / name, sep="\t", index=False)
    return folder


@pytest.fixture(scope="session")
def assessed(claims, edition):
    """Give all claims, assessed on the random tables."""
    return rule.assess(claims, edition)


def _answers(rng, models, people=18):
    lines = []
    for task in ("rotation", "relative position"):
        for model in ("untrained", "PCRL", *ABLATION):
            for person in range(people):
                right = rng.integers(5) / 4
                lines.append((task, model, person, right))
    return pd.DataFrame(lines, columns=["task", "model", "person", "right"])


CLUSTERINGS = ("SwAV", "SwAV-mixed", "SwAV-rounded")


def _assignments(rng, models, people=17):
    lines = []
    for model in CLUSTERINGS:
        for modality in MODALITIES:
            for person in range(people):
                loss = rng.uniform(1, 3)
                lines.append((model, modality, person, loss, 8))
    columns = ["model", "modality", "person", "loss", "prototypes"]
    return pd.DataFrame(lines, columns=columns)


def _tuned_scores(rng, models, people=30):
    lines = []
    for model in ("from scratch", *CLUSTERINGS):
        for ratio in (0.1, 1.0):
            for seed in (0, 1):
                for person in range(people):
                    label = int(person % 3 == 0)
                    score = rng.normal() + label
                    lines.append((model, ratio, seed, person, label, score))
    columns = ["model", "ratio", "seed", "person", "label", "score"]
    return pd.DataFrame(lines, columns=columns)


def _deviations(rng, models, people=13):
    lines = []
    for model in ("from scratch", "SwAV"):
        for kind in ("gamma", "affine", "both"):
            for seed in (0, 1, 2):
                level = rng.uniform(0, 0.1)
                for person in range(people):
                    moved = level + rng.uniform(0, 0.4)
                    lines.append((model, kind, seed, person, moved))
    columns = ["model", "kind", "seed", "person", "moved"]
    return pd.DataFrame(lines, columns=columns)


def _scores(rng, models, people=40, positives=15):
    labels = (np.arange(people) < positives).astype(int)
    common = rng.normal(size=people)
    parts = []
    for fold in (0, 1):
        for model in models:
            for modality in MODALITIES:
                own = rng.normal(size=people)
                separation = rng.uniform(0, 1.5)
                columns = {
                    "fold": fold,
                    "protocol": "logistic regression",
                    "model": model,
                    "modality": modality,
                    "draw": 0,
                    "baseline": model in BASELINES,
                    "pair": 3 * np.arange(people) + 7,
                    "label": labels,
                    "score": common + own + separation * labels,
                }
                parts.append(pd.DataFrame(columns))
    return pd.concat(parts)


def _similarities(rng, models):
    lines = []
    for model in models:
        for role, people in (("train", 200), ("holdout", 40)):
            for group in ("all", "HC", "AD"):
                for measure in MEASURES:
                    value = rng.uniform(0.3, 0.8)
                    half = rng.uniform(0.05, 0.15)
                    line = {
                        "model": model,
                        "pair": "T1–fALFF",
                        "role": role,
                        "group": group,
                        "measure": measure,
                        "estimate": value,
                        "low": value - half,
                        "high": value + half,
                        "chance": 0.2,
                        "shuffle_mean": rng.uniform(0.1, 0.3),
                        "shuffle_95": 0.35,
                        "p": 0.01,
                        "n": people,
                        "d": 64,
                    }
                    lines.append(line)
    return pd.DataFrame(lines)


def _groups(rng, models):
    lines = []
    for model in models:
        for measure in MEASURES:
            first, second = rng.uniform(0.3, 0.8, 2)
            difference, null_difference = rng.normal(0, 0.1, 2)
            line = {
                "model": model,
                "pair": "T1–fALFF",
                "role": "holdout",
                "n_first": 25,
                "n_second": 15,
                "measure": measure,
                "first": first,
                "second": second,
                "difference": difference,
                "null_difference": null_difference,
                "null_sd": rng.uniform(0.02, 0.1),
                "p": 0.5,
            }
            lines.append(line)
    return pd.DataFrame(lines)


def _accuracies(rng, models):
    views = {
        "Two-View MNIST": ("view1", "view2"),
        "MNIST-SVHN": ("MNIST", "SVHN"),
    }
    lines = []
    for data, modalities in views.items():
        for model in models:
            for modality in modalities:
                correct = int(rng.integers(300, 900))
                low, high = proportion_confint(correct, 1000, method="wilson")
                line = {
                    "data": data,
                    "model": model,
                    "modality": modality,
                    "fold": 0,
                    "accuracy": correct / 1000,
                    "low": low,
                    "high": high,
                    "test": 1000,
                }
                lines.append(line)
    return pd.DataFrame(lines)


def _comparisons(rng, models):
    lines = []
    for panel in PANELS:
        question = "in single panels"
        if panel == PANELS[0]:
            question = "better under distortion"
        for modality in MODALITIES:
            for first, second in combinations(models, 2):
                difference = rng.normal(0, 0.1)
                half = rng.uniform(0.02, 0.1)
                line = {
                    "modality": modality,
                    "panel": panel,
                    "first": first,
                    "second": second,
                    "difference": difference,
                    "low": difference - half,
                    "high": difference + half,
                    "p": 0.5,
                    "question": question,
                }
                lines.append(line)
                # an answer to another question, which no claim may read
                decoy = {
                    **line,
                    "difference": 9.0,
                    "low": 8.0,
                    "high": 10.0,
                    "question": "loses less",
                }
                lines.append(decoy)
    return pd.DataFrame(lines)


def _populations(rng, models):
    pairs = [(model, m) for model in models for m in MODALITIES]
    table = pd.DataFrame(pairs, columns=["model", "modality"])
    for name in ("gap", "shift"):
        values = rng.uniform(-0.1, 0.7, len(table))
        table[name] = values
        table[f"{name}_low"] = values - 0.1
        table[f"{name}_high"] = values + 0.2
    return table


def _overlaps(rng, models):
    lines = []
    for source in models:
        for modality in MODALITIES:
            for sign in ("positive", "negative"):
                lines.append((source, modality, sign, rng.uniform()))
    return pd.DataFrame(lines, columns=["source", "modality", "sign", "auprc"])
