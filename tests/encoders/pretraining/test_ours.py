"""DeepCluster, VAE, rotation and SCAN: settings without torch, kills that change nothing, what SCAN begins with."""

import json
import math
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.encoders.pretrained import Pretrained
from querist.encoders.pretraining.base import methods
from querist.encoders.pretraining.training import pretrain
from querist.errors import DataError, SpecError
from querist.progress import listening
from querist.registry import describe

NAMES = ("deep_cluster", "rotation", "scan", "vae")
SMALL = {
    "deep_cluster": {"net": "small_cnn", "clusters": 4},
    "rotation": {"net": "small_cnn"},
    "scan": {"neighbours": 3, "label_batch": 12, "threshold": 0.3, "self_labelling": 0.3, "lr": 0.01},
    "vae": {"net": "small_cnn", "latent": 4},
}
KEPT = {"deep_cluster": "deep_cluster", "rotation": "rotation_loss", "scan": "scan_probs", "vae": "vae_loss"}


class TestSettings:
    def test_can_be_listed_built_and_described_without_torch(self):
        code = (
            "import sys; sys.modules['torch'] = None; from querist.encoders.pretraining.base import methods; "
            f"from querist.registry import describe; print([describe(methods.build(n))['name'] for n in {NAMES}])"
        )
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == str(list(NAMES))

    @pytest.mark.parametrize("name", NAMES)
    def test_every_preset_is_built_and_described_again(self, name):
        for preset in methods.card(name).presets:
            built = methods.build({"name": name, "preset": preset})
            assert methods.build(describe(built)) == built

    def test_published_rates(self):
        s3 = methods.build({"name": "rotation", "preset": "S3"})
        assert [s3.rate(t, 200) for t in (0, 59, 60, 119, 120, 160, 199)] == pytest.approx(
            [0.1, 0.1, 0.02, 0.02, 0.004, 0.0008, 0.0008]
        )
        assert methods.build({"name": "deep_cluster", "preset": "S1"}).peak == pytest.approx(0.02)
        assert methods.build({"name": "deep_cluster", "preset": "paper"}).peak == pytest.approx(0.05)
        vae = methods.build({"name": "vae", "preset": "S3"})
        assert vae.peak == vae.rate(99, 100) == 1e-3

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [("deep_cluster", {"clusters": 1}), ("deep_cluster", {"whiten": -1}), ("rotation", {"crop": 0.6}),
         ("vae", {"latent": 0}), ("vae", {"weight": -1.0}), ("scan", {"threshold": 1.0}), ("scan", {"clusters": 1}),
         ("scan", {"self_labelling": 1.0}), ("scan", {"neighbours": 0}), ("scan", {"operations": 0}),
         ("scan", {"label_batch": 1}), ("scan", {"entropy": -1.0}), ("vae", {"batch": 1})],
    )  # fmt: skip
    def test_impossible_settings_are_refused(self, name, wrong):
        with pytest.raises(SpecError, match="Expected"):
            methods.build({"name": name, **wrong})


def toy(n=32, side=8, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = (rng.integers(0, 200, (2, side, side, 1))[y] + rng.integers(0, 56, (n, side, side, 1))).astype(np.uint8)
    return from_arrays("toy", x, y, split=np.where(np.arange(n) % 4 == 3, "test", "pool"))


def train(folder, name, init, look=None, seed=0, data=None, **settings):
    spec = {"name": name, "epochs": 3, "batch": 12, **SMALL[name], **settings}
    if name == "scan":
        spec["init"] = str(init)
    watched = {"look": look} if look else {}
    return pretrain(data or toy(), methods.build(spec), Path(folder), device="cpu", seed=seed, **watched)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SCRIPT = """
    import os, signal, sys
    sys.path.insert(0, {here!r})
    from test_ours import train
    from querist.progress import listening
    def die(what, done, total):
        if what == "pre-training" and done >= 2 / 3 * total:
            os.kill(os.getpid(), signal.SIGKILL)
    with listening(die):
        train({folder!r}, "scan", {init!r})
"""


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    """A folder of a backbone to begin with, which kept a loss."""
    pytest.importorskip("torch", reason="needs the extra deep")
    folder = tmp_path_factory.mktemp("init") / "rotation"
    train(folder, "rotation", None, epochs=1)
    return folder


@pytest.mark.deep
class TestTraining:
    @pytest.fixture(autouse=True)
    def _torch(self):
        for library in ("torch", "lightning_fabric", "safetensors"):
            pytest.importorskip(library, reason="needs the extra deep")

    @pytest.mark.parametrize("name", NAMES)
    def test_a_training_that_breaks_off_ends_with_the_same_files(self, tmp_path, init, name):
        done = train(tmp_path / "whole", name, init)
        assert KEPT[name] in done.traces

        def stop(epoch, embed):
            if epoch == 2:
                raise KeyboardInterrupt
            return {}

        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "other", name, init, look=stop)
        heard = []
        with listening(lambda what, done, total: heard.append((what, done))):
            again = train(tmp_path / "other", name, init)
        assert min(done for what, done in heard if what == "pre-training") > 2, "its first epoch was not done again"
        assert again == done
        assert contents(tmp_path / "other") == contents(tmp_path / "whole")
        assert [entry["epoch"] for entry in done.history] == [1, 2, 3]
        assert all(math.isfinite(entry["loss"]) for entry in done.history)

    def test_a_killed_training_ends_with_the_same_files(self, tmp_path, init):
        here, killed = str(Path(__file__).parent), tmp_path / "killed"
        script = textwrap.dedent(SCRIPT.format(here=here, folder=str(killed), init=str(init)))
        assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
        assert (killed / "state").is_dir()
        train(tmp_path / "whole", "scan", init)
        train(killed, "scan", init)
        assert contents(killed) == contents(tmp_path / "whole")

    def test_the_seed_matters(self, tmp_path):
        for seed in (0, 1):
            train(tmp_path / str(seed), "vae", None, seed=seed, epochs=1)
        one, other = (np.load(tmp_path / str(seed) / "traces" / "vae_loss.npy") for seed in (0, 1))
        assert not np.allclose(one, other)

    def test_scan_begins_with_a_backbone_and_passes_on_what_it_kept(self, tmp_path, init):
        done = train(tmp_path / "scan", "scan", init, lr=1e-12, weight_decay=0.0)
        assert done.traces == ("rotation_loss", "scan_probs")
        data = toy()
        first, last = (Pretrained(path=str(folder)) for folder in (init, tmp_path / "scan"))
        assert np.array_equal(first.trace("rotation_loss", data), last.trace("rotation_loss", data))
        assert last.trace("scan_probs", data).shape == (32, 2)
        card, start = (json.loads((tmp_path / "scan" / part / "card.json").read_text()) for part in ("", "start"))
        assert card["net"] == start["net"] == "small_cnn"
        from querist.nets.backbones import read_backbone

        begun, trained, random = (
            dict(read_backbone(path)[0].named_parameters())
            for path in (init, tmp_path / "scan", tmp_path / "scan" / "start")
        )
        for name, value in begun.items():
            assert np.allclose(value.detach(), trained[name].detach(), atol=1e-6)
        assert any(not np.allclose(value.detach(), random[name].detach(), atol=1e-3) for name, value in begun.items())

    def test_identity_is_the_content_of_what_scan_begins_with(self, tmp_path, init):
        shutil.copytree(init, tmp_path / "copy")
        one, other = (methods.build({"name": "scan", "init": str(path)}) for path in (init, tmp_path / "copy"))
        assert one.identity() == other.identity()
        assert str(init.parent) not in str(one.identity())
        card = json.loads((tmp_path / "copy" / "card.json").read_text())
        (tmp_path / "copy" / "card.json").write_text(json.dumps({**card, "std": [1.0]}))
        assert one.identity() != other.identity()

    def test_what_scan_cannot_begin_with_is_refused(self, tmp_path, init):
        with pytest.raises(SpecError, match="set init to its folder"):
            train(tmp_path / "a", "scan", "")
        with pytest.raises(DataError, match="querist pretrain wrote"):
            train(tmp_path / "a", "scan", tmp_path)
        with pytest.raises(SpecError, match="leave out net"):
            train(tmp_path / "a", "scan", init, net="strided_cnn")
        with pytest.raises(DataError, match="of 8 x 8 with 1 channels, these are of 12 x 12"):
            train(tmp_path / "a", "scan", init, data=toy(side=12))
        done = train(tmp_path / "other", "scan", init, data=toy(seed=1), epochs=1)
        assert done.traces == ("scan_probs",), "statistics of other images are not passed on"
