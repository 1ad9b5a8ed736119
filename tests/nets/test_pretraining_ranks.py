"""Pre-training on two processes of the CPU: what one makes, for every method; errors, kills and looks as with one."""

import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytest.importorskip("lightly", reason="needs the extra ssl")
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes"),
]

from querist.errors import FitError, SpecError
from querist.nets.passes import Passes
from querist.nets.pretraining import Pretrainer, require_shares
from querist.nets.pretraining_ranks import RESULT, Answering, Job, OnDisk, fit, put_images
from querist.nets.processes import run
from querist.nets.running import make_fabric
from querist.nets.standing import tensors_of
from querist.progress import listening, recording
from querist.seeds import Seed

HERE = str(Path(__file__).parent)
NAMES = ("simsiam", "simclr", "tau", "moco", "deep_cluster", "rotation", "vae", "scan", "unsure")
BROKEN = "rotation"
"""What is trained a second time, and breaks off."""


class Shared(NamedTuple):
    """What two processes made."""

    root: Path
    made: dict[str, tuple[dict[str, Any], Any]]
    """By name: parameters and buffers, and what there is to say about the training."""
    news: list[Any]
    records: list[Any]


@pytest.fixture(scope="module")
def cases():
    """The module of the cases, which other processes find, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        import pretraining_cases

        yield pretraining_cases


class Looking:
    """What looks at the mean embedding of the pool."""

    def __init__(self, pool):
        self.pool = pool

    def __call__(self, epoch, embed):
        return {} if epoch == 2 else {"mean": float(embed(self.pool).mean())}


@pytest.fixture(scope="module")
def shared(cases, tmp_path_factory):
    """All cases trained by the same two processes, the last of them to its second epoch, where it breaks."""
    root, pool, jobs, answering = tmp_path_factory.mktemp("ranks"), cases.pool_of(), [], []
    for name in (*NAMES, "broken"):
        room, case = root / name, BROKEN if name == "broken" else name
        room.mkdir()
        put_images(room, pool)
        task, pretrainer = cases.task_of(case), Pretrainer(cases.method_of(case), None)
        del pretrainer.fabric, pretrainer.look
        build = cases.partial(cases.breaking, case) if name == "broken" else cases.build_of(case)
        tensors = {key: value.detach() for key, value in tensors_of(task)}
        jobs.append(Job(pretrainer, build, tensors, Seed(0), room / "state", case, room, "32-true"))
        answering.append(Answering(room, cases.task_of(case), Looking(pool), Seed(0)))
    news, records = [], []
    with (
        listening(lambda *heard: news.append(heard)),
        recording(lambda event, values: records.append((event, dict(values)))),
        pytest.raises(FitError, match=r"^the second device broke\.$"),
    ):
        run(cases.Several(tuple(jobs), root), 2, "cpu", lambda: any(one.step() for one in answering))
    return Shared(root, {name: pickle.loads((root / name / RESULT).read_bytes()) for name in NAMES}, news, records)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_end_where_one_does(cases, shared, tmp_path, name):
    task, pool = cases.task_of(name), cases.pool_of()
    begun = {key: value.detach().clone() for key, value in tensors_of(task)}
    alone = Pretrainer(cases.method_of(name), make_fabric("cpu"), Looking(pool)).fit(task, pool, Seed(0), tmp_path, "x")
    tensors, made = shared.made[name]
    assert [key for key, _ in tensors_of(task)] == list(tensors)
    for key, value in tensors_of(task):
        if value.is_floating_point():
            moved = float((value.detach() - begun[key]).norm())
            assert float((tensors[key] - value.detach()).norm()) <= 1e-3 * moved + 1e-5, f"{key} of a path of {moved}"
        elif name == "moco" or "memory_bank" not in key:  # that of a loss without a queue was never written to
            assert torch.equal(tensors[key], value), key
    moved = sum(
        float((value.detach() - begun[key]).norm()) for key, value in task.backbone.named_parameters("backbone")
    )
    assert moved > 0.05, "it has learnt something, so that the weights could differ"
    for one, other in zip(alone.history, made.history, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
    assert list(made.traces) == list(alone.traces)
    for key, values in alone.traces.items():
        np.testing.assert_allclose(made.traces[key], values, rtol=1e-3, atol=1e-5, err_msg=key)


def test_self_labelling_had_batches_of_which_one_device_was_sure_of_nothing(shared):
    """What hangs or skews the mean if devices decide by their own rows."""
    assert 0 < shared.made["scan"][1].history[1]["sure"] < 0.2
    assert [epoch["sure"] for epoch in shared.made["unsure"][1].history[1:]] == [0, 0]


def test_news_and_records_of_the_first_process_are_passed_on(shared):
    assert [values for _, values in shared.records] == [
        entry for name in NAMES for entry in shared.made[name][1].history
    ] + [{**shared.made[BROKEN][1].history[0]}]
    assert shared.news.count(("pre-training", 9, 9)) == len(NAMES)


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    import pretraining_cases as cases
    from querist.nets.pretraining import Pretrainer
    from querist.nets.pretraining_ranks import fit
    from querist.nets.running import make_fabric
    from querist.progress import listening
    from querist.seeds import Seed
    def die(what, done, total):
        if what == "pre-training":
            print(done, flush=True)
            if done == 9:
                os.kill(os.getpid(), signal.SIGKILL)
    with listening(die):
        pretrainer = Pretrainer(cases.method_of({name!r}), make_fabric("cpu"))
        task, pool, build = cases.task_of({name!r}), cases.pool_of(), cases.build_of({name!r})
        fit(pretrainer, 2, task, pool, Seed(0), Path({folder!r}), {name!r}, build)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_training_that_broke_and_was_killed_ends_with_the_same_bits(cases, shared):
    folder = shared.root / "broken" / "state"
    script = textwrap.dedent(SCRIPT.format(here=HERE, folder=str(folder), name=BROKEN))
    killed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split()[0] == "6", "it went on after the one epoch that was finished"
    task, pool = cases.task_of(BROKEN), cases.pool_of()
    pretrainer, heard = Pretrainer(cases.method_of(BROKEN), make_fabric("cpu"), Looking(pool)), []
    with listening(lambda what, done, total: heard.append(done) if what == "pre-training" else None):
        made = fit(pretrainer, 2, task, pool, Seed(0), folder, BROKEN, cases.build_of(BROKEN))
    assert heard in ([], [9]), "two epochs were finished at least"
    tensors, whole = shared.made[BROKEN]
    for key, value in tensors_of(task):
        assert torch.equal(value, tensors[key]), key
    assert not task.training
    keys = ("epoch", "loss", "feature_std", "lr")
    assert [[entry[key] for key in keys] for entry in made.history] == [
        [entry[key] for key in keys] for entry in whole.history
    ]
    assert all(np.array_equal(made.traces[key], values) for key, values in whole.traces.items())


def test_what_cannot_be_shared_is_refused_before_anything_starts(cases, tmp_path):
    task, pool, build = cases.task_of("vae"), cases.pool_of(), cases.build_of("vae")
    pretrainer = Pretrainer(cases.method_of("vae"), make_fabric("cpu"))

    class Own(Pretrainer):
        pass

    def begin(pretrainer, devices):
        return fit(pretrainer, devices, task, pool, Seed(0), tmp_path, "x", build)

    with pytest.raises(SpecError, match=r"Expected devices to be at least 1 .* got 0"):
        begin(pretrainer, 0)
    with pytest.raises(SpecError, match="a batch of 7 images, of a pool of 23, cannot be shared by 8 devices"):
        begin(pretrainer, 8)
    with pytest.raises(SpecError, match=r"Own is defined in .*, which other processes do not import"):
        begin(Own(pretrainer.passes, pretrainer.fabric), 2)
    require_shares(Passes(batch=8, epochs=1), 23, 7)


def test_images_on_the_disk_are_those_of_the_pool(cases, tmp_path, monkeypatch):
    pool = cases.pool_of()
    monkeypatch.setattr("querist.nets.pretraining_ranks.CHUNK_BYTES", 1000)
    put_images(tmp_path, pool)
    there = OnDisk(np.arange(23), np.load(tmp_path / "images.npy", mmap_mode="r"))
    rows = np.array([4, 0, 22, 4])
    assert np.array_equal(there.take(rows).items(), pool.take(rows).items())
    assert np.array_equal(there.items(), pool.items())
    assert len(there.take(rows)) == 4
