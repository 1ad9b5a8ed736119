"""``querist select`` end to end: real files in, picks, contact sheet and list of what was set aside out."""

import csv
import json
import os
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from querist.cli import selection
from querist.cli.main import main
from querist.cli.picks import Targets, targets
from querist.encoders.handcrafted import Handcrafted

GROUPS = ("stripes", "noise", "blobs")
PER_GROUP = 12
HOSTILE = "a'; echo <b>&amp;.png"
BROKEN = {"cut.jpg": "cut short", "empty.png": "empty", "notes.txt": "not an image"}


def picture(group: str, number: int) -> Image.Image:
    """One of three kinds of pictures, every one different."""
    rng = np.random.default_rng([GROUPS.index(group), number])
    if group == "stripes":
        wave = np.sin(np.arange(48) * (0.5 + 0.1 * number) + number)
        pixels = np.broadcast_to((128 + 100 * wave)[:, None, None], (48, 48, 3)) + rng.normal(0, 3, (48, 48, 3))
    elif group == "noise":
        pixels = rng.normal(128, 60, (48, 48, 3))
    else:
        few = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        return few.resize((48, 48), Image.Resampling.BICUBIC)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of 36 pictures of three kinds, with an exact copy, a near copy and three broken files."""
    root = tmp_path_factory.mktemp("photos")
    for group in GROUPS:
        (root / group).mkdir()
        for number in range(PER_GROUP):
            picture(group, number).save(root / group / f"{group}{number:02d}.png")
    (root / "noise" / "noise11.png").rename(root / "noise" / HOSTILE)
    (root / "copy.png").write_bytes((root / "stripes" / "stripes03.png").read_bytes())
    picture("blobs", 4).save(root / "near.png")
    with Image.open(root / "near.png") as image:
        image.resize((96, 96), Image.Resampling.BICUBIC).save(root / "near.png")
    (root / "cut.jpg").write_bytes(_jpeg()[:400])
    (root / "empty.png").write_bytes(b"")
    (root / "notes.txt").write_text("not a picture")
    return root


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """Where features are kept, so that the pictures are encoded once for all tests."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def words(photos, store, tmp_path, monkeypatch):
    """The command for these pictures, run in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return ["select", str(photos), "--features", "handcrafted", "--store", str(store)]


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


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def group_of(path: str) -> str:
    return {"copy.png": "stripes", "near.png": "blobs"}.get(Path(path).name, Path(path).parent.name)


class Page(HTMLParser):
    """Elements and text of a page; every tag that opens must close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


class TestAFolderOfImages:
    def test_one_command_writes_picks_sheet_and_what_was_set_aside(self, words, photos, tmp_path, capsys):
        assert main([*words, "-b", "6", "--json"]) == 0
        said = capsys.readouterr()
        answer = json.loads(said.out)
        assert {path.name for path in tmp_path.iterdir()} == {"picks.csv", "picks.html", "set_aside.csv"}

        rows = table(tmp_path / "picks.csv")
        assert list(rows[0]) == ["rank", "id", "key", "path", "utility", "stands_for", "reason", "label"]
        assert [row["rank"] for row in rows] == list("123456")
        assert [row["path"] for row in rows] == [pick["path"] for pick in answer["picks"]]
        assert all(Path(row["path"]).is_file() and row["reason"] and not row["label"] for row in rows)
        assert len({row["path"] for row in rows}) == 6
        # Every picture of the pool is stood for once.
        assert sum(int(row["stands_for"]) for row in rows) == len(GROUPS) * PER_GROUP

        aside = {Path(row["path"]).name: row["reason"] for row in table(tmp_path / "set_aside.csv")}
        assert aside.keys() == {*BROKEN, "stripes03.png", *(aside.keys() & {"near.png", "blobs04.png"})}
        assert len(aside) == 5
        assert all(aside[name].startswith(reason) for name, reason in BROKEN.items())
        assert "copy.png" in aside["stripes03.png"]
        assert "5 files set aside" in said.err
        assert answer["set_aside"] == table(tmp_path / "set_aside.csv")
        assert answer["strategy"] == {"name": "adaptive"}

    def test_the_sheet_is_one_file_that_shows_every_pick(self, words, photos, tmp_path):
        assert main([*words, "-b", "9", "--out", "here"]) == 0
        text = (tmp_path / "here" / "picks.html").read_text()
        page = Page(text)
        rows = table(tmp_path / "here" / "picks.csv")
        assert "http" not in text.replace("http-equiv", "")
        assert not page.all("script")
        assert not page.all("link")
        assert all(link["href"].startswith("#") for link in page.all("a"))
        names = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
        assert all(link["href"][1:] in names for link in page.all("a"))
        images = page.all("img")
        assert len(images) >= 2 * len(rows)
        for image in images:
            kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", image["src"]).groups()
            with Image.open(BytesIO(b64decode(data))) as decoded:
                decoded.load()
                assert decoded.format == kind.upper()
                assert max(decoded.size) <= 160
        assert [image["alt"].partition(":")[0] for image in images if image["alt"].startswith("Pick")] == [
            f"Pick {rank}" for rank in range(1, 10)
        ]
        for row in rows:
            assert os.path.relpath(row["path"], photos) in page.text
            assert row["reason"][1:] in page.text
        assert "36 images" in page.text

    def test_near_copies_are_never_both_picked(self, words, tmp_path):
        assert main([*words, "-b", "36"]) == 0
        names = {Path(row["path"]).name for row in table(tmp_path / "picks.csv")}
        assert len(names & {"near.png", "blobs04.png"}) == 1
        assert len(names & {"copy.png", "stripes03.png"}) == 1

    def test_the_same_seed_gives_the_same_files(self, words, tmp_path):
        for folder in ("one", "two"):
            assert main([*words, "-b", "5", "--out", folder]) == 0
        for name in ("picks.csv", "picks.html", "set_aside.csv"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    def test_a_name_of_a_table_gets_the_table(self, words, tmp_path):
        assert main([*words, "-b", "3", "--out", "mine.csv"]) == 0
        assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", "set_aside.csv"}
        assert main([*words, "-b", "3", "--out", "mine.csv", "--sheet", "look.html", "--map", "none"]) == 0
        assert "Where the picks lie" not in (tmp_path / "look.html").read_text()

    def test_a_list_of_images(self, words, photos, tmp_path, capsys):
        files = sorted(photos.glob("*/*.png"))[:20]
        (tmp_path / "list.csv").write_text("path\n" + "".join(f'"{path}"\n' for path in files) + f"{photos}/gone.png\n")
        assert main(["select", "list.csv", *words[2:], "-b", "4", "--json"]) == 0
        answer = document(capsys)
        assert {pick["path"] for pick in answer["picks"]} <= {str(path) for path in files}
        assert ["missing" in entry["reason"] for entry in answer["set_aside"]] == [True]

    def test_a_killed_command_continues(self, words, tmp_path, monkeypatch, capsys):
        assert main([*words, "-b", "4", "--out", "whole"]) == 0

        def interrupt(*_args, **_settings):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(selection, "contact_sheet", interrupt)
            assert main([*words, "-b", "4", "--out", "part"]) == 130
        assert not (tmp_path / "part").exists()
        assert "continues" in capsys.readouterr().err
        # What was encoded is not encoded again.
        monkeypatch.setattr(Handcrafted, "fit", interrupt)
        assert main([*words, "-b", "4", "--out", "part"]) == 0
        assert (tmp_path / "part" / "picks.csv").read_bytes() == (tmp_path / "whole" / "picks.csv").read_bytes()

    def test_the_default_encoder_comes_with_its_notice(self, words, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(selection, "default_encoder", lambda: (Handcrafted(), "no network here"))
        words[2:4] = []
        assert main([*words, "-b", "3", "--json"]) == 0
        said = capsys.readouterr()
        assert "no network here" in said.err
        assert json.loads(said.out)["notices"] == ["no network here"]
        assert "no network here" in (tmp_path / "picks.html").read_text()

    def test_nothing_is_written_into_the_folder(self, words, photos):
        before = sorted(photos.rglob("*"))
        assert main([*words, "-b", "3", "--out", "elsewhere"]) == 0
        assert sorted(photos.rglob("*")) == before


class TestLabels:
    @pytest.mark.parametrize("how", ["path", "relative", "name", "key", "copy"])
    def test_they_are_found_by_path_name_key_or_content(self, how, words, photos, tmp_path, capsys):
        files = [
            photos / "stripes" / "stripes03.png",
            photos / "noise" / "noise02.png",
            photos / "blobs" / "blobs07.png",
        ]
        if how == "key":
            assert main([*words, "-b", "36", "--json"]) == 0
            keys = {pick["path"]: pick["key"] for pick in document(capsys)["picks"]}
            # Of two files of the same content the other one is the item.
            keys[str(files[0])] = keys[str(photos / "copy.png")]
            names = [keys[str(path)] for path in files]
        elif how == "copy":
            (tmp_path / "renamed.png").write_bytes(files[0].read_bytes())
            names = ["renamed.png", *map(str, files[1:])]
        else:
            shorten = {"path": str, "relative": lambda f: f"{f.parent.name}/{f.name}", "name": lambda f: f.name}[how]
            names = [shorten(path) for path in files]
        column = {"key": "key", "name": "id", "copy": "id"}.get(how, "path")
        lines = [f"{name},{path.parent.name}\n" for name, path in zip(names, files, strict=True)]
        (tmp_path / "labels.csv").write_text(f"{column},label\n" + "".join(lines))
        assert main([*words, "-b", "33", "--out", "x.csv", "--labels", "labels.csv", "--json"]) == 0
        said = capsys.readouterr()
        answer = json.loads(said.out)
        assert answer["labelled"] == 3
        assert answer["strategy"]["name"] == "adaptive"
        assert answer["spec"]["learner"]["name"] == "linear"
        picked = {pick["path"] for pick in answer["picks"]}
        assert len(picked) == 33
        assert not picked & {str(photos / "copy.png"), *map(str, files)}

    def test_a_table_of_picks_is_filled_in_and_handed_back(self, words, tmp_path, capsys):
        assert main([*words, "-b", "6"]) == 0
        rows = table(tmp_path / "picks.csv")
        for row in rows[:5]:
            row["label"] = group_of(row["path"])
        with (tmp_path / "picks.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        filled = (tmp_path / "picks.csv").read_bytes()
        # It is never written over.
        assert main([*words, "-b", "6", "--labels", "picks.csv"]) == 2
        assert "holds labels" in capsys.readouterr().err
        assert (tmp_path / "picks.csv").read_bytes() == filled
        assert main([*words, "-b", "31", "--labels", "picks.csv", "--out", "next", "--json"]) == 0
        answer = document(capsys)
        assert answer["labelled"] == 5
        taken = {row["path"] for row in rows[:5]}
        assert not taken & {pick["path"] for pick in answer["picks"]}
        assert sum(pick["stands_for"] for pick in answer["picks"]) == 31

    def test_a_label_of_a_near_copy_counts_for_what_was_kept(self, words, tmp_path, capsys):
        assert main([*words, "-b", "3", "--json"]) == 0
        (left_out,) = [e["path"] for e in document(capsys)["set_aside"] if e["reason"].startswith("near copy")]
        assert Path(left_out).name in ("near.png", "blobs04.png")
        (tmp_path / "labels.csv").write_text(f"path,label\n{left_out},blobs\nnoise00.png,noise\n")
        assert main([*words, "-b", "34", "--labels", "labels.csv", "--json"]) == 0
        answer = document(capsys)
        assert answer["labelled"] == 2
        assert not answer["notices"]
        assert not {"near.png", "blobs04.png"} & {Path(pick["path"]).name for pick in answer["picks"]}

    def test_what_was_set_aside_is_told_and_not_used(self, words, tmp_path, capsys):
        (tmp_path / "labels.csv").write_text("path,label\ncut.jpg,noise\nnoise00.png,noise\nblobs00.png,blobs\n")
        assert main([*words, "-b", "3", "--labels", "labels.csv"]) == 0
        assert "1 label is of items that cannot be used, and left out: cut.jpg (cut short" in capsys.readouterr().err

    def test_one_class_is_enough_to_go_on(self, words, tmp_path, capsys):
        (tmp_path / "labels.csv").write_text("path,label\nnoise00.png,noise\nnoise01.png,noise\n")
        assert main([*words, "-b", "3", "--labels", "labels.csv", "--json"]) == 0
        answer = document(capsys)
        assert answer["labelled"] == 2
        assert len({pick["path"] for pick in answer["picks"]}) == 3

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("path,label\nnone.png,a\nnoise00.png,b\n", "none.png"),
            ("path,label\nnoise00.png,a\nnoise/noise00.png,b\n", "labelled twice"),
            ("path,label\n,a\nnoise00.png,b\n", "line 2"),
            ("path\nnoise00.png\n", "columns id and label"),
        ],
    )
    def test_what_does_not_fit(self, text, says, words, tmp_path, capsys):
        (tmp_path / "labels.csv").write_text(text)
        assert main([*words, "-b", "3", "--labels", "labels.csv", "--json"]) == 2
        assert says in document(capsys)["error"]["message"]


class TestFeatures:
    def test_cold_from_a_file_takes_one_of_each_group(self, features, capsys):
        assert main(["select", str(features), "-b", "3", "-s", "k_center_greedy", "--json"]) == 0
        picks = document(capsys)["picks"]
        assert sorted(p["id"] // 20 for p in picks) == [0, 1, 2]
        assert [p["rank"] for p in picks] == [1, 2, 3]

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

    @pytest.mark.parametrize("strategy", ["k_center_greedy", "typiclust", "random", "max_herding"])
    def test_half_precision_gives_the_picks_of_single_precision(self, strategy, features, tmp_path, capsys):
        x = np.load(features).astype(np.float16)
        answers = []
        for dtype in (np.float16, np.float32):
            np.save(features, x.astype(dtype))
            assert main(["select", str(features), "-b", "9", "-s", strategy, "--json"]) == 0
            answers.append([(pick["id"], pick["utility"]) for pick in document(capsys)["picks"]])
        assert answers[0] == answers[1]

    def test_a_folder_gets_the_sheet_too_and_shows_keys(self, features, tmp_path):
        assert main(["select", str(features), "-b", "3", "--out", str(tmp_path / "out")]) == 0
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"picks.csv", "picks.html"}
        page = Page((tmp_path / "out" / "picks.html").read_text())
        assert not page.all("img")
        assert re.search(r"3 picks from 60 items · [^·]+ · adaptive", page.text)
        rows = table(tmp_path / "out" / "picks.csv")
        assert all(row["key"] in page.text for row in rows)
        assert sum(int(row["stands_for"]) for row in rows) == 60

    @pytest.mark.parametrize("strategy", ["k_center_greedy", "typiclust"])
    def test_picks_stand_for_their_neighbours_as_the_strategy_sees_them(self, strategy, tmp_path, capsys):
        rng = np.random.default_rng(5)
        x = (rng.normal(size=(60, 3)) * rng.uniform(0.1, 20.0, (60, 1))).astype(np.float32)
        np.save(tmp_path / "x.npy", x)
        words = ["select", str(tmp_path / "x.npy"), "-b", "7", "-s", strategy, "--out", str(tmp_path / "o"), "--json"]
        assert main(words) == 0
        picks = document(capsys)["picks"]
        seen = x if strategy == "k_center_greedy" else x / np.linalg.norm(x, axis=1, keepdims=True)
        ids = [pick["id"] for pick in picks]
        nearest = np.linalg.norm(seen[:, None] - seen[ids], axis=2).argmin(axis=1)
        assert [pick["stands_for"] for pick in picks] == np.bincount(nearest, minlength=7).tolist()

    def test_what_a_batch_loses_at_most_is_said(self, features, tmp_path, capsys):
        for limit, sampled in ((60, False), (30, True)):
            out, words = (
                tmp_path / str(limit),
                ["select", str(features), "-b", "3", "-s", f"max_herding(limit={limit})"],
            )
            assert main([*words, "--out", str(out), "--json"]) == 0
            found = document(capsys)
            certificate = found["certificate"]
            assert certificate["references"] == (15 if sampled else 60)
            assert 0.0 < certificate["share"] == min(certificate["added"] / certificate["most"], 1.0)
            estimated = [notice for notice in found["notices"] if "gains were estimated from 15 of 60 rows" in notice]
            assert len(estimated) == sampled
            said = f"at least {int(1000 * certificate['share']) / 10}% of what the best one of its size could add"
            assert said in Page((out / "picks.html").read_text()).text
        assert main(["select", str(features), "-b", "3", "-s", "random", "--json"]) == 0
        assert document(capsys)["certificate"] is None

    def test_what_was_encoded_keeps_its_paths_and_leaves_out_near_copies(
        self, photos, store, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        assert main(["encode", str(photos), "--encoder", "handcrafted", "--store", str(store)]) == 0
        capsys.readouterr()
        assert main(["select", "features.npy", "-b", "36", "-s", "random", "--json"]) == 0
        picks = document(capsys)["picks"]
        assert all(Path(pick["path"]).is_file() for pick in picks)
        assert len({"near.png", "blobs04.png"} & {Path(pick["path"]).name for pick in picks}) == 1
        assert not list(tmp_path.glob("picks*"))

    @pytest.mark.parametrize("source", ["nothing.npy", "no/such/folder", "photos.d"])
    def test_a_source_that_is_not_there(self, source, capsys):
        assert main(["select", source, "-b", "3"]) == 2
        assert "there is no" in capsys.readouterr().err

    def test_a_folder_with_the_name_of_a_dataset(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "digits").mkdir()
        assert main(["select", "digits", "-b", "3"]) == 2
        assert "./digits" in capsys.readouterr().err
        assert main(["select", "digits()", "-b", "3", "--json"]) == 0


@pytest.mark.parametrize(
    ("out", "sheet", "of_images", "expected"),
    [
        (None, None, True, Targets(Path("picks.csv"), Path("picks.html"), Path("set_aside.csv"))),
        (None, None, False, Targets(None, None, None)),
        (None, Path("s.html"), False, Targets(None, Path("s.html"), None)),
        (Path("a.csv"), None, True, Targets(Path("a.csv"), None, Path("set_aside.csv"))),
        (Path("d/a.CSV"), Path("s.html"), False, Targets(Path("d/a.CSV"), Path("s.html"), None)),
        (Path("d"), Path("s.html"), True, Targets(Path("d/picks.csv"), Path("s.html"), Path("d/set_aside.csv"))),
        (Path("d"), None, False, Targets(Path("d/picks.csv"), Path("d/picks.html"), None)),
    ],
)
def test_where_files_go(out, sheet, of_images, expected):
    assert targets(out, sheet, of_images) == expected


def test_a_file_that_is_no_table_of_picks_is_not_replaced(features, tmp_path, capsys):
    target = tmp_path / "mine.csv"
    target.write_bytes(b"\xff\xfe something else")
    assert main(["select", str(features), "-b", "3", "--out", str(target)]) == 2
    assert target.read_bytes() == b"\xff\xfe something else"
    assert "not replaced" in " ".join(capsys.readouterr().err.split())


def _jpeg() -> bytes:
    stream = BytesIO()
    picture("noise", 99).save(stream, format="JPEG")
    return stream.getvalue()


class TestRefusals:
    """What cannot work is said in short, with what would."""

    def test_a_strategy_that_the_learner_does_not_feed(self, features, capsys):
        assert main(["select", str(features), "--budget", "3", "--strategy", "bald"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "there are no draws" in said
        assert "querist strategies --for linear lists" in said
        assert "neighbours:" not in said

    def test_an_oracle_where_nobody_knows_the_labels(self, features, capsys):
        assert main(["select", str(features), "--budget", "3", "--strategy", "class_uniform_oracle"]) == 2
        assert "only a labelled benchmark has" in " ".join(capsys.readouterr().err.split())

    def test_nothing_left_to_pick(self, features, tmp_path, capsys):
        done = tmp_path / "done.csv"
        done.write_text("id,label\n" + "".join(f"{i},{i % 3}\n" for i in range(60)))
        assert main(["select", str(features), "--budget", "3", "--labels", str(done)]) == 2
        assert "all 60 items have a label" in " ".join(capsys.readouterr().err.split())

    def test_the_strategy_that_chose_is_named_where_picks_go_to_a_file(self, features, tmp_path, capsys):
        assert main(["select", str(features), "--budget", "3", "--out", str(tmp_path / "picks.csv")]) == 0
        assert "adaptive: 3 of 60 items, written to" in " ".join(capsys.readouterr().err.split())
