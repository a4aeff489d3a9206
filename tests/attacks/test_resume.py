"""A run that is taken up elsewhere, or from a damaged checkpoint."""

import json
import shutil

import numpy as np
import pytest
import torch
from small_cohort import write_small_cohort

from mmssl.pretrain import loop, run_folder
from mmssl.pretrain.encoders import embed
from mmssl.pretrain.fit import fit

SMALL = {
    "epochs": 3,
    "batch_size": 8,
    "width": 4,
    "latent": 8,
    "progress": False,
}


class Stopped(Exception):
    """The run ends before its last epoch."""


def stop_after(epochs, people, run):
    """Leave a run unfinished after so many epochs; return its folder."""
    written = loop.Recorder.on_train_epoch_end
    left = [epochs]

    def stop(*arguments):
        written(*arguments)
        left[0] -= 1
        if left[0] == 0:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Recorder, "on_train_epoch_end", stop)
        with pytest.raises(Stopped):
            fit(people, "RR", run, **SMALL)
    partial = run.with_name(f"{run.name}.partial")
    assert (partial / run_folder.LAST).exists()
    return partial


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Give a cohort and a run that was stopped after its first epoch."""
    folder = tmp_path_factory.mktemp("resume")
    people = write_small_cohort(folder / "cohort")
    return people, stop_after(1, people, folder / "run")


@pytest.fixture(scope="module")
def stopped_at_the_end(stopped, tmp_path_factory):
    """Give a run that was stopped after its last epoch."""
    folder = tmp_path_factory.mktemp("end")
    return stop_after(SMALL["epochs"], stopped[0], folder / "run")


@pytest.fixture
def partial(stopped, tmp_path):
    """Give a copy of the unfinished run, to be changed."""
    shutil.copytree(stopped[1], tmp_path / "run.partial")
    return tmp_path / "run.partial"


def edit(partial, change):
    file = partial / run_folder.PARAMETERS
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def resume(stopped, partial):
    return fit(stopped[0], "RR", partial.with_suffix(""), **SMALL)


def test_the_same_environment_is_nothing_to_tell(stopped, partial, recwarn):
    run = resume(stopped, partial)
    assert run_folder.read_parameters(run)["resumed_in"] == []
    told = [str(one.message) for one in recwarn]
    assert not [text for text in told if "environment" in text]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.update(threads=17), "threads 17, now"),
        (lambda record: record.update(device="NVIDIA X"), "device 'NVIDIA X'"),
        (
            lambda record: record["versions"].update(torch="1.0"),
            "torch '1.0', now",
        ),
        (
            lambda record: record["versions"].update(numpy="0.9"),
            "numpy '0.9', now",
        ),
    ],
)
def test_another_environment_is_recorded(stopped, partial, change, told):
    edit(partial, change)
    with pytest.warns(UserWarning, match=told):
        run = resume(stopped, partial)
    record = run_folder.read_parameters(run)
    (later,) = record["resumed_in"]
    assert later["threads"] == torch.get_num_threads()
    assert later["torch"] == torch.__version__
    # how it began stays on record
    before = {}
    change(before.setdefault("record", {"versions": {}}))
    for name, value in before["record"].items():
        if name != "versions":
            assert record[name] == value
    for name, value in before["record"]["versions"].items():
        assert record["versions"][name] == value


def test_other_tools_than_those_that_compute_do_not_matter(
    stopped, partial, recwarn
):
    edit(partial, lambda record: record["versions"].update(papermill="0"))
    assert run_folder.read_parameters(resume(stopped, partial))
    assert not [one for one in recwarn if "environment" in str(one.message)]


@pytest.mark.parametrize("name", ["precision", "seed", "epochs"])
def test_another_parameter_is_refused(stopped, partial, name):
    edit(partial, lambda record: record.update({name: "another"}))
    with pytest.raises(ValueError, match=f"{name} is 'another', asked for"):
        resume(stopped, partial)


@pytest.mark.parametrize("name", [run_folder.LAST, run_folder.BEST])
@pytest.mark.parametrize("place", np.linspace(0.05, 0.95, 7).round(2))
def test_a_flipped_bit_is_refused_or_changes_nothing(
    stopped, stopped_at_the_end, partial, name, place
):
    if name == run_folder.BEST:
        # an earlier one is replaced by a better epoch
        shutil.rmtree(partial)
        shutil.copytree(stopped_at_the_end, partial)
    file = partial / name
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 16
    file.write_bytes(content)
    try:
        run = resume(stopped, partial)
    except ValueError as error:
        assert f"{name}: not a readable checkpoint" in str(error)
        return
    # between the entries of the archive lie bytes that nobody reads
    whole = fit(stopped[0], "RR", partial.with_name("whole"), **SMALL)
    one, other = embed(run, stopped[0]), embed(whole, stopped[0])
    for modality, z in one.items():
        np.testing.assert_array_equal(z, other[modality])
