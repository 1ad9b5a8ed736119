"""The command line from the outside: documents on stdout, everything else on stderr, exit codes, advice."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from querist.cli.main import main
from querist.strategies.base import strategies

STUDY = """
[study]
name = "tiny"
dataset = "digits"
strategy = ["random", "margin"]
pools = 2
[budget]
step = 10
rounds = 1
"""


@pytest.fixture
def study(tmp_path):
    """A study file that runs in a moment, and a store."""
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return str(path), str(tmp_path / "store")


@pytest.fixture
def features(tmp_path):
    """A feature file of three groups of twenty rows."""
    x = np.repeat(np.eye(3), 20, axis=0) + np.random.default_rng(0).normal(scale=0.05, size=(60, 3))
    path = tmp_path / "features.npy"
    np.save(path, x.astype(np.float32))
    return path


def document(capsys) -> dict:
    """Return the one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", [[], ["study"], ["select"], ["demo"], ["strategies"], ["study", "run"]])
def test_help_teaches(words, capsys):
    assert main([*words, "--help"]) == 0
    assert len(capsys.readouterr().out) > 300


@pytest.mark.parametrize("kind", ["strategies", "learners", "encoders", "datasets"])
def test_listing(kind, capsys):
    assert main([kind, "--json"]) == 0
    entries = document(capsys)[kind]
    assert [e["name"] for e in entries] == sorted(e["name"] for e in entries)
    assert all(e["summary"] for e in entries)
    assert main([kind]) == 0
    shown = capsys.readouterr().out
    assert all(e["name"] in shown for e in entries)


def test_one_strategy_is_explained(capsys):
    assert main(["strategies", "coreset"]) == 0
    shown = capsys.readouterr().out
    assert "k_center_greedy" in shown
    assert "Sener" in shown
    assert "Features" in shown


def test_an_unknown_name_is_a_document_too(capsys):
    assert main(["strategies", "margn", "--json"]) == 2
    error = document(capsys)["error"]
    assert error["type"] == "UnknownNameError"
    assert "Did you mean 'margin'" in error["message"]


def test_a_wrong_option_is_a_document_too(capsys):
    assert main(["select", "digits", "--json"]) == 2
    assert "budget" in document(capsys)["error"]["message"]


def test_without_json_an_error_goes_to_stderr(capsys):
    assert main(["select", "digts", "-b", "3"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Did you mean 'digits'" in said.err


class TestSelect:
    def test_cold_from_a_file_takes_one_of_each_group(self, features, capsys):
        assert main(["select", str(features), "-b", "3", "-s", "k_center_greedy", "--json"]) == 0
        picks = document(capsys)["picks"]
        assert sorted(p["id"] // 20 for p in picks) == [0, 1, 2]
        assert [p["rank"] for p in picks] == [0, 1, 2]

    def test_labels_are_learned_from_and_never_picked(self, features, tmp_path, capsys):
        labels = tmp_path / "labels.csv"
        labels.write_text("id,label\n0,cat\n20,dog\n40,emu\n41,\n")
        words = ["select", str(features), "-b", "57", "-s", "margin", "--labels", str(labels), "--json"]
        assert main(words) == 0
        answer = document(capsys)
        assert answer["labelled"] == 3
        assert {p["id"] for p in answer["picks"]} == set(range(60)) - {0, 20, 40}

    def test_a_model_is_asked_for_with_advice(self, features, capsys):
        assert main(["select", str(features), "-b", "3", "-s", "margin"]) == 0
        # The strategy needs a model and there are no labels: the first batch is drawn at random, and says so.
        assert "random" in capsys.readouterr().err

    def test_picks_are_written(self, features, tmp_path, capsys):
        target = tmp_path / "a'; echo picks.csv"
        assert main(["select", str(features), "-b", "5", "--out", str(target)]) == 0
        with target.open() as file:
            rows = list(csv.DictReader(file))
        assert len({row["id"] for row in rows}) == 5
        assert capsys.readouterr().out == ""

    def test_the_same_seed_gives_the_same_picks(self, features, capsys):
        answers = []
        for seed in ("1", "1", "2"):
            assert main(["select", str(features), "-b", "9", "-s", "random", "--seed", seed, "--json"]) == 0
            answers.append([p["id"] for p in document(capsys)["picks"]])
        assert answers[0] == answers[1] != answers[2]

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ("id,label\n0,cat\n99,dog\n", "99"),
            ("id,label\n0,cat\n0,dog\n", "labelled twice"),
            ("key,class\n0,cat\n", "columns id and label"),
        ],
    )
    def test_labels_that_do_not_fit(self, labels, words, features, tmp_path, capsys):
        path = tmp_path / "labels.csv"
        path.write_text(labels)
        assert main(["select", str(features), "-b", "3", "--labels", str(path), "--json"]) == 2
        assert words in document(capsys)["error"]["message"]

    def test_bad_values_are_named_by_row(self, features, capsys):
        x = np.load(features)
        x[7, 1] = np.nan
        np.save(features, x)
        assert main(["select", str(features), "-b", "3", "--json"]) == 2
        assert "7" in document(capsys)["error"]["message"]

    def test_more_than_there_is(self, features, capsys):
        assert main(["select", str(features), "-b", "61", "--json"]) == 2
        assert "60" in document(capsys)["error"]["message"]


class TestStudy:
    def test_run_status_report(self, study, capsys):
        path, store = study
        assert main(["study", "status", path, "--store", store, "--json"]) == 0
        assert [a["finished"] for a in document(capsys)["arms"]] == [0, 0]
        assert main(["study", "run", path, "--store", store, "--workers", "1", "--json"]) == 0
        said = capsys.readouterr()
        first = json.loads(said.out)
        assert "4 new runs" in said.err
        assert main(["study", "run", path, "--store", store, "--workers", "1", "--json"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out) == first
        assert "0 new runs, 4 on record" in said.err
        assert main(["study", "report", path, "--store", store]) == 0
        assert "withheld" in capsys.readouterr().out
        assert main(["study", "status", path, "--store", store]) == 0
        assert "margin" in capsys.readouterr().out

    def test_settings_from_the_command_line(self, study, capsys):
        path, store = study
        words = ["--set", "study.pools=1", "--grid", "study.learner=linear,prototype"]
        assert main(["study", "run", path, "--store", store, "--workers", "1", *words]) == 0
        assert "4 arms x 1 pools" in capsys.readouterr().err

    def test_mistakes_are_reported_together(self, study, capsys):
        path, store = study
        assert main(["study", "run", path, "--store", store, "--set", "study.strategy=margn,bagde", "--json"]) == 2
        message = document(capsys)["error"]["message"]
        assert "'margin'" in message
        assert "'badge'" in message

    def test_an_edited_study_is_refused_with_the_difference(self, study, capsys):
        path, store = study
        assert main(["study", "run", path, "--store", store, "--workers", "1"]) == 0
        capsys.readouterr()
        edit = ["--set", "study.learner=prototype"]
        assert main(["study", "run", path, "--store", store, "--workers", "1", *edit]) == 2
        assert "learner.name: 'linear' -> 'prototype'" in capsys.readouterr().err
        assert main(["study", "run", path, "--store", store, "--workers", "1", *edit, "--fork", "other"]) == 0


def test_the_demo_compares_and_never_imports_torch(tmp_path):
    code = (
        "import sys; from querist.cli.main import main; status = main(['demo', '--json']); "
        "sys.exit(status or ('torch' in sys.modules and 3))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (tmp_path / "querist-demo" / "report.html").stat().st_size > 100_000
    verdicts = {arm["arm"]: arm["verdict"] for arm in answer["regimes"][0]["arms"]}
    assert len(verdicts) >= 8
    assert verdicts["typiclust"] == "better"
    assert set(verdicts) <= {*strategies.names(), "stochastic(margin)"}


def test_a_study_with_nothing_to_compare_keeps_its_tables(study, capsys):
    path, store = study
    words = ["--store", store, "--workers", "1", "--set", "study.strategy=margin", "--json"]
    assert main(["study", "run", path, *words]) == 0
    answer = document(capsys)
    assert answer["report"] is None
    assert "random" in answer["note"]
