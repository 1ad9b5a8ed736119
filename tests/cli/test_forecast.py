"""``querist forecast`` from the outside: stored studies in, tables and documents out, advice in words."""

import json
from pathlib import Path

import pytest

from querist.analysis.forecast import forecast
from querist.cli.main import main
from querist.errors import UnmetNeedError
from querist.learners.linear import Linear
from querist.studies.outlooks import kept_of, measured_of
from querist.studies.store import Store
from querist.studies.study import Study

STUDY = """
[study]
name = "tiny"
dataset = "digits"
strategy = ["random", "adaptive"]
pools = 2
initial = {{ strategy = "random", size = 20 }}
learner = "{learner}"
[budget]
step = 30
rounds = 3
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The file and the store of a study of two arms and two pools at 20, 50, 80 and 110 labels."""
    folder = tmp_path_factory.mktemp("stored")
    file = folder / "tiny.toml"
    file.write_text(STUDY.format(learner="linear"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        Study.read(file, folder / "store").run()
    return str(file), str(folder / "store")


def document(words, capsys) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(words, capsys) -> str:
    assert main([*words, "--json"]) == 2
    return json.loads(capsys.readouterr().out)["error"]["message"]


def test_the_only_study_of_a_store_needs_no_name(stored, capsys):
    file, store = stored
    found = document(["forecast", store], capsys)
    assert (found["study"], found["price"], found["horizon"]) == ("tiny", 1.0, 100)
    assert [(run["arm"], run["pool"]) for run in found["runs"]] == [
        ("adaptive", 0), ("adaptive", 1), ("random", 0), ("random", 1),
    ]  # fmt: skip
    for run in found["runs"]:
        assert [check["labels"] for check in run["checks"]] == [50, 110]
        assert run["advice"]["checks"] == [50, 110]
        assert run["advice"]["text"].startswith("stop" if run["advice"]["stop"] else "go on")
    assert document(["forecast", store, "--study", "tiny"], capsys) == found
    by_file = document(["forecast", store, "--study", file], capsys)
    assert sorted(by_file["runs"], key=lambda run: run["run"]) == sorted(found["runs"], key=lambda run: run["run"])


def test_numbers_are_those_of_the_functions(stored, capsys):
    file, store = stored
    words = ["forecast", store, "--study", file, "--each", "--horizon", "40", "--price", "2.5", "--arm", "adaptive"]
    found = document(words, capsys)
    study = Study.read(file, store)
    runs = [run for run in kept_of(study.plan, Store(store)) if run.arm == "adaptive"]
    assert len(found["runs"]) == len(runs) == 2
    for shown, run in zip(found["runs"], runs, strict=True):
        assert shown["run"] == run.digest
        for check, (number, measured) in zip(shown["checks"], measured_of(run, each=True), strict=True):
            told = forecast(measured, 40)
            assert (check["checkpoint"], check["labels"], check["gain"]) == (number, told.n, told.gain)
            assert tuple(check["half_widths"].values()) == told.halves
            assert list(check["half_widths"]) == ["50%", "80%", "90%"]
            assert check["p_worth_it"] == told.p_gain_at_least(2.5)
            assert check["on_the_pool"] == {"level": told.level, "half_width_90%": told.level_half}
            assert not check["band_was_checked"]


def test_a_person_sees_bands_and_never_a_bare_level(stored, capsys):
    _, store = stored
    assert main(["forecast", store, "--each"]) == 0
    shown = capsys.readouterr()
    assert "at a price of 1 point per 100 labels" in shown.out
    rows = [line for line in shown.out.splitlines() if line.startswith(("adaptive", "random"))]
    assert len(rows) == 8
    assert all(row.count("±") == 2 for row in rows)
    assert "on the pool" in shown.out
    assert "150 labels on" in " ".join(shown.err.split())
    assert main(["forecast", store, "--runs"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("adaptive", "random"))]
    assert len(rows) == 4
    assert all("go on" in row or "stop" in row for row in rows)


def test_one_run_can_be_asked_for(stored, capsys):
    _, store = stored
    digest = document(["forecast", store], capsys)["runs"][2]["run"]
    (only,) = document(["forecast", store, "--run", digest[:10]], capsys)["runs"]
    assert only["run"] == digest
    assert "no such runs" in refusal(["forecast", store, "--run", "nope"], capsys)


def test_the_report_shows_what_was_forecast(stored, capsys):
    file, store = stored
    document(["forecast", store, "--each"], capsys)
    found = document(["study", "report", file, "--store", store], capsys)
    assert found["report"], "two pools give no verdicts, but a report"
    text = Path(found["report"]).read_text(encoding="utf-8")
    assert "Was it worth going on?" in text
    assert "hubness of the features" in text


def test_mistakes_say_what_to_do(stored, capsys, tmp_path):
    _, store = stored
    assert "Run one first: querist study run" in refusal(["forecast", str(tmp_path)], capsys)
    assert "Studies there: tiny" in refusal(["forecast", store, "--study", "tinny"], capsys)
    assert "Arms with runs: adaptive, random" in refusal(["forecast", store, "--arm", "margin"], capsys)
    assert "--study FILE.toml" in refusal(["forecast", store, "--set", "study.pools=1"], capsys)
    assert "price above 0" in refusal(["forecast", store, "--price", "0"], capsys)
    assert main(["forecast", "--help"]) == 0
    assert "--price" in capsys.readouterr().out


def test_an_arm_that_can_have_no_forecast_is_told_and_the_rest_go_on(stored, capsys, monkeypatch):
    def measured(run, each):
        if run.arm == "random":
            raise UnmetNeedError("it trains a backbone")
        return measured_of(run, each)

    _, store = stored
    monkeypatch.setattr("querist.cli.forecasting.measured_of", measured)
    assert main(["forecast", store, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["refused"] == {"random": "it trains a backbone"}
    assert {run["arm"] for run in found["runs"]} == {"adaptive"}
    assert "No forecast for random: it trains a backbone" in said.err


def test_a_study_of_backbones_alone_is_refused(stored, capsys, monkeypatch):
    _, store = stored
    monkeypatch.setattr(Linear, "trains_backbone", True)
    for path in Store(store).path.glob("runs/*/outlook.json"):
        path.unlink()
    assert "frozen features" in refusal(["forecast", store], capsys)
