"""`make crops`: what crops teach a contrast between modalities, over several
development cohorts.

Trains RR under four recipes, at equal epochs, on one simulated cohort a seed,
and writes ``book/crops.tsv``, which the page of the linear evaluation shows.
Cohorts and runs stay under ``data``; what is there and of the same code is not
made again.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

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
from mmssl.objectives.views import PadCropFlip, paper_recipe  # noqa: E402

SIZE = 32
RECIPES = {
    "large, shared": paper_recipe(SIZE, shared=True),
    "large, separate": paper_recipe(SIZE, shared=False),
    "small, shared": PadCropFlip(1, shared=True),
    "small, separate": PadCropFlip(1, shared=False),
}
"""Large is an eighth of the side with flips, as in the papers; small is a
voxel without flips. Shared by the modalities, as in the public code, or not.
"""


def main() -> None:
    """Train what is not there and write the table with its sidecar."""
    options = parse_options()
    work = [(seed, options) for seed in options.seeds]
    with ProcessPoolExecutor(options.jobs) as pool:
        tables = list(pool.map(measure_cohort, work))
    table = pd.concat(tables, ignore_index=True)
    target = paths.project(options.output)
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    code = imports(Path(__file__).read_text(encoding="utf-8"))
    settings = {
        "subjects": options.subjects,
        "epochs": options.epochs,
        "objective": options.objective,
        "seeds": options.seeds,
    }
    write_sidecar(
        target, {"script": Path(__file__)}, settings, None, tuple(sorted(code))
    )
    means = table.groupby(["recipe", "quantity", "modality"], sort=False)
    print(means["value"].agg(["mean", "std"]).round(3).to_string())
    print(target)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105]
    )
    parser.add_argument("--subjects", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--objective", default="RR")
    parser.add_argument("--output", default="book/crops.tsv")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


def measure_cohort(work: tuple[int, argparse.Namespace]) -> pd.DataFrame:
    """Lines of one cohort: recipe, seed, modality, quantity, value, chance."""
    seed, options = work
    people = cohorts.make_phantom(
        paths.project(f"data/derived/development-{seed}"),
        subjects=options.subjects,
        size=SIZE,
        seed=seed,
    )
    tables = []
    for name, recipe in RECIPES.items():
        words = name.replace(", ", "-")
        run = paths.project(
            f"data/runs/development-{seed}/{options.objective}-{words}"
        )
        pretrain.fit(
            people,
            options.objective,
            run,
            epochs=options.epochs,
            batch_size=16,
            seed=seed,
            width=16,
            augment=recipe,
            progress=False,
        )
        lines = [audit(people, run, recipe, seed), probe(people, run)]
        for table in lines:
            tables.append(table.assign(recipe=name, seed=seed))
        print(f"{name}, seed {seed}", flush=True)
    return pd.concat(tables)


def audit(people, run: Path, recipe: PadCropFlip, seed: int) -> pd.DataFrame:
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
    return pd.concat([t[columns] for t in (values, shares, matched)])


def probe(people, run: Path) -> pd.DataFrame:
    """ROC-AUC of a tuned logistic regression on the hold-out."""
    labels = people.labels()
    train = people.downstream(people.rows("train", 0))
    test = people.downstream(people.rows("holdout"))
    lines = []
    for modality, z in pretrain.embed(run, people).items():
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
