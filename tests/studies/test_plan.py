"""From a study to its arms and runs: names, identities, schedules, and what cannot be run."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from querist.data.dataset import datasets
from querist.encoders.backbone import Backbone
from querist.errors import DataError, StudyError
from querist.session.setting import Setting
from querist.testing.fakes import fake_dataset


def mistakes(plan, **changes: Any) -> list[str]:
    with pytest.raises(StudyError) as caught:
        plan(**changes)
    return caught.value.mistakes


# ----------------------------------------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"study_dataset": "toi"}, "study.dataset: unknown dataset 'toi'. Did you mean 'toy'"),
        ({"study_dataset": {"name": "tiny", "paht": "x"}}, "unknown setting 'paht' in study.dataset: tiny"),
        ({"study_dataset": {"path": "x"}}, "study.dataset: expected a key 'name'"),
        ({"study_dataset": {"name": "split_toy", "share": "half"}}, "share: expected float, got 'half'"),
        ({"study_dataset": {"name": "split_toy", "share": 2.0}}, "expected test_share between 0 and 1"),
        ({"study_dataset": "tiny"}, "study.dataset: 'tiny' has no test split"),
        ({"study_dataset": "unlabelled"}, "study.dataset: 3 of 35 items have no label, ids 4, 9, 30."),
        ({"study_learner": "neerest"}, "study.learner: unknown learner 'neerest'. Did you mean 'nearest'?"),
        ({"study_learner": {"name": "nearest", "temp": 3}}, "unknown setting 'temp' in study.learner: nearest"),
        ({"study_strategy": ["margn"]}, "study.strategy: unknown strategy 'margn'. Did you mean 'margin'"),
        ({"study_strategy": ["random", "stochastic(margn)"]}, "Did you mean 'margin'"),
        ({"study_strategy": [{"base": "margin"}]}, "study.strategy: expected a key 'name'"),
        ({"study_strategy": [{"name": "stochastic", "base": "badge"}]}, "stochastic.base: expected a Scoring"),
        ({"study_strategy": [{"name": "stochastic", "beta": -1}]}, "study.strategy: stochastic: Expected beta"),
        ({"study_strategy": [{"name": "stochastic", "form": "soft"}]}, "form: expected 'power' or 'softmax' or"),
        ({"study_strategy": ["margin", {"name": "typiclust", "preset": "p"}]}, "typiclust 'p' in study.strategy[1]"),
        ({"study_features": "pixel"}, "study.features: unknown encoder 'pixel'. Did you mean 'pixels'?"),
        ({"study_features": {"pca": 3}}, "study.features: expected a table with 'encoder'"),
        ({"study_features": {"encoder": "pixels", "pcs": 3}}, "unknown setting 'pcs' in study.features: pixels"),
        ({"study_features": "backbone(path='no.npz')"}, "study.features: encoder backbone: expected a file of weights"),
        ({"study_initial": "margin"}, "study.initial: strategy 'margin' needs evidence that nothing here provides"),
        ({"study_initial": {"strategy": "random", "sise": 3}}, "study.initial: unknown keys sise. Known: strategy"),
        ({"study_initial": {"strategy": "random", "size": 0}}, "study.initial: expected a size of at least 1, got 0"),
        ({"study_initial": {"strategy": "random", "size": "5"}}, "expected a size of at least 1, got '5'"),
        ({"study_initial": {"strategy": "random", "size": True}}, "study.initial: expected a size of at least 1"),
        ({"study_initial": {"strategy": "random", "per_class": "two"}}, "a per_class of at least 1, got 'two'"),
        ({"study_initial": {"strategy": "random", "per_class": 2, "size": 5}}, "give size or per_class, not both"),
        ({"study_initial": {"size": 5}}, "study.initial: expected a key 'name'"),
        ({"budget": {"counts": [10, 20]}}, "a size of 5 disagrees with budget.counts, which starts at 10"),
        ({"budget_step": 50}, "budget: 105 labels and a validation set of 0 do not fit the pool of 90 items"),
        ({"validation_size": 80}, "budget: 13 labels and a validation set of 80 do not fit the pool of 90 items"),
        ({"study_strategy": ["margin", "random", "margin"]}, "study.strategy: 'margin' occurs twice"),
        ({"study_strategy": ["random", "uniform"]}, "study.strategy: 'random' occurs twice"),
        ({"study_strategy": ["stochastic", {"name": "stochastic", "base": "margin"}]}, "occurs twice"),
        ({"grid_learner": ["nearest", "nearest"], "study_strategy": ["random"]}, "occurs twice"),
        ({"study_strategy": [""]}, "study.strategy: cannot read '' as a strategy"),
        (
            {"grid_learner": ["nearest", "nearest(temperature=1)"], "study_strategy": ["random"]},
            "'random | learner=nearest(temperature=1)' is the same as 'random | learner=nearest'",
        ),
    ],
)  # fmt: skip
def test_one_mistake(plan, changes, expected):
    found = mistakes(plan, **changes)
    assert len(found) == 1, found
    assert expected in found[0]


def test_mistakes_of_different_parts_are_collected(plan):
    found = mistakes(
        plan, study_dataset="toi", study_learner="neerest", study_strategy=["margn", "badg"], study_features="pixel",
        study_initial="rendom",
    )  # fmt: skip
    assert len(found) == 6


def test_every_impossible_arm_is_named_once(plan):
    found = mistakes(plan, study_dataset="tiny", budget_step=50, study_strategy=["random", "margin", "margin"])
    assert len(found) == 3


def test_what_a_learner_cannot_provide_is_found_before_anything_runs(plan, monkeypatch):
    from querist.testing.fakes import FakeLearner

    monkeypatch.setattr(FakeLearner, "offers", lambda self, need: "it is on strike.")
    found = mistakes(plan, study_strategy=["random", "margin", "badge"])
    assert [m.partition(" needs")[0] for m in found] == ["strategy 'margin'", "strategy 'badge'"]
    assert "learner 'nearest': it is on strike." in found[0]


def test_nothing_is_trained_or_encoded_by_planning(plan, monkeypatch):
    monkeypatch.setattr(Setting, "features", property(lambda self: pytest.fail("features were computed")))
    plan(study_strategy=["random", "badge", "typiclust"])


# ----------------------------------------------------------------------------------------------------- arms and names


def test_names_leave_defaults_out(plan):
    named = plan(
        study_strategy=[
            "random", "uniform(nested=True)", "stochastic", "stochastic(entropy)", "stochastic(margin, beta=2)",
            {"name": "stochastic", "preset": "power_entropy", "beta": 0.5},
            {"name": "typiclust", "preset": "paper"}, "typiclust(neighbours=3)",
        ]
    )  # fmt: skip
    assert [arm.name for arm in named.arms] == [
        "random", "random(nested=True)", "stochastic(margin)", "stochastic(entropy)", "stochastic(margin, beta=2.0)",
        "stochastic(entropy, beta=0.5)", "typiclust", "typiclust(neighbours=3)",
    ]  # fmt: skip


def test_a_grid_makes_every_combination(plan):
    made = plan(
        study_strategy=["random", "margin"],
        grid_learner=["nearest", {"name": "nearest", "temperature": 2}],
        grid_features=["pixels", {"encoder": "pixels", "pca": 2}],
        grid_initial=[{"strategy": "random", "size": 5}, {"strategy": "typiclust", "size": 6}],
    )
    names = [arm.name for arm in made.arms]
    assert len(set(names)) == len(names) == 16
    assert "margin | learner=nearest(temperature=2) | features=pixels(pca=2) | initial=typiclust(size=6)" in names
    assert {arm.counts for arm in made.arms} == {(5, 9, 13), (6, 10, 14)}
    assert len({run.digest for run in made.runs}) == 32
    assert len({id(arm.setting) for arm in made.arms}) == 2


@pytest.mark.parametrize("written", ["composition", "table"])
def test_the_place_of_a_file_of_weights_is_in_no_name(plan, tmp_path, monkeypatch, written):
    (tmp_path / "net_int8.npz").write_bytes(b"weights")
    monkeypatch.setenv("WEIGHTS", str(tmp_path / "net_int8.npz"))
    spec = {"encoder": "backbone", "path": "$WEIGHTS", "size": 96}
    if written == "composition":
        spec = f"backbone(path={str(tmp_path / 'net_int8.npz')!r}, size=96)"
    names = [arm.name for arm in plan(study_strategy=["random"], grid_features=["pixels", spec]).arms]
    assert names == ["random | features=pixels", "random | features=backbone(path=net_int8, size=96)"]


def test_missing_weights_are_looked_for_once_and_told_beside_other_mistakes(plan, monkeypatch):
    looked = []

    def identity(encoder: Backbone) -> dict[str, object]:
        looked.append(encoder)
        raise DataError("no such weights")

    monkeypatch.setattr(Backbone, "identity", identity)
    found = mistakes(
        plan, study_dataset="toi", study_strategy=["random", "margin"], study_features="backbone(path='no.npz')"
    )
    assert len(found) == 2
    assert found[1] == "study.features: no such weights"
    assert len(looked) == 1


def test_arms_on_the_same_features_share_them(plan):
    settings = {id(arm.setting) for arm in plan(study_strategy=["random", "margin", "badge"]).arms}
    assert len(settings) == 1


def test_flags_are_shown(plan):
    arm = plan(
        study_strategy=["class_uniform_oracle"], study_initial={"strategy": "class_uniform_oracle", "size": 3}
    ).arms[0]
    assert arm.flags == {"oracle", "initial_oracle"}
    assert plan(study_strategy=["whole"]).arms[0].flags == {"one_shot"}


# ---------------------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, (5, 9, 13)),
        ({"budget_rounds": 0}, (5,)),
        ({"study_initial": "random"}, (4, 8, 12)),
        ({"budget": {"per_class": 2, "rounds": 1}}, (5, 11)),
        ({"budget": {"per_class": 2, "rounds": 1}, "study_initial": "random"}, (6, 12)),
        ({"study_initial": {"strategy": "random", "per_class": 1}}, (3, 7, 11)),
        ({"study_initial": {"strategy": "random"}}, (4, 8, 12)),
        ({"budget": {"counts": [5, 6, 20]}}, (5, 6, 20)),
        ({"budget": {"counts": [7, 20]}, "study_initial": "typiclust"}, (7, 20)),
        ({"budget": {"counts": [3, 4]}, "study_initial": {"strategy": "random", "per_class": 1}}, (3, 4)),
    ],
)
def test_labels_at_each_checkpoint(plan, changes, counts):
    assert plan(**changes).arms[0].counts == counts


def test_the_whole_pool_may_be_bought(plan):
    plan(budget={"counts": [5, 80]}, validation_size=10)


def test_runs_are_ordered_pool_by_pool(plan):
    order = [(r.pool, r.seed, r.arm.name) for r in plan(study_pools=2, study_seeds=2).runs]
    assert order == [(p, s, a) for p in range(2) for s in range(2) for a in ("random", "margin")]


def test_one_shot_arms_have_a_run_per_checkpoint(plan):
    runs = plan(study_strategy=["whole"], study_pools=1).runs
    assert [(r.first, r.counts) for r in runs] == [(0, (5,)), (1, (9,)), (2, (13,))]
    assert len({r.digest for r in runs}) == 3
    other = plan(study_strategy=["whole"], study_pools=1, budget={"counts": [5, 6, 9]}).runs
    assert {r.digest for r in runs} & {r.digest for r in other} == {r.digest for r in runs[:2]}, "5 is 5 and 9 is 9"


# ---------------------------------------------------------------------------------------------- the identity of a run


def digests(made) -> set[str]:
    return {run.digest for run in made.runs}


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "seed": {"study_seed": 1},
    "initial size": {"study_initial": {"strategy": "random", "size": 6}},
    "initial strategy": {"study_initial": {"strategy": "typiclust", "size": 5}},
    "initial setting": {"study_initial": {"strategy": "random(nested=True)", "size": 5}},
    "step": {"budget_step": 5},
    "learner setting": {"study_learner": "nearest(temperature=2)"},
    "learner": {"study_learner": "linear"},
    "encoder setting": {"study_features": "pixels(pca=2)"},
    "validation": {"validation_size": 3},
    "strategy setting": {"study_strategy": ["stochastic", "stochastic(margin, beta=3)"]},
    "strategy": {"study_strategy": ["entropy", "least_confidence"]},
    "dataset": {"study_dataset": "split_toy"},
    "dataset setting": {"study_dataset": "split_toy(share=0.4)"},
    "fork": {"fork": "other"},
}


def test_any_setting_that_a_pick_depends_on_changes_every_run(plan):
    found = {name: digests(plan(**changes)) for name, changes in CHANGES.items()}
    for one, other in combinations(found, 2):
        assert not found[one] & found[other], (one, other)


@pytest.mark.parametrize(
    "changes",
    [
        {"study_name": "other"}, {"study_metric": "macro_f1"}, {"study_rope": 0.1}, {"budget_rounds": 0},
        {"budget_rounds": 9}, {"budget": {"counts": [5, 9, 30]}}, {"study_strategy": ["margin", "random"]},
        {"study_learner": {"name": "nearest", "temperature": 1}}, {"study_features": {"encoder": "pixels"}},
        {"validation_size": 0}, {"grid_learner": ["nearest"]},
    ],
)  # fmt: skip
def test_what_no_pick_depends_on_changes_no_run(plan, changes):
    assert digests(plan(**changes)) == digests(plan())


def test_more_pools_seeds_and_arms_leave_the_others_as_they_are(plan):
    few = digests(plan())
    assert few < digests(plan(study_pools=3)) < digests(plan(study_pools=3, study_seeds=2))
    assert few < digests(plan(study_strategy=["badge", "margin", "random"]))


def test_every_run_of_a_study_is_another(plan):
    runs = plan(study_pools=3, study_seeds=2, study_strategy=["random", "margin", "whole"]).runs
    assert len({run.digest for run in runs}) == len(runs)


def test_labels_and_items_and_split_are_part_of_a_run(plan, monkeypatch):
    base = fake_dataset()
    variants = {
        "same": fake_dataset(),
        "items": fake_dataset(seed=1),
        "labels": replace(base, label_fingerprint="0" * 32),
        "split": replace(base, manifest=replace(base.manifest, split=np.roll(base.manifest.split, 1))),
        "classes": replace(base, manifest=replace(base.manifest, classes=("a", "b", "c"))),
        "keys": replace(base, manifest=replace(base.manifest, keys=tuple(f"other {i}" for i in range(120)))),
    }
    found = {}
    for name, data in variants.items():
        monkeypatch.setattr(datasets, "build", lambda *_, data=data: data)
        found[name] = digests(plan())
    assert found.pop("same") not in found.values()
    assert len({frozenset(d) for d in found.values()}) == 5


def test_a_revision_is_part_of_a_run(plan, monkeypatch):
    from querist.strategies.margin import Margin

    before = digests(plan(study_strategy=["margin"]))
    monkeypatch.setattr(Margin, "card", replace(Margin.card, revision=2))
    assert not before & digests(plan(study_strategy=["margin"]))


def test_arms_are_paired_by_address(plan):
    addresses = {
        (run.pool, run.address) for run in plan(study_pools=3, study_strategy=["random", "margin", "whole"]).runs
    }
    assert len(addresses) == 3


def test_a_digest_is_the_same_tomorrow(plan):
    """Stored runs would be lost if this changed: bump it only with a reason in the changelog."""
    made = plan(study_strategy=["margin"], study_pools=1).runs[0]
    assert made.spec["budget"] == {"start": 5, "next": 9}
    assert sorted(made.spec) == [
        "budget", "dataset", "entropy", "features", "features_seed", "initial", "learner", "pool", "seed", "strategy",
        "validation",
    ]  # fmt: skip
