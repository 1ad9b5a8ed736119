"""``querist encode``: features of images as files, resumed after a kill, every mistake answered with advice."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from querist.cli.encoding import Meter
from querist.cli.main import main
from querist.data.images import ingest, prints
from querist.encoders import default
from querist.encoders.handcrafted import describe_image
from querist.encoders.resize import squash

N = 30


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of coloured noise in the working directory, with a file that is no image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUERIST_STORE", raising=False)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N):
        tint = rng.integers(0, 200, 3)
        image = (tint + rng.integers(0, 56, (20 + i, 30, 3))).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder


def document(capsys):
    return json.loads(capsys.readouterr().out)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestFiles:
    def test_hold_one_row_per_image_and_say_which(self, photos, tmp_path, capsys):
        assert main(["encode", "photos", "--encoder", "handcrafted", "--json"]) == 0
        answer = document(capsys)
        x = np.load(tmp_path / "features.npy")
        assert x.dtype == np.float16
        assert x.shape == (N, 458) == tuple(answer["shape"])
        table = rows(tmp_path / "features.csv")
        assert [int(row["row"]) for row in table] == list(range(N))
        assert {row["split"] for row in table} == {"pool"}
        assert len({row["key"] for row in table}) == N
        for row, features in zip(table, x, strict=True):
            image = np.asarray(Image.open(tmp_path / row["path"]))
            np.testing.assert_allclose(features, describe_image(squash(image, 64)), atol=2e-3)
        assert answer["encoder"] == {"name": "handcrafted", "size": 64}
        assert answer["encoded"] == N
        assert answer["per_second"] > 0
        assert [entry["path"] for entry in answer["set_aside"]] == ["photos/broken.jpg"]
        assert rows(tmp_path / "features.set_aside.csv")[0]["path"] == "photos/broken.jpg"
        record = json.loads((tmp_path / "features.json").read_text())
        assert record.items() <= answer.items()
        assert not list(photos.glob("*.npy"))

    def test_are_written_again_without_encoding_again(self, photos, tmp_path, capsys):
        assert main(["encode", "photos", "-e", "handcrafted"]) == 0
        first = (tmp_path / "features.npy").read_bytes()
        capsys.readouterr()
        assert main(["encode", "photos", "-e", "handcrafted", "--json"]) == 0
        answer = document(capsys)
        assert (answer["encoded"], answer["per_second"]) == (0, None)
        assert (tmp_path / "features.npy").read_bytes() == first

    def test_can_be_more_precise(self, photos, tmp_path):
        assert main(["encode", "photos", "-e", "handcrafted(size=32)", "--precision", "float32", "-o", "f.npy"]) == 0
        assert main(["encode", "photos", "-e", "handcrafted(size=32)", "-o", "h.npy"]) == 0
        f, h = np.load(tmp_path / "f.npy"), np.load(tmp_path / "h.npy")
        assert f.dtype == np.float32
        assert (f.astype(np.float16) == h).all()
        assert (f != h).any()

    def test_of_a_registered_dataset(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert main(["encode", "digits", "--store", "store", "--json"]) == 0
        answer = document(capsys)
        assert answer["encoder"] == {"name": "pixels", "pca": None}
        assert answer["notice"] is None
        assert answer["shape"] == [1797, 64]
        assert {row["split"] for row in rows(tmp_path / "features.csv")} == {"pool", "test"}
        assert len(list((tmp_path / "store" / "cache").glob("*.npy"))) == 2

    def test_select_finds_everything_computed(self, photos, tmp_path, capsys):
        assert main(["encode", "photos", "-e", "handcrafted"]) == 0
        before = sorted((tmp_path / "querist-store" / "cache").iterdir())
        assert main(["select", "photos", "--features", "handcrafted", "--budget", "3", "--out", "picked"]) == 0
        assert sorted((tmp_path / "querist-store" / "cache").iterdir()) == before


class TestDefault:
    def test_that_is_not_the_best_is_said_and_recorded(self, photos, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(default, "find_spec", lambda name: None)
        assert main(["encode", "photos", "--json"]) == 0
        shown = capsys.readouterr()
        answer = json.loads(shown.out)
        assert answer["encoder"]["name"] == "handcrafted"
        assert "torch, torchvision" in answer["notice"] or "torch and torchvision" in answer["notice"]
        assert "Note:" in shown.err
        assert json.loads((tmp_path / "features.json").read_text())["notice"] == answer["notice"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["nowhere"], "there is no file or folder 'nowhere'"),
            (["photos", "-e", "handcraftd"], "Did you mean 'handcrafted'?"),
            (["photos", "-e", "handcrafted(size=30)"], "multiple of 4"),
            (["photos", "-e", "backbone(path='none.npz')"], "expected a file of weights at none.npz"),
            (["photos", "--out", "features.csv"], "a file that ends in .npy, got features.csv"),
            (["digits", "-e", "pixels(pca=65)"], "65 components do not fit"),
        ],
    )
    def test_are_answered_with_advice(self, photos, words, message, capsys, tmp_path):
        assert main(["encode", *words, "--json"]) == 2
        assert message in document(capsys)["error"]["message"]
        assert not (tmp_path / "features.npy").exists()

    def test_a_file_of_somebody_else_is_not_replaced(self, photos, tmp_path, capsys):
        for name in ("features.npy", "features.csv", "features.json"):
            (tmp_path / name).write_text("{}")
            assert main(["encode", "photos", "-e", "handcrafted"]) == 2
            assert "was not written by querist encode" in capsys.readouterr().err.replace("\n", " ")
            assert (tmp_path / name).read_text() == "{}"
            (tmp_path / name).unlink()

    def test_numbers_too_large_for_half_precision(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        x = np.ones((6, 3), np.float32)
        x[4] = 1e6
        np.save(tmp_path / "items.npy", x)
        assert main(["encode", "items.npy", "--store", "store", "--json"]) == 2
        message = document(capsys)["error"]["message"]
        assert "ids 4" in message
        assert "--precision float32" in message
        assert main(["encode", "items.npy", "--store", "store", "--precision", "float32"]) == 0
        assert (np.load(tmp_path / "features.npy") == x).all()


def test_help_teaches(capsys):
    assert main(["encode", "--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("--encoder", "--out", "--store", "--json", "handcrafted", "killed", "select"):
        assert word in shown


SLOW = """
    import sys
    from querist.cli import encoding
    from querist.encoders import handcrafted
    from querist.evidence import features, parts

    features.CHUNK, parts.RECORD_SECONDS = 4, 0
    describe, seen = handcrafted.describe_image, []

    def watched(image):
        seen.append(1)
        if len(seen) == int(sys.argv[1]):
            print("here", flush=True)
            sys.stdin.read()
        return describe(image)

    handcrafted.describe_image = watched
    encoding.os.cpu_count = lambda: 1
    from querist.cli.main import main
    status = main(["encode", "photos", "-e", "handcrafted"])
    print("seen", len(seen))
    sys.exit(status)
"""


def test_a_killed_command_continues_where_it_stopped(photos, tmp_path):
    def run(stop, **options):
        command = [sys.executable, "-c", textwrap.dedent(SLOW), str(stop)]
        return subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with run(18) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "features.npy").exists()
    with run(-1) as process:
        shown, _ = process.communicate("")
        assert process.returncode == 0
    # Sixteen images were on disk in whole blocks of four.
    assert shown.splitlines()[-1] == f"seen {N - 16}"
    continued = (tmp_path / "features.npy").read_bytes()
    assert main(["encode", "photos", "-e", "handcrafted", "--store", "other", "-o", "whole.npy"]) == 0
    assert (tmp_path / "whole.npy").read_bytes() == continued


@pytest.mark.parametrize("last", [".json", ".csv", ".npy"])
def test_a_command_that_is_killed_while_it_writes_can_be_given_again(photos, tmp_path, monkeypatch, last):
    """Whatever it wrote last, the next one knows the files for its own and completes them."""
    replace = Path.replace

    def killed(source, target):
        moved = replace(source, target)
        if Path(target).parent == Path() and Path(target).suffix == last:
            raise KeyboardInterrupt
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        assert main(["encode", "photos", "-e", "handcrafted"]) == 130
    assert main(["encode", "photos", "-e", "handcrafted"]) == 0
    assert len(np.load("features.npy")) == len(rows(tmp_path / "features.csv")) == N


def test_images_are_read_by_several_threads_before_they_are_encoded(photos, tmp_path, monkeypatch):
    both, met = Barrier(2, timeout=5), []

    def take_print(image, size):
        if not met:
            both.wait()  # for another thread that is reading too
            met.append(1)
        return prints.take_print(image, size)

    monkeypatch.setattr("querist.cli.encoding.os.cpu_count", lambda: 2)
    monkeypatch.setattr(ingest, "take_print", take_print)
    assert main(["encode", "photos", "-e", "handcrafted"]) == 0
    assert len(rows(tmp_path / "features.csv")) == N


def test_the_meter_counts_what_is_encoded_now_and_passes_news_on(monkeypatch):
    now = iter([10.0, 12.0, 14.0])
    monkeypatch.setattr("querist.cli.encoding.time.perf_counter", lambda: next(now))
    heard = []
    meter = Meter(lambda *news: heard.append(news))
    assert meter.per_second is None
    for news in (("reading", 1, 2), ("encoding", 40, 100), ("encoding", 60, 100), ("encoding", 100, 100)):
        meter(*news)
    assert (meter.rows, meter.per_second) == (60, 15.0)
    assert heard[0] == ("reading", 1, 2)
    assert len(heard) == 4
