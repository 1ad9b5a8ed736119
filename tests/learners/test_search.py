"""A search: which trials go on, what decides between them, and that a kill changes nothing."""

import json
import math
import os
import random
import signal
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.errors import FitError
from querist.learners.search import Ideas, Judged, Outcome, Search, quiet
from querist.progress import recording
from querist.seeds import Seed

optuna = pytest.importorskip("optuna", reason="needs the extra tune")

SPACE = {
    "batch": (8, 16, 32, None),
    "lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "operations": {"low": 1, "high": 15, "log": False},
}
SEED = Seed(3).child("round", 2, "tuning")


def make(**changes):
    return Search(
        **{"space": SPACE, "sampler": "random", "trials": 8, "levels": (1 / 16, 1 / 4), "reduction": 4, **changes}
    )


def judge(found, share, room=None):
    """Worth that follows from the settings, and grows with the training."""
    value = round(math.log10(found["lr"]) / -5 * (1 - 0.3 * (1 - share)), 3)
    return Judged(value, found["operations"] / 15, model=f"{found} after {share}" if share == 1 else None)


# -------------------------------------------------------------------------------------------------------------- halving


def naive(table, reduction):
    """Brute force: `table[level][trial]` are (accuracy, loss) or None; return who was judged, level by level."""
    alive, seen = list(range(len(table[0]))), []
    for level, row in enumerate(table):
        seen.append(alive)
        best_first = sorted(alive, key=lambda t: (row[t] is None, -(row[t] or (0, 0))[0], (row[t] or (0, 0))[1], t))
        if row[best_first[0]] is None:
            return seen, None
        count = max(1, len(table[0]) // reduction ** (level + 1))
        alive = sorted(best_first[:count])
    return seen, best_first[0]


worth = st.none() | st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 2.0]))


@given(st.data(), st.integers(1, 14), st.integers(1, 3), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_who_goes_on_is_what_brute_force_says(data, trials, levels, reduction):
    table = [data.draw(st.lists(worth, min_size=trials, max_size=trials)) for _ in range(levels)]
    shares = [*(0.5**k for k in range(levels - 1, 0, -1)), 1.0]
    order: list[list[int]] = [[] for _ in range(levels)]
    one = make(trials=trials, levels=tuple(shares[:-1]), reduction=reduction)
    known = {json.dumps(dict(Ideas(one, SEED).next(t))): t for t in range(trials)}
    assert len(known) == trials

    def judged(found, share, room):
        trial, level = known[json.dumps(dict(found))], shares.index(share)
        order[level].append(trial)
        value = table[level][trial]
        if value is None:
            raise FitError("diverged")
        return Judged(*value, model=trial)

    seen, expected = naive(table, reduction)
    if expected is None:
        with pytest.raises(FitError, match="could be fitted"):
            one.run(judged, SEED)
        assert order[: len(seen)] == seen
        return
    best = one.run(judged, SEED)
    assert order == seen
    assert best.model == expected
    assert (best.outcome.accuracy, best.outcome.loss) == table[-1][expected]
    assert known[json.dumps(best.outcome.settings)] == expected
    assert [share for _, share in best.judged] == [s for s, row in zip(shares, seen, strict=True) for _ in row]


def test_levels_cost_about_the_same():
    shares = [share for _, share in make(trials=64).run(judge, SEED).judged]
    assert [shares.count(s) for s in (1 / 16, 1 / 4, 1.0)] == [64, 16, 4]
    assert sum(shares) == 64 / 16 + 16 / 4 + 4


def test_ties_are_decided_by_the_loss_and_then_by_the_number():
    def flat(found, share, room):
        return Judged(0.5, loss, None)

    loss = 1.0
    first = Ideas(make(), SEED).next(0)
    assert make(levels=()).run(flat, SEED).outcome.settings == first
    best = make(levels=()).run(lambda f, s, r: Judged(0.5, float(f["operations"]), None), SEED)
    assert best.outcome.loss == min(Ideas(make(), SEED).next(t)["operations"] for t in range(8))
    assert Outcome({}, 0.0, 3.0).rank(5) < Outcome({}, None, None).rank(0), "a fit that failed is worse than any"


# -------------------------------------------------------------------------------------------------------- what is tried


def test_trial_t_has_the_address_of_its_draws():
    forward = [Ideas(make(), SEED).next(t) for t in range(20)]
    ideas = Ideas(make(trials=50), SEED)
    assert [ideas.next(t) for t in reversed(range(20))] == forward[::-1]
    assert len({json.dumps(f) for f in forward}) == 20
    assert Ideas(make(), SEED.child("other")).next(0) != forward[0]


def test_draws_fill_the_ranges_on_their_scales():
    drawn = [Ideas(make(), SEED).next(t) for t in range(400)]
    lr = np.log10([d["lr"] for d in drawn])
    assert (lr.min() >= -5) & (lr.max() <= -2)
    assert abs(lr.mean() + 3.5) < 5 * 3 / math.sqrt(12 * 400)
    counts = np.bincount([d["operations"] for d in drawn], minlength=16)
    assert counts[0] == 0
    assert counts[1:].min() > 0
    assert {d["batch"] for d in drawn} == {8, 16, 32, None}
    assert all(type(d["operations"]) is int and type(d["lr"]) is float for d in drawn)


def test_tpe_learns_from_what_it_was_told():
    plain = [Ideas(make(), SEED).next(t) for t in range(30)]
    one = make(sampler="tpe", trials=30, levels=())
    best = one.run(judge, SEED)
    rates = [found["lr"] for found, _ in best.judged]
    assert np.mean(np.log10(rates[10:])) < np.mean(np.log10([f["lr"] for f in plain[10:]])) - 0.5


# -------------------------------------------------------------------------------------------------------- interruptions


def same(one, other):
    assert (one.outcome, one.judged) == (other.outcome, other.judged)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_T15_kills_in_the_midst_of_a_search_change_nothing(sampler, tmp_path):
    one = make(sampler=sampler, trials=12)
    calm = one.run(judge, SEED)
    deaths, total, calls = 0, len(calm.judged), tmp_path / "calls"
    while True:
        child = os.fork()
        if child == 0:
            done = 0

            def deadly(found, share, room):
                nonlocal done
                done += 1
                if done == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                with calls.open("a") as file:
                    file.write("x")
                return judge(found, share)

            status = 1
            try:
                same(one.run(deadly, SEED, tmp_path / "search"), calm)
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            break
        assert status == -signal.SIGKILL
        deaths += 1
        assert deaths < total
    assert deaths == (total - 1) // 3
    assert len(calls.read_text()) == total, "a finished trial was made again"
    resumed = one.run(partial(pytest.fail, "nothing is left to be judged"), SEED, tmp_path / "search")
    same(resumed, calm)
    assert resumed.model is None
    assert calm.model is not None


@pytest.mark.parametrize("at", range(1, 12))
def test_T15_an_exception_is_no_pruning_and_loses_no_trial(at, tmp_path):
    one, count = make(), 0

    def failing(found, share, room):
        nonlocal count
        count += 1
        if count == at:
            raise KeyboardInterrupt
        assert room is not None
        return judge(found, share)

    calm = one.run(judge, SEED)
    with pytest.raises(KeyboardInterrupt):
        one.run(failing, SEED, tmp_path)
    assert len(list(tmp_path.glob("trial-*.json"))) == at - 1
    same(one.run(failing, SEED, tmp_path), calm)
    assert count == len(calm.judged) + 1


def test_a_file_cut_short_is_a_trial_to_be_made_again(tmp_path):
    one = make(sampler="tpe")
    calm = one.run(judge, SEED, tmp_path)
    for path in sorted(tmp_path.glob("trial-*.json"))[::2]:
        path.write_bytes(path.read_bytes()[:-9])
    again = []
    best = one.run(lambda f, s, r: (again.append(f), judge(f, s))[1], SEED, tmp_path)
    same(best, calm)
    assert len(again) == (len(calm.judged) + 1) // 2


def test_the_room_of_a_fit_is_left_behind_by_a_kill_and_not_by_a_finished_trial(tmp_path):
    def untidy(found, share, room):
        room.mkdir(parents=True, exist_ok=True)
        before = (room / "state").exists()
        (room / "state").write_text("half")
        if not before and found == Ideas(make(), SEED).next(2):
            raise KeyboardInterrupt
        return judge(found, share)

    with pytest.raises(KeyboardInterrupt):
        make().run(untidy, SEED, tmp_path)
    assert [path.name for path in tmp_path.glob("trial-*/*")] == ["state"]
    same(make().run(untidy, SEED, tmp_path), make().run(judge, SEED))
    assert not list(tmp_path.glob("trial-*/*"))


# -------------------------------------------------------------------------------------------------------------- manners


def test_optuna_is_heard_no_more_than_before_and_global_state_is_left_alone(capfd):
    optuna.logging.set_verbosity(level := optuna.logging.INFO)
    filters = list(warnings.filters)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    make(sampler="tpe").run(judge, SEED)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert optuna.logging.get_verbosity() == level
    assert list(warnings.filters) == filters
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError), quiet():
        _ = 1 // 0
    assert optuna.logging.get_verbosity() == level


def test_every_trial_is_told_with_its_settings():
    heard = []
    with recording(lambda event, values: heard.append((event, dict(values)))):
        best = make().run(judge, SEED)
    assert [(event, v["share"]) for event, v in heard] == [("trial", share) for _, share in best.judged]
    first = Ideas(make(), SEED).next(0)
    assert heard[0][1] == {
        "trial": 0, "share": 1 / 16, "accuracy": judge(first, 1 / 16).accuracy, "loss": judge(first, 1 / 16).loss,
        **{k: v for k, v in first.items() if v is not None},
    }  # fmt: skip
