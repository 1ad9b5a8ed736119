"""The verdicts on a terminal and as JSON."""

import io
import json
import math

import pandas as pd
import pytest
from rich.console import Console

from querist.analysis.verdicts import compare
from querist.report.summary import SCHEMA, summary_document, summary_table


def printed(study, width=140):
    console = Console(width=width, file=io.StringIO())
    console.print(summary_table(study))
    return console.file.getvalue()


def test_document_holds_the_numbers_of_the_comparison_unrounded(study):
    document = json.loads(json.dumps(summary_document(study), allow_nan=False))
    assert document["schema"] == SCHEMA == 1
    assert (document["study"], document["metric"], document["rope"]) == ("made up", "accuracy", 0.005)
    (regime,) = document["regimes"]
    found = compare(study.rounds, "accuracy")
    assert [arm["arm"] for arm in regime["arms"]] == [row.arm for row in found.arms]
    for arm in regime["arms"]:
        row = found[arm["arm"]]
        for key in ("aubc", "difference", "lower", "upper", "p_t", "p_wilcoxon", "p_holm", "d_z"):
            value = getattr(row, key)
            assert arm[key] == (None if math.isnan(value) else value)
        assert (arm["verdict"], arm["wins"], arm["pools"]) == (row.verdict, row.wins, row.pools)
    assert {arm["arm"]: arm["flags"] for arm in regime["arms"]}["oracle_uniform"] == ["oracle"]
    assert regime["labels"] == [10, 80]


def test_document_of_a_grid_keeps_the_names_of_the_study(make):
    names = ["random | learner=linear", "margin | learner=linear", "random | learner=knn", "margin | learner=knn"]
    arms = pd.DataFrame({"arm": names, "strategy": ["random", "margin"] * 2, "learner": ["linear"] * 2 + ["knn"] * 2})
    document = summary_document(make(dict.fromkeys(names, 0.0), arms=arms))
    assert [r["name"] for r in document["regimes"]] == ["learner=linear", "learner=knn"]
    assert {arm["arm"] for r in document["regimes"] for arm in r["arms"]} == set(names)
    assert document["regimes"][1]["reference"] == "random | learner=knn"


def test_infinite_effects_are_null(make):
    study = make({"random": 0.0, "margin": 0.03})
    flat = study.rounds.assign(value=[0.5 if arm == "random" else 0.6 for arm in study.rounds["arm"]])
    margin = summary_document(make({"random": 0.0, "margin": 0.0}, rounds=flat))["regimes"][0]["arms"][0]
    assert (margin["d_z"], margin["p_t"]) == (None, 0)
    assert margin["difference"] == pytest.approx(0.1)


def test_terminal_prints_percent_with_one_decimal(study):
    text = printed(study)
    found = compare(study.rounds, "accuracy")
    (line,) = [part for part in text.splitlines() if part.startswith("margin")]
    margin = found["margin"]
    words = line.split()
    assert words[1] == f"{100 * margin.aubc:.1f}"
    assert words[2] == f"{100 * margin.difference:+.1f}"
    assert " ".join(words[3:6]) == f"{100 * margin.lower:+.1f} to {100 * margin.upper:+.1f}"
    assert words[-1] == "better"
    assert "oracle_uniform†" in text
    assert "† oracle_uniform: oracle, reads hidden labels" in text
    assert "; 10 pools." in text
    assert "Of 6 strategies, 3 are better than random" in text


def test_terminal_does_not_take_names_for_markup(make):
    text = printed(make({"random": 0.0, "[bold]margin[/bold]": 0.03}))
    assert "[bold]margin[/bold]" in text


def test_terminal_tells_reasons_once_and_missing_runs(make):
    study = make(pools=3)
    some = study.rounds[(study.rounds["arm"] != "margin") | (study.rounds["pool"] != 1)]
    text = " ".join(printed(make(pools=3, rounds=some), width=400).split())
    assert "pools verdict" in text, "pools that differ between arms have a column"
    assert text.count("3 of the 5 paired pools a verdict needs") == 1
    assert "margin: 2 of the 5 paired pools" in text
    assert "Missing: 1 run, left out with its partner." in text


def test_terminal_of_eighty_columns_breaks_no_ordinary_name(make):
    names = ("random", "kmeans_single_batch", "class_uniform_oracle")
    lines = printed(make(dict.fromkeys(names, 0.0)), width=80).splitlines()
    assert all(any(line.startswith(name) for line in lines) for name in names)
    assert max(map(len, lines)) <= 80
