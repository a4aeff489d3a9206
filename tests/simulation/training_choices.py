"""`make choices`: choices of training, held against each other on several
development cohorts.

Trains the same objectives under every choice, at equal epochs, on one
simulated cohort a seed, and writes ``book/training_choices.tsv``, which the
page of the linear evaluation shows. Cohorts and runs stay under ``data``; what
is there and of the same code is not made again.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from mmssl import (  # noqa: E402
    cohorts,
    evaluate,
    preprocessing,
    pretrain,
    stats,
)
from mmssl.ledger import atomic, paths  # noqa: E402
from mmssl.ledger.code import imports  # noqa: E402
from mmssl.ledger.sidecars import write_sidecar  # noqa: E402
from mmssl.ledger.workers import end_with  # noqa: E402
from mmssl.objectives.views import PadCropFlip, paper_recipe  # noqa: E402

SIZE = 32
LARGE = paper_recipe(SIZE, shared=False)
SMALL = PadCropFlip(1)
CHOICES = {
    ("RR", "large crops, shared"): {
        "augment": paper_recipe(SIZE, shared=True)
    },
    ("RR", "large crops, separate"): {"augment": LARGE},
    ("RR", "small crops, shared"): {"augment": PadCropFlip(1, shared=True)},
    ("RR", "small crops, separate"): {},
    ("RR", "landmarks of the image"): {"region": "image"},
    ("RR", "last epoch"): {"keep": "last"},
    ("XX-CC", "small crops, separate"): {},
    ("XX-CC", "places in the brain"): {"inside": True},
}
"""Options of :func:`mmssl.pretrain.fit`. Large crops are an eighth of the side
with flips, as in the papers; small ones a voxel without flips. Shared by the
modalities, as in the public code, or not. Landmarks are of the brain, and the
best epoch is kept, where nothing else is said.
"""


def main() -> None:
    """Train what is not there and write the table with its sidecar."""
    options = parse_options()
    work = list(product(options.seeds, CHOICES))
    ending = {"initializer": end_with, "initargs": (os.getpid(),)}
    with ProcessPoolExecutor(options.jobs, **ending) as pool:
        list(pool.map(partial(make_cohort, options), options.seeds))
        tables = list(
            pool.map(partial(measure_baselines, options), options.seeds)
        )
        tables += pool.map(partial(measure, options), work)
    table = pd.concat(tables, ignore_index=True)
    target = paths.project(options.output)
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    code = imports(Path(__file__).read_text(encoding="utf-8"))
    settings = {
        "subjects": options.subjects,
        "epochs": options.epochs,
        "seeds": options.seeds,
    }
    write_sidecar(
        target, {"script": Path(__file__)}, settings, None, tuple(sorted(code))
    )
    lines = ["objective", "choice", "quantity", "modality"]
    means = table.groupby(lines, sort=False)["value"]
    print(means.agg(["mean", "std"]).round(3).to_string())
    print(target)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105]
    )
    parser.add_argument("--subjects", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--output", default="book/training_choices.tsv")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


def make_cohort(options: argparse.Namespace, seed: int) -> cohorts.Cohort:
    """Return the development cohort of a seed, simulated if need be."""
    return cohorts.make_phantom(
        paths.project(f"data/derived/development-{seed}"),
        subjects=options.subjects,
        size=SIZE,
        seed=seed,
    )


def measure(
    options: argparse.Namespace, work: tuple[int, tuple[str, str]]
) -> pd.DataFrame:
    """Lines of one run: seed, objective, choice, modality, quantity, value,
    chance.
    """
    seed, (objective, choice) = work
    people = make_cohort(options, seed)
    words = choice.replace(",", "").replace(" ", "-")
    asked = {"augment": SMALL, **CHOICES[objective, choice]}
    run = pretrain.fit(
        people,
        objective,
        paths.project(f"data/runs/development-{seed}/{objective}-{words}"),
        epochs=options.epochs,
        batch_size=16,
        seed=seed,
        width=16,
        progress=False,
        **asked,
    )
    lines = [probe(people, pretrain.embed(run, people))]
    if "crops," in choice and objective == "RR":
        lines += audit(people, run, asked["augment"], seed)
    print(f"{objective}, {choice}, seed {seed}", flush=True)
    return pd.concat(lines).assign(
        objective=objective, choice=choice, seed=seed
    )


def measure_baselines(options: argparse.Namespace, seed: int) -> pd.DataFrame:
    """Lines of principal components, and of untrained encoders in the mean."""
    people = make_cohort(options, seed)
    components = pretrain.baseline_embeddings(people, width=16)
    lines = probe(people, components[pretrain.PCA_64])
    tables = [lines.assign(objective=pretrain.PCA_64)]
    drawn = []
    for embeddings in pretrain.untrained_draws(people, width=16):
        drawn.append(probe(people, embeddings))
    names = ["modality", "quantity"]
    mean = pd.concat(drawn).groupby(names, sort=False, as_index=False).mean()
    tables.append(mean.assign(objective=pretrain.RANDOM))
    return pd.concat(tables).assign(choice="baseline", seed=seed)


def audit(
    people: cohorts.Cohort, run: Path, recipe: PadCropFlip, seed: int
) -> list[pd.DataFrame]:
    """What z of held-out people says of crops and flips, and of people."""
    encoders, landmarks = pretrain.load_encoders(run)
    rows = people.downstream(people.rows("holdout"))
    images = preprocessing.standardised(people, landmarks, rows=rows)
    views = evaluate.augmented_views(encoders, images, recipe, seed=seed)
    read = evaluate.nuisance_table(views)
    quantity = read["nuisance"] + ", " + read["measure"]
    values = read.assign(quantity=quantity)
    shares = read.assign(
        quantity=read["nuisance"] + ", share", value=read["share"], chance=0.0
    )
    matched = evaluate.matching_table(encoders, images, recipe, seed=seed)
    matched = matched.rename(columns={"accuracy": "value"}).assign(
        modality="both", quantity="matched, " + matched["augmentation"]
    )
    columns = ["modality", "quantity", "value", "chance"]
    return [t[columns] for t in (values, shares, matched)]


def probe(
    people: cohorts.Cohort, embeddings: dict[str, np.ndarray]
) -> pd.DataFrame:
    """ROC-AUC of a tuned logistic regression on the hold-out."""
    labels = people.labels()
    train = people.downstream(people.rows("train", 0))
    test = people.downstream(people.rows("holdout"))
    lines = []
    for modality, z in embeddings.items():
        fit = evaluate.logistic_regression(
            z[train], labels[train], people.subjects[train], trials=25
        )
        scores = fit.pipeline.decision_function(z[test])
        lines.append(
            {
                "modality": modality,
                "quantity": "diagnosis, AUC",
                "value": stats.roc_auc(labels[test], scores),
                "chance": 0.5,
            }
        )
    return pd.DataFrame(lines)


if __name__ == "__main__":
    sys.exit(main())
