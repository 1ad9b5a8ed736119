"""A study file: everything wrong with it is said at once, with what would be right."""

from pathlib import Path
from typing import Any

import pytest

from querist.errors import StudyError
from querist.studies.spec import draft_study, parse_study, read_study
from querist.studies.study import Study


def mistakes(document: Any) -> list[str]:
    with pytest.raises(StudyError) as caught:
        parse_study(document)
    assert all(mistake in str(caught.value) for mistake in caught.value.mistakes)
    return caught.value.mistakes


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "my study.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


GOOD = """
[study]
name = "x"
dataset = "toy"
learner = "nearest"
strategy = ["random", "margin"]
[budget]
step = 4
rounds = 2
"""

# --------------------------------------------------------------------------------------------------- one mistake alone


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"study_pool": 3}, "unknown key 'pool' in [study]. Did you mean 'pools'?"),
        ({"budget_rouns": 3}, "unknown key 'rouns' in [budget]. Did you mean 'rounds'"),
        ({"validation_sise": 3}, "unknown key 'sise' in [validation]. Did you mean 'size'?"),
        ({"grid_learners": ["nearest"]}, "unknown key 'learners' in [grid]. Did you mean 'learner'"),
        ({"grid_strategy": ["margin"]}, "unknown key 'strategy' in [grid]. Known: features, initial, learner."),
        ({"gird": {}}, "unknown key 'gird' in the file. Did you mean 'grid'?"),
        ({"study_name": None}, "study.name: this setting is required"),
        ({"study_dataset": None}, "study.dataset: this setting is required"),
        ({"study_strategy": None}, "study.strategy: this setting is required"),
        ({"budget": None}, "budget: this setting is required"),
        ({"study_name": "../up"}, "study.name: expected letters, digits, '.', '_' and '-', beginning with"),
        ({"study_name": ""}, "study.name: expected letters, digits"),
        ({"study_name": 3}, "study.name: expected a valid string, got 3"),
        ({"study_pools": 0}, "study.pools: expected greater than or equal to 1, got 0"),
        ({"study_pools": "10"}, "study.pools: expected a valid integer, got '10'"),
        ({"study_pools": 10.0}, "study.pools: expected a valid integer, got 10.0"),
        ({"study_pools": True}, "study.pools: expected a valid integer, got True"),
        ({"study_seeds": -1}, "study.seeds: expected greater than or equal to 1"),
        ({"study_rope": 1.0}, "study.rope: expected less than 1"),
        ({"study_rope": "0.1"}, "study.rope: expected a valid number, got '0.1'"),
        ({"study_metric": "acuracy"}, "study.metric: unknown metric 'acuracy'. Did you mean 'accuracy'"),
        ({"study_metric": "f1"}, "balanced_accuracy, macro_f1"),
        ({"study_dataset": 3}, "study.dataset: expected a name, or a table with a name and settings, got 3"),
        ({"study_strategy": 3}, "study.strategy: expected a valid list, got 3"),
        ({"study_strategy": []}, "study.strategy: List should have at least 1 item"),
        ({"study_strategy": ["random", 7]}, "study.strategy.1: expected a name, or a table with a name and settings"),
        ({"study_learner": ["nearest"]}, "study.learner: expected a name, or a table"),
        ({"budget_step": None}, "budget: give exactly one of step, per_class and counts, got none"),
        ({"budget_counts": [5, 9]}, "budget: give exactly one of step, per_class and counts, got step and counts"),
        ({"budget_per_class": 1}, "got step and per_class"),
        ({"budget_step": 0}, "budget.step: expected greater than or equal to 1, got 0"),
        ({"budget_rounds": None}, "budget: rounds is required"),
        ({"budget_rounds": -1}, "budget.rounds: expected greater than or equal to 0"),
        ({"budget": {"counts": [5, 9], "rounds": 1}}, "counts says how many rounds there are; leave rounds out"),
        ({"budget": {"counts": [5, 5]}}, "counts are cumulative and must rise, got [5, 5]"),
        ({"budget": {"counts": [9, 5]}}, "counts are cumulative and must rise, got [9, 5]"),
        ({"budget": {"counts": []}}, "budget.counts: List should have at least 1 item"),
        ({"budget": {"counts": [0, 5]}}, "budget.counts.0: expected greater than or equal to 1"),
        ({"budget": 5}, "budget: expected a valid dictionary, got 5"),
        ({"validation_size": -1}, "validation.size: expected greater than or equal to 0"),
        ({"grid_learner": "nearest"}, "grid.learner: expected a valid list, got 'nearest'"),
        ({"grid_learner": []}, "grid.learner: List should have at least 1 item"),
        ({"grid": 3}, "grid: expected a valid dictionary, got 3"),
    ],
)
def test_one_mistake(make_document, changes, expected):
    found = mistakes(make_document(**changes))
    assert len(found) == 1, found
    assert expected in found[0]


def test_a_good_study_has_none(make_document):
    spec = parse_study(make_document())
    assert spec.study.strategy == ["random", "margin"]
    assert (spec.study.pools, spec.study.seeds, spec.study.metric) == (2, 1, "accuracy")
    assert parse_study(make_document(study_strategy="margin")).study.strategy == ["margin"]
    assert parse_study(make_document(study_rope=0)).study.rope == 0.0


def test_a_spec_survives_its_way_to_a_worker(make_document):
    spec = parse_study(
        make_document(
            study_strategy=["random", {"name": "stochastic", "base": "margin", "beta": 2.0}],
            grid_learner=["nearest", {"name": "nearest", "temperature": 2}],
        )
    )
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec


# ----------------------------------------------------------------------------------------------- all of them together


def test_all_mistakes_of_a_file_are_reported_together(write, tmp_path):
    path = write("""
        studdy = 1
        [study]
        name = "a b"
        dataset = "toi"
        learnr = "nearest"
        strategy = ["margn", { name = "stochastic", bas = "margin" }, { name = "typiclust", preset = "papr" },
                    "stochastic(badge)"]
        learner = "neerest"
        features = "pixel"
        initial = { strategy = "rendom", size = 5 }
        pools = "10"
        metric = "acc"
        [budget]
        stp = 5
        counts = [5, 8]
        [validation]
        size = -1
        [grid]
        strategy = ["margin"]
    """)
    with pytest.raises(StudyError) as caught:
        Study.read(path, tmp_path / "store")
    found = str(caught.value)
    for expected in (
        f"{path}: 16 mistakes; nothing was run.",
        "unknown key 'studdy' in the file. Did you mean 'study'?",
        "study.name: expected letters",
        "unknown key 'learnr' in [study]. Did you mean 'learner'?",
        "study.pools: expected a valid integer, got '10'",
        "study.metric: unknown metric 'acc'",
        "unknown key 'stp' in [budget]. Did you mean 'step'?",
        "validation.size",
        "unknown key 'strategy' in [grid]",
        "study.dataset: unknown dataset 'toi'. Did you mean 'toy'?",
        "study.learner: unknown learner 'neerest'. Did you mean 'nearest'?",
        "study.strategy[0]: unknown strategy 'margn'. Did you mean 'margin'",
        "unknown setting 'bas' in study.strategy[1]: stochastic. Did you mean 'base'?",
        "unknown preset of typiclust 'papr' in study.strategy[2]. Did you mean 'paper'?",
        "study.initial: unknown strategy 'rendom'. Did you mean 'random'",
        "study.features: unknown encoder 'pixel'. Did you mean 'pixels'?",
        "expected a Scoring",
    ):
        assert expected in found, expected
    assert not (tmp_path / "store").exists()


def test_mistakes_that_need_the_dataset_are_reported_with_those_that_do_not(write, tmp_path):
    path = write(GOOD.replace("step = 4", "step = 50").replace("[budget]", "poolz = 3\n[budget]"))
    with pytest.raises(StudyError) as caught:
        Study.read(path, tmp_path / "store")
    assert [m.partition(":")[0] for m in caught.value.mistakes] == [
        "unknown key 'poolz' in [study]. Did you mean 'pools'?", "budget",
    ]  # fmt: skip


def test_what_is_mistaken_is_left_out_and_the_rest_is_kept(write):
    draft = draft_study(write(GOOD + 'rouns = 3\n[validation]\nsize = "2"\n'))
    assert draft.spec is not None
    assert draft.spec.budget.rounds == 2
    assert draft.spec.validation.size == 0
    assert len(draft.mistakes) == 2
    assert draft_study(write("[study]\nname = 'x'")).spec is None


# -------------------------------------------------------------------------------------------------------------- files


def test_files_that_cannot_be_read(tmp_path, write):
    for path, words in (
        (tmp_path / "none.toml", "there is no such file"),
        (tmp_path, "cannot be read"),
        (write("[study\nname = 1"), "not valid TOML"),
        (write("[study]\nname = 'a'\nname = 'b'"), "not valid TOML"),
    ):
        with pytest.raises(StudyError, match=words) as caught:
            read_study(path)
        assert str(path) in str(caught.value)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="not valid TOML"):
        read_study(binary)


def test_paths_of_a_dataset_are_relative_to_the_study(tmp_path, monkeypatch):
    folder = tmp_path / "a'; echo foo"
    folder.mkdir()
    text = GOOD.replace('"toy"', '{ name = "tiny", path = "data/x.npy", labels = "/abs/y.npy", classes = 2 }')
    (folder / "study.toml").write_text(text)
    dataset = read_study(folder / "study.toml").study.dataset
    assert dataset == {"name": "tiny", "path": str(folder / "data/x.npy"), "labels": "/abs/y.npy", "classes": 2}
    monkeypatch.chdir(folder)
    assert read_study("study.toml").study.dataset["path"] == "data/x.npy"  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert parse_study({**read_study("study.toml").model_dump()}).study.dataset == (
        read_study("study.toml").study.dataset
    )


def test_paths_of_a_dataset_inside_another_are_relative_to_the_study(tmp_path):
    text = GOOD.replace('"toy"', '{ name = "sample", base = { name = "table", path = "x.csv" }, pool = 9 }')
    (tmp_path / "study.toml").write_text(text)
    inner = {"name": "table", "path": str(tmp_path / "x.csv")}
    assert read_study(tmp_path / "study.toml").study.dataset == {"name": "sample", "base": inner, "pool": 9}


# --------------------------------------------------------------------------------------------------- overrides: --set


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("study.pools=20", "study.pools", 20),
        ("study.pools = 20", "study.pools", 20),
        ("study.name=other-name", "study.name", "other-name"),
        ('study.name="quoted"', "study.name", "quoted"),
        ("study.rope=0.01", "study.rope", 0.01),
        ("study.strategy=badge", "study.strategy", ["badge"]),
        ("study.strategy=random,badge", "study.strategy", ["random", "badge"]),
        ('study.strategy=["random", "badge"]', "study.strategy", ["random", "badge"]),
        (
            "study.strategy=random, stochastic(margin, beta=2)", "study.strategy",
            ["random", "stochastic(margin, beta=2)"],
        ),
        (
            'study.strategy=random,{ name = "typiclust", preset = "paper" }', "study.strategy",
            ["random", {"name": "typiclust", "preset": "paper"}],
        ),
        ("study.initial={ strategy = 'random', size = 3 }", "study.initial", {"strategy": "random", "size": 3}),
        ("study.learner.k=2", "study.learner", {"name": "nearest", "k": 2}),
        ("validation.size=7", "validation.size", 7),
        ("budget.rounds=1", "budget.rounds", 1),
    ],
)  # fmt: skip
def test_settings_from_the_command_line(write, text, path, value):
    spec: Any = read_study(write(GOOD), sets=[text])
    for part in path.split("."):
        spec = getattr(spec, part)
    assert spec == value


def test_later_settings_win(write):
    assert read_study(write(GOOD), sets=["study.pools=3", "study.pools=4"]).study.pools == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study.pools", "expected SETTING=VALUE, for example --set study.pools=20"),
        ("=3", "expected SETTING=VALUE"),
        ("study.pools=many", "study.pools: expected a valid integer, got 'many'"),
        ("pools=3", "unknown key 'pools' in the file"),
        ("study.name.first=x", "'name' is a value, not a table"),
        ("study.pols=3", "unknown key 'pols' in [study]. Did you mean 'pools'?"),
        ("study=3", "study: expected a valid dictionary"),
    ],
)
def test_settings_that_cannot_be(write, text, words):
    with pytest.raises(StudyError) as caught:
        read_study(write(GOOD), sets=[text])
    assert words in str(caught.value)


# -------------------------------------------------------------------------------------------------- overrides: --grid


@pytest.mark.parametrize("name", ["study.learner", "learner", "grid.learner"])
def test_a_grid_from_the_command_line(write, name):
    spec = read_study(write(GOOD), grids=[f"{name}=nearest,nearest(temperature=2)"])
    assert spec.grid.learner == ["nearest", "nearest(temperature=2)"]
    assert read_study(write(GOOD), grids=[f"{name}=nearest"]).grid.learner == ["nearest"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study.learner", "for example --grid study.learner=linear,knn"),
        ("study.strategy=random,margin", "unknown key 'strategy' in [grid]"),
        ("budget.step=5,10", "unknown key 'step' in [grid]"),
    ],
)
def test_a_grid_that_cannot_be(write, text, words):
    with pytest.raises(StudyError) as caught:
        read_study(write(GOOD), grids=[text])
    assert words in str(caught.value)


def test_a_grid_over_something_that_is_no_table(write):
    with pytest.raises(StudyError, match="'grid' is a value, not a table"):
        read_study(write("grid = 3\n" + GOOD), grids=["study.learner=nearest,linear"])
