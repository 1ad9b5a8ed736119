"""``querist gallery`` from the outside."""

import json

from querist.cli.main import main


def test_some_strategies_become_pages(tmp_path, capsys):
    out = tmp_path / "a 'folder'"
    assert main(["gallery", "margin", "leastconf", "--out", str(out), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"schema": 1, "index": str(out / "index.html"), "strategies": 2}
    assert "2 pages" in said.err
    assert sorted(path.name for path in (out / "strategy").iterdir()) == ["least_confidence.html", "margin.html"]


def test_costs_are_put_on_the_pages(tmp_path, capsys):
    table = tmp_path / "costs.json"
    table.write_text('{"workload": "10 rows", "rows": [{"name": "margin", "seconds": 2, "megabytes": 3}]}')
    assert main(["gallery", "margin", "--out", str(tmp_path / "out"), "--costs", str(table)]) == 0
    assert "1 page; look" in capsys.readouterr().err
    assert "2 s and 3 MB beyond its inputs for 10 rows." in (tmp_path / "out/strategy/margin.html").read_text()
    table.write_text("nothing")
    assert main(["gallery", "margin", "--out", str(tmp_path / "out"), "--costs", str(table)]) == 2
    assert "expected a JSON document" in capsys.readouterr().err


def test_an_unknown_strategy_gets_advice(tmp_path, capsys):
    assert main(["gallery", "margn", "--out", str(tmp_path), "--json"]) == 2
    assert "Did you mean 'margin'" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not list(tmp_path.iterdir())
