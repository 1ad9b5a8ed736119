"""Encoding by several processes: the same bytes, resumed in the middle, errors told, cards and cores shared out."""

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from querist.cli.main import main
from querist.cli.sources import open_source
from querist.encoders import spread
from querist.encoders.handcrafted import Handcrafted
from querist.encoders.spread import Spread, places_for
from querist.encoders.timm import Timm
from querist.errors import DataError, SpecError
from querist.evidence import features
from querist.evidence.cache import FolderCache
from querist.evidence.features import compute_features, encode_here
from querist.evidence.needs import Features
from querist.seeds import Seed

N = 23
ENCODER = Handcrafted(size=16)


@pytest.fixture
def opener(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(features, "CHUNK", 4)
    (tmp_path / "photos").mkdir()
    for i in range(N):
        image = np.random.default_rng(i).integers(0, 256, (20, 20 + i, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
    return partial(open_source, str(tmp_path / "photos"), store=tmp_path / "store")


def encoded(data, encoding, cache=None):
    return compute_features(data, ENCODER, Seed(0), cache, encoding)[Features(frame="all", normalise=False)]


class TestFeatures:
    def test_are_those_of_one_process(self, opener):
        data = opener()
        assert (encoded(data, Spread(opener, 2)) == encoded(data, encode_here)).all()

    def test_are_continued_where_another_was_stopped(self, opener, tmp_path):
        """Whoever begins, in one process or in two, the other one ends, and nothing is encoded twice."""
        data = opener()
        whole = encoded(data, encode_here)
        for first, second in ((encode_here, Spread(opener, 2)), (Spread(opener, 2), encode_here)):
            cache, starts = FolderCache(tmp_path / f"cache{first is encode_here}"), []

            def stopped(*job, encoding=first):
                for number, block in enumerate(encoding(*job)):
                    if number == 3:
                        raise KeyboardInterrupt
                    yield block

            def watched(data, encoder, seed, start, encoding=second, starts=starts):
                starts.append(start)
                return encoding(data, encoder, seed, start)

            with pytest.raises(KeyboardInterrupt):
                encoded(data, stopped, cache)
            assert (encoded(data, watched, cache) == whole).all()
            assert starts == [12]

    def test_of_the_command(self, opener, tmp_path, capsys):
        assert main(["encode", "photos", "-e", "handcrafted(size=16)", "--store", "one", "-o", "one.npy"]) == 0
        command = ["encode", "photos", "-e", "handcrafted(size=16)", "--store", "two", "-o", "two.npy"]
        assert main([*command, "--devices", "2"]) == 0
        assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()
        assert main([*command, "--devices", "0"]) == 2
        assert "at least 1 device" in capsys.readouterr().err

    def test_errors_of_a_process_are_told(self, opener):
        data = opener()
        other = partial(open_source, "digits")
        with pytest.raises(DataError, match="the data changed while"):
            encoded(data, Spread(other, 2))


class TestPlaces:
    def cards(self, monkeypatch, count, visible=None):
        torch = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: count))
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setattr(spread, "find_spec", lambda name: object())
        monkeypatch.setattr(spread.os, "cpu_count", lambda: 8)
        monkeypatch.delenv(spread.CARDS, raising=False)
        if visible:
            monkeypatch.setenv(spread.CARDS, visible)

    def test_are_cards_where_the_encoder_takes_one(self, monkeypatch):
        self.cards(monkeypatch, 4)
        found = places_for(Timm(), 2)
        assert [(place.environment, place.threads) for place in found] == [
            ({"CUDA_VISIBLE_DEVICES": "0"}, 4), ({"CUDA_VISIBLE_DEVICES": "1"}, 4),
        ]  # fmt: skip
        with pytest.raises(SpecError, match="5 devices were asked for, and there are 4 graphics cards"):
            places_for(Timm(), 5)

    def test_are_those_cards_that_this_process_may_use(self, monkeypatch):
        self.cards(monkeypatch, 2, "GPU-7,3")
        assert [place.environment[spread.CARDS] for place in places_for(Timm(device="cuda"), 2)] == ["GPU-7", "3"]

    @pytest.mark.parametrize("encoder", [Timm(device="cpu"), ENCODER])
    def test_are_cores_otherwise(self, monkeypatch, encoder):
        self.cards(monkeypatch, 4)
        assert [tuple(place) for place in places_for(encoder, 3)] == [({}, 2)] * 3
        with pytest.raises(SpecError, match="9 devices were asked for, and there are 8 cores"):
            places_for(encoder, 9)

    def test_are_cores_without_cards(self, monkeypatch):
        self.cards(monkeypatch, 0)
        assert [place.environment for place in places_for(Timm(), 2)] == [{}, {}]
