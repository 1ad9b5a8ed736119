"""``querist pool report`` from the outside: picks in every form, studies, labels of people, and mistakes."""

import csv
import json
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from querist.cli.main import main

STUDY = """
[study]
name = "small"
dataset = "digits"
features = "pixels"
strategy = "random"
pools = 2
[budget]
per_class = 1
rounds = 2
[grid]
initial = ["random", "typiclust"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUERIST_STORE", raising=False)
    rng = np.random.default_rng(0)
    np.save("rows.npy", (rng.normal(size=(60, 4)) + 4 * np.eye(4)[np.arange(60) % 3]).astype(np.float32))
    return tmp_path


def document(capsys):
    return json.loads(capsys.readouterr().out)


def rounds(answer):
    return [(row["round"], row["labels"]) for row in answer["rounds"]]


class TestPicks:
    def test_a_table_of_picks_and_its_document_are_the_same(self, here, capsys):
        assert main(["select", "rows.npy", "-b", "6", "-s", "typiclust", "--out", "picks.csv", "--json"]) == 0
        (here / "said.json").write_text(capsys.readouterr().out)
        answers = []
        for file in ("picks.csv", "said.json"):
            assert main(["pool", "report", "rows.npy", "--picks", file, "--json"]) == 0
            answers.append(document(capsys))
        assert rounds(answers[0]) == [("round 1", 6)]
        assert answers[0]["rounds"] == answers[1]["rounds"]
        assert answers[0]["report"] == "pool.html"
        assert "picks from said.json" in (here / "pool.html").read_text()
        assert answers[0]["classes"] is None

    def test_files_are_rounds_and_so_are_values_of_a_column(self, here, capsys):
        np.save("a.npy", np.array([4, 9]))
        (here / "b.txt").write_text("1\n30\n5\n")
        assert main(["pool", "report", "rows.npy", "--picks", "a.npy", "--picks", "b.txt", "--json"]) == 0
        one = document(capsys)
        (here / "both.csv").write_text("round,id\n0,4\n0,9\n1,1\n1,30\n1,5\n")
        assert main(["pool", "report", "rows.npy", "--picks", "both.csv", "--json"]) == 0
        other = document(capsys)
        assert rounds(one) == [("round 1", 2), ("round 2", 5)]
        assert [row["mean_distance"] for row in one["rounds"]] == [row["mean_distance"] for row in other["rounds"]]
        x = np.load("rows.npy").astype(np.float64)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        gap = np.linalg.norm(x[:, None] - x[[4, 9]], axis=2).min(axis=1)
        assert one["rounds"][0]["mean_distance"] == pytest.approx(gap.mean(), abs=1e-6)

    def test_labels_that_people_filled_in_are_counted(self, here, capsys):
        assert main(["select", "rows.npy", "-b", "4", "--out", "picks.csv"]) == 0
        with (here / "picks.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        with (here / "picks.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(
                {**line, "label": label} for line, label in zip(lines, ("cat", "cat", "dog", "cat"), strict=True)
            )
        capsys.readouterr()
        assert main(["pool", "report", "rows.npy", "--picks", "picks.csv", "--json"]) == 0
        answer = document(capsys)
        assert answer["classes"] == {"cat": 3, "dog": 1}
        assert answer["rounds"][0]["entropy"] == pytest.approx(0.811278, abs=1e-6)

    @pytest.mark.parametrize(
        ("text", "words"), [("[99]", "0..59"), ("[1, 1]", "more than once"), ('{"a": 1}', "'picks'"), ("[", "JSON")]
    )
    def test_what_is_no_list_of_picks_is_refused(self, here, capsys, text, words):
        (here / "p.json").write_text(text)
        assert main(["pool", "report", "rows.npy", "--picks", "p.json"]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
        assert not (here / "pool.html").exists()

    def test_test_items_are_no_picks(self, here, capsys):
        from querist.data.digits import digits

        np.save("t.npy", digits().test[:2])
        assert main(["pool", "report", "digits", "--picks", "t.npy"]) == 2
        assert "not in the pool" in capsys.readouterr().err


class TestStudies:
    def test_picks_features_and_figures_are_the_studys(self, here, capsys):
        (here / "s.toml").write_text(textwrap.dedent(STUDY))
        assert main(["study", "run", "s.toml", "--store", "kept", "--workers", "1"]) == 0
        capsys.readouterr()
        call = ["pool", "report", "--study", "s.toml", "--store", "kept", "--json"]
        assert main([*call, "--arm", "random | initial=typiclust"]) == 0
        answer = document(capsys)
        assert rounds(answer) == [("initial pool", 10), ("query 1", 20), ("query 2", 30)]
        assert answer["correlations"] == []
        text = (here / "pool.html").read_text()
        assert "by random | initial=typiclust in small" in text
        assert "the sealed labels of a benchmark, opened for this page" in text
        assert main([*call, "--arm", "randm | initial=typiclust"]) == 2
        assert "Did you mean" in document(capsys)["error"]["message"]
        assert main([*call, "--encoder", "handcrafted"]) == 2
        assert main(["pool", "report", "rows.npy", *call[2:]]) == 2
        assert "is not what 'small' was run on" in capsys.readouterr().out

    def test_a_study_that_has_not_run_shows_the_pool_alone(self, here, capsys):
        (here / "s.toml").write_text(textwrap.dedent(STUDY))
        assert main(["pool", "report", "--study", "s.toml", "--store", "kept", "--json"]) == 0
        assert "No run of" in document(capsys)["left_out"]["picks"]


class TestCourse:
    def test_a_row_per_item_or_a_row_per_label_and_epoch(self, here, capsys):
        p = np.repeat([[0.9, 0.8], [0.1, 0.2], [0.2, 0.9]], 20, axis=0)
        np.save("p.npy", p)
        assert main(["pool", "report", "rows.npy", "--data-map", "p.npy", "--json"]) == 0
        first = document(capsys)["data_map"]
        assert first == {"easy": 20, "ambiguous": 20, "hard": 20}
        columns = {"id": np.tile(np.arange(60), 2), "epoch": np.repeat([0, 1], 60), "p_true": p.T.ravel()}
        pq.write_table(pa.table(columns), here / "dynamics.parquet")
        assert main(["pool", "report", "rows.npy", "--data-map", "dynamics.parquet", "--json"]) == 0
        assert document(capsys)["data_map"] == first

    def test_what_is_no_course_is_refused(self, here, capsys):
        np.save("p.npy", np.full((60, 3), 2.0))
        assert main(["pool", "report", "rows.npy", "--data-map", "p.npy"]) == 2
        assert "probabilities" in capsys.readouterr().err
        pq.write_table(pa.table({"id": [1]}), here / "dynamics.parquet")
        assert main(["pool", "report", "rows.npy", "--data-map", "dynamics.parquet"]) == 2
        assert "p_true" in capsys.readouterr().err


def test_a_pool_alone_gives_suggestions_for_people_and_programs(here, capsys):
    assert main(["pool", "report", "digits", "--map", "none", "--out", "a 'b'.html", "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert {row["rule"]: row["labels"] for row in answer["suggestions"]}["published formula"] == 510
    assert "published formula" in said.err
    assert answer["classes"]["0"] > 100
    first = (here / "a 'b'.html").read_bytes()
    assert main(["pool", "report", "digits", "--map", "none", "--out", "a 'b'.html"]) == 0
    assert (here / "a 'b'.html").read_bytes() == first
    assert "published formula" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "SOURCE: expected a pool"), (["rows.npy", "--arm", "x"], "--study"),
        (["rows.npy", "-o", "p.pdf"], ".html"),
        (["rows.npy", "--study", "s.toml", "--picks", "p.csv"], "Leave one of them out"),
        (["nothing"], "no file or folder"), (["rows.npy", "--picks", "no.csv"], "no such file"),
    ],
)  # fmt: skip
def test_mistakes_get_advice(here, capsys, arguments, words):
    assert main(["pool", "report", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (here / "pool.html").exists()
