"""Six planted leaks are refused, with a message that says what to mend; honest
work passes.
"""

import json

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts import splits
from mmssl.cohorts.cohort import write
from mmssl.evaluate import linear_evaluation, results
from mmssl.evaluate import linear_evaluation as evaluate
from mmssl.ledger import leakage


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Give 40 people, of two populations, with two scans each; every image
    differs.
    """
    rng = np.random.default_rng(3)
    names = [f"sub-{i:03d}" for i in range(40)]
    people = pd.DataFrame(
        {
            "participant_id": names,
            "group": ["HC", "AD"] * 20,
            "population": ["main"] * 30 + ["second"] * 10,
            "age": 70.0,
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": range(80),
            "participant_id": np.repeat(names, 2),
            "session": [1, 2] * 40,
            "day": 0,
            "downstream": [1, 0] * 40,
        }
    )
    return write(
        tmp_path_factory.mktemp("leaks") / "forty",
        volumes={
            m: rng.normal(size=(80, 4, 4, 4)).astype(np.float32)
            for m in ("T1", "fALFF")
        },
        name="forty",
        kind="test",
        participants=people,
        pairs=pairs,
        splits=splits.make(people, folds=3),
        affine=np.eye(4),
        tasks={"diagnosis": {"column": "group", "classes": ["HC", "AD"]}},
    )


def honest(cohort):
    """Return what an honest table leaves on record."""
    rows = {
        role: cohort.rows(role, 0)
        for role in ("train", "valid", "holdout", "shift")
    }
    seen = [
        ("landmarks, fold 0", "train", rows["train"]),
        ("encoder RR-AE, fold 0", "train", rows["train"]),
        ("encoder RR-AE, fold 0", "choose", rows["valid"]),
        ("probe RR-AE, fold 0", "train", cohort.downstream(rows["train"])),
        (
            "dimension RR-AE, fold 0",
            "choose",
            cohort.downstream(rows["train"]),
        ),
        ("hold-out", "test", cohort.downstream(rows["holdout"])),
        ("second population", "test", cohort.downstream(rows["shift"])),
    ]
    return [
        leakage.exposure(fit, role, cohort, one) for fit, role, one in seen
    ]


def test_honest_work_is_proven_and_counted(cohort):
    proof = leakage.prove(
        honest(cohort), needs=["landmarks", "encoder RR-AE", "probe"]
    )
    held = len(cohort.splits["holdout"]) + len(cohort.splits["shift"])
    assert (
        proof["tested"] == held
        and proof["seen"] == 40 - held
        and proof["shared"] == 0
    )
    assert (
        "encoder RR-AE, fold 0 (choose)" in proof["fits"]
        and len(proof["fits"]) == 7
    )


def with_one_image_twice(cohort):
    """Return a copy in which a held-out person's T1 is that of a training
    person.
    """
    volumes = {m: np.array(v) for m, v in cohort.volumes.items()}
    volumes["T1"][cohort.rows("holdout")[0]] = volumes["T1"][
        cohort.rows("train")[4]
    ]
    return cohort.__class__(**{**cohort.__dict__, "volumes": volumes})


PLANTED = {
    "same subject across folds": (
        "encoder RR-AE, fold 0",
        "choose",
        lambda c: np.arange(1, 80, 2),
        r"'encoder RR-AE, fold 0 \(learned from\)' and "
        r"'encoder RR-AE, fold 0 \(chosen with\)'.*"
        "Deal people, not scans, to folds",
    ),
    "landmarks fitted on all": (
        "landmarks, fold 0",
        "train",
        lambda c: np.arange(80),
        r"'landmarks, fold 0 \(learned from\)' and 'hold-out \(tested on\)' "
        r"\(6 people in common\): .*training rows",
    ),
    "probe tuned on the hold-out": (
        "probe RR-AE, fold 0",
        "choose",
        lambda c: c.downstream(c.rows("holdout")),
        r"'probe RR-AE, fold 0 \(chosen with\)' and "
        r"'hold-out \(tested on\)'.*flatters the result",
    ),
    "dimension chosen on the subjects it is tested on": (
        "dimension RR-AE, fold 0",
        "choose",
        lambda c: c.rows("holdout")[2:4],
        r"'dimension RR-AE, fold 0 \(chosen with\)' and "
        r"'hold-out \(tested on\)' \(1 person in common\)",
    ),
    "population overlap": (
        "second population",
        "test",
        lambda c: c.rows("holdout")[:2],
        r"'hold-out \(tested on\)' and "
        r"'second population \(tested on\)'.*one population",
    ),
}


@pytest.mark.parametrize("leak", PLANTED)
def test_a_planted_leak_is_refused(cohort, leak):
    fit, role, rows, message = PLANTED[leak]
    leaky = leakage.exposure(fit, role, cohort, rows(cohort))
    with pytest.raises(leakage.LeakError, match=message) as caught:
        leakage.prove([*honest(cohort), leaky])
    assert "sub-" not in str(caught.value) and "of forty/pairs.tsv" in str(
        caught.value
    )


def test_the_sixth_leak_one_image_under_two_names_is_refused(cohort):
    row, held = cohort.rows("train")[4], cohort.rows("holdout")[0]
    expected = (
        rf"image T1\[{row}\] of '.*learned.*' and "
        rf"image T1\[{held}\] of 'hold-out"
    )
    with pytest.raises(
        leakage.LeakError, match=expected + ".*one scan under two names"
    ):
        leakage.prove(honest(with_one_image_twice(cohort)))


def test_the_person_named_is_one_who_is_shared(cohort):
    shared = cohort.rows("holdout")[2:4]
    leaky = leakage.exposure("threshold", "choose", cohort, shared)
    with pytest.raises(leakage.LeakError) as caught:
        leakage.prove([*honest(cohort), leaky])
    assert (
        f"the person of row {shared[0]} of forty/pairs.tsv is in both"
        in str(caught.value)
    )


def test_a_fit_without_a_record_and_a_table_without_a_test_are_refused(cohort):
    seen = honest(cohort)
    with pytest.raises(
        leakage.LeakError, match="'encoder CR' left no record.*make it anew"
    ):
        leakage.prove(seen, needs=["encoder RR-AE", "encoder CR"])
    with pytest.raises(leakage.LeakError, match="'encoder RR' left no record"):
        leakage.prove(seen, needs=["encoder RR"])  # RR-AE is another objective
    with pytest.raises(
        leakage.LeakError, match="nothing is on record as tested"
    ):
        leakage.prove(seen[:5])


def test_records_of_several_folds_do_not_accuse_each_other(cohort):
    other = [
        leakage.exposure(
            f"encoder RR-AE, fold {k}", role, cohort, cohort.rows(split, k)
        )
        for k in (1, 2)
        for role, split in (("train", "train"), ("choose", "valid"))
    ]
    leakage.prove([*honest(cohort), *other, *honest(cohort)])


def of_table(cohort, people):
    """Return the cohort with another table of participants."""
    return cohort.__class__(**{**cohort.__dict__, "participants": people})


def joined_by(cohort, person="sub-040"):
    """Return the cohort after somebody has joined."""
    one = cohort.participants.iloc[:1].assign(participant_id=person)
    return of_table(
        cohort, pd.concat([cohort.participants, one], ignore_index=True)
    )


@pytest.mark.parametrize(
    "edit",
    [
        lambda people: people.assign(head_size=1500.0),
        lambda people: people.assign(population="main"),
        lambda people: people.drop(columns="age"),
        lambda people: people.sample(frac=1, random_state=0),
    ],
    ids=[
        "a column more",
        "another population",
        "a column less",
        "another order",
    ],
)
def test_an_edited_table_of_participants_hides_nobody(cohort, edit):
    encoder = leakage.exposure(
        "encoder RR-AE, fold 0", "train", cohort, [0, 2, 4]
    )
    later = of_table(cohort, edit(cohort.participants))
    # the other scans of these
    tested = leakage.exposure("hold-out", "test", later, [1, 3, 5])
    assert encoder.images.keys().isdisjoint(tested.images)
    with pytest.raises(
        leakage.LeakError, match=r"'encoder RR-AE.*\(3 people in common\)"
    ):
        leakage.prove([encoder, tested])
    others = leakage.exposure("hold-out", "test", later, [7, 9])
    assert leakage.prove([encoder, others])["shared"] == 0


def test_records_of_two_lists_of_participants_are_not_compared(cohort):
    encoder = leakage.exposure(
        "encoder RR-AE, fold 0", "train", cohort, [0, 2, 4]
    )
    chosen = leakage.exposure("encoder RR-AE, fold 0", "choose", cohort, [6])
    tested = leakage.exposure("hold-out", "test", joined_by(cohort), [1, 3, 5])
    message = (
        r"another one for 'encoder RR-AE, fold 0 \(chosen with\)', "
        r"'encoder RR-AE, fold 0 \(learned from\)' than for "
        r"'hold-out \(tested on\)', so "
        "nobody can tell whom they share.*make them anew"
    )
    with pytest.raises(leakage.LeakError, match=message) as caught:
        leakage.prove([encoder, chosen, tested])
    assert "sub-" not in str(caught.value)
    # two samples that are compared, and one fit that saw two cohorts
    both = [leakage.exposure("second population", "test", cohort, [8]), tested]
    with pytest.raises(
        leakage.LeakError, match="'second population .* than for 'hold-out"
    ):
        leakage.prove(both)
    twice = [
        tested,
        *(
            leakage.exposure("encoder", "train", c, [6])
            for c in (cohort, joined_by(cohort))
        ),
    ]
    with pytest.raises(leakage.LeakError, match="so nobody can tell"):
        leakage.prove(twice)


def test_an_image_is_recognised_across_lists_of_participants(cohort):
    encoder = leakage.exposure(
        "encoder RR-AE, fold 0", "train", cohort, [0, 2, 4]
    )
    tested = leakage.exposure("hold-out", "test", joined_by(cohort), [4])
    with pytest.raises(leakage.LeakError, match="one scan under two names"):
        leakage.prove([encoder, tested])


def test_records_without_the_key_of_their_hashes_are_refused(cohort, tmp_path):
    path = leakage.write_exposures(
        tmp_path / "RR" / "exposures.json", honest(cohort)
    )
    records = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            [{k: v for k, v in r.items() if k != "key"} for r in records]
        )
    )
    with pytest.raises(
        leakage.LeakError,
        match="nobody knows whom RR has seen; remove .*RR and",
    ):
        leakage.read_exposures(path)


def test_records_survive_the_disk_and_hold_no_identifier(cohort, tmp_path):
    path = leakage.write_exposures(tmp_path / "exposures.json", honest(cohort))
    text = path.read_text()
    assert leakage.read_exposures(path) == honest(cohort)
    assert not any(
        name in text for name in cohort.participants["participant_id"]
    )
    # an identifier cannot be hashed to find it without the list: another list,
    # other hashes
    ours, theirs = (
        leakage.exposure("x", "test", c, [3])
        for c in (cohort, joined_by(cohort))
    )
    assert (
        ours.subjects.keys().isdisjoint(theirs.subjects)
        and ours.key != theirs.key
    )
    # both scans of a person are one person
    assert len(leakage.exposure("x", "test", cohort, [6, 7]).subjects) == 1
    assert len(json.loads(text)) == 7


def test_a_missing_record_and_an_unknown_role_are_named(cohort, tmp_path):
    with pytest.raises(
        leakage.LeakError, match="nobody knows whom RR has seen"
    ):
        leakage.read_exposures(tmp_path / "RR" / "exposures.json")
    with pytest.raises(
        ValueError,
        match="role 'tune' is unknown; expected one of train, choose",
    ):
        leakage.exposure("probe", "tune", cohort, [0])


def scored(cohort, exposures):
    """Return what a probe of one fold leaves, with scores drawn at random."""
    test = cohort.downstream(cohort.rows("holdout"))
    rng = np.random.default_rng(0)
    lines = [
        {
            "fold": 0,
            "protocol": "p",
            "model": row,
            "modality": "T1",
            "draw": 0,
            "baseline": row != "RR-AE",
            "pair": i,
            "subject": cohort.subjects[i],
            "label": cohort.labels()[i],
            "score": rng.normal(),
        }
        for row in ("random encoder", "RR-AE")
        for i in test
    ]
    fits = pd.DataFrame(lines)[
        ["fold", "protocol", "model", "modality"]
    ].drop_duplicates()
    return linear_evaluation.ProbeResults(
        pd.DataFrame(lines), fits.assign(train=9), exposures
    )


def test_a_results_table_refuses_to_show_what_is_not_proven(cohort):
    seen = [
        one._replace(
            fit=one.fit.replace(
                "landmarks", "landmarks and components"
            ).replace("probe RR-AE", "probes")
        )
        for one in honest(cohort)
    ]
    table = results.results_table([scored(cohort, seen)], resamples=100)
    assert (
        table.attrs["proof"]["shared"] == 0
        and table.attrs["proof"]["tested"] == 16
    )
    with pytest.raises(
        leakage.LeakError, match="nothing is on record as tested"
    ):
        results.results_table([scored(cohort, ())], resamples=100)
    for fit in ("landmarks and components", "encoder RR-AE", "probes"):
        without = [one for one in seen if not one.fit.startswith(fit)]
        with pytest.raises(
            leakage.LeakError, match=f"'{fit}, fold 0' left no record"
        ):
            results.results_table([scored(cohort, without)], resamples=100)
    leaky = leakage.exposure(
        "landmarks and components, fold 0", "train", cohort, range(80)
    )
    with pytest.raises(
        leakage.LeakError, match="landmarks.*training rows of the fold alone"
    ):
        results.results_table([scored(cohort, [*seen, leaky])], resamples=100)


def test_a_probe_refuses_an_encoder_that_has_seen_whom_it_is_tested_on(
    cohort, monkeypatch
):
    def untouchable(*_, **__):
        raise AssertionError("long work began before the proof")

    monkeypatch.setattr(evaluate, "baseline_embeddings", untouchable)
    z = {"RR": {"T1": np.zeros((80, 3))}}
    everybody = [leakage.exposure("encoder", "train", cohort, range(80))]
    message = r"'encoder RR, fold 0 \(learned from\)' and 'hold-out"
    with pytest.raises(leakage.LeakError, match=message):
        linear_evaluation.probe(cohort, z, seen={"RR": everybody})
    rows = cohort.rows("train")
    with pytest.raises(AssertionError, match="before the proof"):
        linear_evaluation.probe(
            cohort,
            z,
            seen={"RR": [leakage.exposure("encoder", "train", cohort, rows)]},
        )
