"""Options of ``querist study run`` that change what answers are, and who follows the runs."""

import json

import pytest

from querist.cli.main import main
from querist.studies.following import Pace
from querist.studies.study import Study

STUDY = """
[study]
name = "small"
dataset = "digits"
strategy = ["random", "margin"]
pools = 1

[budget]
step = 10
rounds = 1
"""
NOISE = ["--set", "oracle.noise=uniform", "--set", "oracle.rate=0.25"]


@pytest.fixture
def words(tmp_path):
    """The words that run the study."""
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return ["study", "run", str(path), "--store", str(tmp_path / "store"), "--workers", "1"]


def test_noise_is_announced_stands_in_the_report_and_is_another_run(words, tmp_path, capsys):
    assert main(words) == 0
    assert "nswers" not in capsys.readouterr().err
    assert main([*words, *NOISE]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "oracle: None -> " in said
    assert main([*words, *NOISE, "--fork", "noisy"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "2 new runs. Simulated answers: 25 % of answers wrong, uniformly over the other classes." in said
    for name, there in (("small", False), ("noisy", True)):
        page = (tmp_path / "store" / "studies" / name / "report.html").read_text()
        assert ("25 % of answers wrong, uniformly over the other classes" in page) == there


def test_a_mistaken_noise_is_one_sentence(words, capsys):
    assert main([*words, "--set", "oracle.rate=0.25", "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert 'oracle: rate without noise; expected noise = "uniform" or "class_conditional"' in message


def test_trackers_by_name(words, tmp_path, capsys):
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    assert main([*words, "--track", "tensorbord"]) == 2
    assert "Did you mean 'tensorboard'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "store" / "runs").exists()
    assert main([*words, "--track", "tensorboard"]) == 0
    folder = tmp_path / "store" / "studies" / "small" / "tracking" / "tensorboard"
    assert sorted(path.name.partition("_")[0] for path in folder.iterdir()) == ["margin", "random"]


def test_a_mistaken_tracker_is_known_before_the_study_is_read(words, monkeypatch, capsys):
    monkeypatch.setattr(Study, "read", lambda *_args, **_settings: pytest.fail("the study was read"))
    assert main([*words, "--track", "tensorbord"]) == 2
    assert "unknown tracker 'tensorbord'" in " ".join(capsys.readouterr().err.split())


def test_a_report_of_a_store_that_is_not_there_is_an_error_and_makes_nothing(words, tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    for make in (False, True):
        if make:
            nowhere.mkdir()
        assert main(["study", "report", words[2], "--store", str(nowhere), "--json"]) == 2
        message = json.loads(capsys.readouterr().out)["error"]["message"]
        assert f"there are no runs in {nowhere}" in message
        assert "querist study run" in message
        assert nowhere.exists() == make
        assert not make or not list(nowhere.iterdir())


def test_status_shows_the_pace_of_arms_that_train_nets(words, tmp_path, capsys, monkeypatch):
    assert main(words) == 0
    look = ["study", "status", *words[2:5]]
    capsys.readouterr()
    assert main(look) == 0
    assert "images/s" not in capsys.readouterr().out
    monkeypatch.setattr(Study, "paces", lambda study: {"margin": Pace(12_345.6, 0.071)})
    assert main(look) == 0
    table = capsys.readouterr().out
    (line,) = [line for line in table.splitlines() if line.startswith("margin")]
    assert line.split() == ["margin", "1", "1", "0", "0", "12,346", "7%"]
    assert main([*look, "--json"]) == 0
    arms = {arm["arm"]: arm.get("pace") for arm in json.loads(capsys.readouterr().out)["arms"]}
    assert arms == {"random": None, "margin": {"images_per_second": 12_345.6, "waiting": 0.071}}
