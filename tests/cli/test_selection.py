"""``querist select`` with a strategy that uses every answer before it asks again."""

import json

import numpy as np

from querist.cli.main import main


def test_of_a_query_asked_one_by_one_the_first_item(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.arange(40) % 2
    lines = [f"item {i},{','.join(map(str, row))}" for i, row in enumerate((x.T + 2 * y).T)]
    (tmp_path / "items.csv").write_text("\n".join(["id,x0,x1,x2", *lines]) + "\n")
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"item {i},{'ab'[y[i]]}\n" for i in range(6)))
    words = ["select", "items.csv", "--prefix", "x", "--labels", "labels.csv", "-b", "5", "--json"]
    assert main([*words, "--strategy", "galaxy"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["picks"]) == 1
    assert "'galaxy' uses every answer before it asks again: this is the first of 5 items" in answer["notices"][0]
    assert main([*words, "--strategy", "margin"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["picks"]) == 5
    assert not any("first of" in notice for notice in answer["notices"])
