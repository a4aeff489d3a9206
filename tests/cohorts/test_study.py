"""Pairs of images closest in days, against a loop over the definition."""

import itertools

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mmssl.cohorts.study import Flow, nearest_pairs, table_of_images

MODALITIES = ("T1", "fALFF", "CBF")

image = st.fixed_dictionaries(
    {
        "participant_id": st.sampled_from(["a", "b"]),
        "day": st.one_of(st.none(), st.integers(0, 6)),
        "modality": st.sampled_from(MODALITIES),
    }
)


def table(found):
    rows = []
    for number, row in enumerate(found):
        session = "n/a" if row["day"] is None else f"d{row['day']}"
        rows.append(
            {
                **row,
                "session": session,
                "file": f"{number}.nii",
                "repetition_time": np.nan,
            }
        )
    return table_of_images(rows)


def distance(first, other):
    """Days between two images; None where they make no pair."""
    if first["participant_id"] != other["participant_id"]:
        return None
    if pd.isna(first["day"]) or pd.isna(other["day"]):
        return 0 if first["session"] == other["session"] else None
    return abs(int(first["day"]) - int(other["day"]))


def by_definition(images, modalities, most_days):
    """(files) of every pair."""
    rows = images.to_dict("records")
    pairs = set()
    for first in rows:
        if first["modality"] != modalities[0]:
            continue
        partners = []
        for modality in modalities[1:]:
            apart = {}
            for other in rows:
                days = distance(first, other)
                if other["modality"] == modality and days is not None:
                    apart[other["file"]] = days
            least = min(apart.values(), default=None)
            if most_days is not None and least is not None:
                least = least if least <= most_days else None
            partners.append([file for file, n in apart.items() if n == least])
        for files in itertools.product(*partners):
            pairs.add((first["file"], *files))
    return pairs


@settings(deadline=None, max_examples=60)
@given(
    st.lists(image, max_size=12),
    st.integers(1, 3),
    st.sampled_from([None, 0, 2]),
)
def test_pairs_are_those_of_the_definition(found, number, most_days):
    images, modalities = table(found), MODALITIES[:number]
    pairs = nearest_pairs(images, modalities, most_days)
    files = set(pairs[list(modalities)].itertuples(index=False, name=None))
    assert len(files) == len(pairs)
    assert files == by_definition(images, modalities, most_days)
    # one pair a person is read by an evaluation, the first
    first = pairs[pairs["downstream"] == 1]
    assert sorted(first["participant_id"]) == sorted(
        set(pairs["participant_id"])
    )
    assert (~pairs["participant_id"].duplicated()).equals(
        pairs["downstream"] == 1
    )


def test_order_of_the_images_does_not_matter():
    found = [
        {"participant_id": "a", "day": day, "modality": modality}
        for day, modality in itertools.product(range(4), MODALITIES)
    ]
    images = table(found)
    pairs = nearest_pairs(images, MODALITIES)
    shuffled = nearest_pairs(images.sample(frac=1, random_state=3), MODALITIES)
    pd.testing.assert_frame_equal(pairs, shuffled)


def test_flow_counts_people_images_and_pairs():
    images = table(
        [
            {"participant_id": "a", "day": 0, "modality": "T1"},
            {"participant_id": "a", "day": 0, "modality": "fALFF"},
            {"participant_id": "b", "day": 0, "modality": "T1"},
        ]
    )
    flow = Flow()
    flow.add("found", images)
    flow.add("paired", pairs=nearest_pairs(images, MODALITIES[:2]))
    found, paired = flow.table().to_dict("records")
    assert (found["participants"], found["images"]) == (2, 3)
    assert pd.isna(found["pairs"])
    assert (paired["participants"], paired["pairs"]) == (1, 1)
