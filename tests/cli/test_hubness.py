"""Hubs among features are reported wherever features are made or chosen from, and warned of."""

import json

import numpy as np
import pytest

from querist.cli.main import main
from querist.data.memory import from_arrays
from querist.evidence.features import unit_rows
from querist.kernels.hubness import LIMIT, hubness
from querist.seeds import Seed
from querist.session.hubs import pool_hubness
from querist.session.setting import Setting


def rows(shift: float, n: int = 900) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(n, 80)) * np.linspace(1, 0.1, 80)
    return (x + shift).astype(np.float32)


@pytest.fixture(params=[0.0, 3.0], ids=["plain", "hubs"])
def features(request, tmp_path):
    path = tmp_path / "features.npy"
    np.save(path, rows(request.param))
    return request.param > 0, str(path)


def test_select_reports_hubs_and_warns_of_them(features, capsys):
    hubs, path = features
    assert main(["select", path, "--budget", "5", "--strategy", "k_center_greedy", "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    x = unit_rows(rows(3.0 if hubs else 0.0))
    key = Seed(0).child(document["spec"]["dataset"]["name"], "hubness").key()
    assert document["hubness"] == hubness(x, key.hash(np.arange(900)))._asdict()
    assert (document["hubness"]["raw"] > 3) == hubs
    assert document["hubness"]["centred"] < 1.5
    words = " ".join(said.err.split())
    assert ("near neighbours of everything" in words) == hubs
    assert any("near neighbours" in notice for notice in document["notices"]) == hubs


def test_encode_reports_hubs_and_warns_of_them(features, tmp_path, capsys):
    hubs, path = features
    out = tmp_path / "encoded.npy"
    words = ["encode", path, "--encoder", "pixels", "--out", str(out), "--store", str(tmp_path / "store"), "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["hubness"]["raw"] > 3) == hubs
    words = " ".join(said.err.split())
    assert f"Hubness {document['hubness']['raw']:.1f}, after centring" in words
    assert ("near neighbours of everything" in words) == hubs


def test_the_pool_alone_counts_and_a_large_one_is_sampled(monkeypatch):
    x = rows(1.0, 300)
    data = from_arrays("some", x, np.arange(300) % 2, split=["pool" if i < 200 else "test" for i in range(300)])
    found = pool_hubness(Setting(data))
    key = Seed(0).child("some", "hubness").key()
    assert found == hubness(unit_rows(x[:200]), key.hash(np.arange(200)))
    monkeypatch.setattr("querist.session.hubs.LIMIT", 50)
    part = pool_hubness(Setting(data))
    assert (part.rows, part.of) == (50, 200)
    sample = np.sort(np.argsort(key.hash(np.arange(200)))[:50])
    assert part.raw == hubness(unit_rows(x[sample]), key.hash(sample)).raw
    assert LIMIT == 5_000
