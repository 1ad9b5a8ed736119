"""The command line from the outside: documents on stdout, everything else on stderr, exit codes, advice."""

import json
import subprocess
import sys

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
