"""The encoder of a pre-trained backbone, and the training that makes one: content is identity, nothing leaks in."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from querist.arrays import SealedArray
from querist.data.memory import ArrayItems, from_arrays
from querist.encoders.base import encoders
from querist.encoders.pretrained import Pretrained, write_traces
from querist.encoders.pretraining.base import methods
from querist.encoders.pretraining.training import pretrain
from querist.errors import DataError, LeakError
from querist.evidence.needs import PretrainTrace
from querist.evidence.view import View
from querist.progress import recording
from querist.seeds import Seed
from querist.session.setting import Setting
from querist.testing.contract import EncoderContract
from querist.testing.spy import SpyItems

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytest.importorskip("lightly", reason="needs the extra ssl")
pytestmark = pytest.mark.deep

SETTINGS = {"net": "small_cnn", "epochs": 2, "batch": 16, "width": 8, "loss_views": 2}


class Poisoned(SealedArray):
    def unseal(self):
        raise LeakError("labels were read")


def toy(n=40, channels=1, side=8, **settings):
    """Noisy patterns of two classes, a quarter of them test items, whose labels nobody can read."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = (rng.integers(0, 200, (2, side, side, channels))[y] + rng.integers(0, 56, (n, side, side, channels))).astype(
        np.uint8
    )
    split = np.where(np.arange(n) % 4 == 3, "test", "pool")
    data = from_arrays("toy", x, y, split=split, **settings)
    return dataclasses.replace(data, labels=Poisoned(y))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of SimCLR on `toy`."""
    folder = tmp_path_factory.mktemp("ssl") / "simclr"
    done = pretrain(toy(), methods.build({"name": "simclr", **SETTINGS}), folder, device="cpu")
    assert done.traces == ("contrast_prob_T0.1", "simclr_loss")
    return folder


def encoded(folder, data):
    return Pretrained(path=str(folder), device="cpu").fit(View(data, data.pool), Seed(0)).encode(View(data, data.pool))


class TestContract(EncoderContract):
    shape = (8, 8, 1)

    def make(self):
        return Pretrained(path=self.folder, device="cpu")

    @pytest.fixture(autouse=True)
    def _folder(self, trained):
        self.folder = str(trained)

    def dataset(self):
        data = EncoderContract.dataset(self)
        images = np.clip(data.items[np.arange(len(data.items))] * 30 + 128, 0, 255).astype(np.uint8)
        return dataclasses.replace(data, items=ArrayItems(images))


class TestTraining:
    def test_reads_pool_images_alone_and_no_label(self, tmp_path):
        data = toy()
        spy = SpyItems(data.items)
        pretrain(
            dataclasses.replace(data, items=spy), methods.build({"name": "simsiam", **SIMSIAM}), tmp_path, device="cpu"
        )
        assert set(spy.read()) == set(data.pool.tolist())

    def test_is_done_once_and_of_one_thing(self, trained):
        records = []
        with recording(lambda event, values: records.append(values)):
            again = pretrain(toy(), methods.build({"name": "simclr", **SETTINGS}), trained, device="cpu")
        assert not records
        assert [entry["epoch"] for entry in again.history] == [1, 2]
        for other, what in (
            ({"epochs": 3}, "method"),
            ({}, "dataset"),
            ({}, "seed"),
        ):
            data = toy(n=44) if what == "dataset" else toy()
            method = methods.build({"name": "simclr", **SETTINGS, **other})
            with pytest.raises(DataError, match=f"another pre-training: its {what} differ"):
                pretrain(data, method, trained, seed=int(what == "seed"), device="cpu")

    def test_the_same_command_gives_the_same_folder(self, trained, tmp_path):
        pretrain(toy(), methods.build({"name": "simclr", **SETTINGS}), tmp_path / "again", device="cpu")
        files = sorted(path.relative_to(trained) for path in trained.rglob("*") if path.is_file())
        assert files == sorted(
            p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
        )
        for file in files:
            assert (trained / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file

    def test_starts_from_weights_that_are_kept_to_compare_with(self, trained):
        start, end = (encoded(folder, toy()) for folder in (trained / "start", trained))
        assert start.shape == end.shape == (30, 96)
        assert not np.allclose(start, end)
        assert Pretrained(path=str(trained / "start")).traces() == ()

    def test_what_another_training_left_is_refused_and_left_alone(self, tmp_path):
        def stop(epoch, embed):
            raise KeyboardInterrupt

        method = methods.build({"name": "simclr", **SETTINGS})
        with pytest.raises(KeyboardInterrupt):
            pretrain(toy(), method, tmp_path, seed=1, device="cpu", look=stop)
        done = pretrain(toy(), method, tmp_path, device="cpu")  # no epoch of the other one was finished
        whole = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(DataError, match="another pre-training"):
            pretrain(toy(), method, tmp_path, seed=1, device="cpu")
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == whole
        assert len(done.history) == 2

    def test_a_collapse_is_told(self, tmp_path):
        data = dataclasses.replace(toy(), items=ArrayItems(np.full((40, 8, 8, 1), 9, np.uint8)))
        method = methods.build({"name": "simclr", **SETTINGS, "crop": 1.0, "jitter": 0.0, "loss_views": 0})
        (notice,) = pretrain(data, method, tmp_path, device="cpu").notices
        assert "collapsed" in notice

    def test_items_that_are_no_images_and_tiny_pools_are_refused(self, tmp_path):
        method = methods.build({"name": "simclr", **SETTINGS})
        with pytest.raises(DataError, match="uint8"):
            pretrain(from_arrays("rows", np.random.default_rng(0).random((9, 3)), np.arange(9) % 2), method, tmp_path)
        one = from_arrays("one", np.zeros((2, 8, 8), np.uint8), np.arange(2), split=np.array(["pool", "test"]))
        with pytest.raises(DataError, match="at least two images"):
            pretrain(one, method, tmp_path)


SIMSIAM = {"net": "small_cnn", "epochs": 1, "batch": 16, "width": 8, "hidden": 8, "bottleneck": 4}


class TestFeatures:
    def test_are_the_backbone_on_clean_normalised_images(self, trained):
        from querist.nets.backbones import read_backbone

        data = toy()
        backbone, card = read_backbone(trained)
        x = torch.from_numpy(data.items[data.pool].transpose(0, 3, 1, 2).astype(np.float32))
        with torch.no_grad():
            expected = backbone((x - card.mean[0]) / card.std[0])
        np.testing.assert_allclose(encoded(trained, data), expected.numpy(), rtol=1e-4, atol=1e-4)
        pool = data.items[data.pool].astype(np.float64)
        assert card.mean[0] == pytest.approx(pool.mean())
        assert card.std[0] == pytest.approx(pool.std())

    def test_images_of_another_size_are_resized_and_colour_is_refused_by_a_grey_backbone(self, trained):
        flat = np.repeat(np.arange(40, dtype=np.uint8) * 6, 15 * 11).reshape(40, 15, 11, 1)
        small, large = (dataclasses.replace(toy(), items=ArrayItems(x)) for x in (flat[:, :8, :8], flat))
        a, b = encoded(trained, small), encoded(trained, large)
        assert len(np.unique(a.round(4), axis=0)) == 30
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        with pytest.raises(DataError, match="trained on grey images"):
            encoded(trained, toy(channels=3))

    def test_grey_images_are_repeated_for_a_backbone_of_colour(self, tmp_path):
        grey = toy()
        colour = dataclasses.replace(grey, items=ArrayItems(grey.items[np.arange(40)].repeat(3, axis=3)))
        pretrain(colour, methods.build({"name": "simsiam", **SIMSIAM}), tmp_path, device="cpu")
        assert np.array_equal(encoded(tmp_path, grey), encoded(tmp_path, colour))

    def test_serve_a_session_by_a_composition(self, trained):
        setting = Setting(toy(), f"pretrained(path={str(trained)!r}, device='cpu')")
        assert setting.spec["features"] == Pretrained(path=str(trained)).identity()


class TestIdentity:
    def test_is_the_content_and_neither_place_nor_device(self, trained, tmp_path):
        shutil.copytree(trained, tmp_path / "copy")
        one, other = Pretrained(path=str(trained)), Pretrained(path=str(tmp_path / "copy"), device="cpu")
        assert one.identity() == other.identity()
        assert str(trained) not in str(one.identity())
        card = json.loads((tmp_path / "copy" / "card.json").read_text())
        (tmp_path / "copy" / "card.json").write_text(json.dumps({**card, "std": [1.0]}))
        assert one.identity() != other.identity()
        assert one.identity() != Pretrained(path=str(trained / "start")).identity()

    def test_no_folder_is_refused_with_advice(self, tmp_path):
        for wrong in (tmp_path, tmp_path / "nothing"):
            with pytest.raises(DataError, match="querist pretrain wrote"):
                encoders.build({"name": "pretrained", "path": str(wrong)}).identity()


class TestTraces:
    def test_are_aligned_with_ids_and_zero_outside_of_the_pool(self, trained):
        encoder, data = Pretrained(path=str(trained)), toy()
        prob, loss = (encoder.trace(name, data) for name in encoder.traces())
        assert prob.shape == (40, 2)
        assert loss.shape == (40, 1)
        for values in (prob, loss):
            assert values.dtype == np.float32
            assert (values[data.pool] > 0).all()
            assert not values[data.test].any()
        assert (prob < 1).all()

    def test_reach_strategies_by_the_session(self, trained):
        data = toy()
        setting = Setting(data, {"name": "pretrained", "path": str(trained)})
        need = PretrainTrace(name="simclr_loss")
        assert not isinstance(setting.offers(need), str)
        expected = Pretrained(path=str(trained)).trace("simclr_loss", data)[data.pool]
        assert np.array_equal(setting.provide(need, data.pool), expected)
        assert "kept only" in str(setting.offers(PretrainTrace(name="vae_loss")))

    def test_of_another_dataset_another_name_or_another_file_are_refused(self, trained, tmp_path):
        encoder = Pretrained(path=str(trained))
        with pytest.raises(DataError, match="whose images, keys or splits are not"):
            encoder.trace("simclr_loss", toy(n=44))
        with pytest.raises(DataError, match="no statistic 'vae_loss'"):
            encoder.trace("vae_loss", toy())
        shutil.copytree(trained, tmp_path / "copy")
        np.save(tmp_path / "copy" / "traces" / "simclr_loss.npy", np.zeros((40, 1), np.float32))
        with pytest.raises(DataError, match="not the file that the training wrote"):
            Pretrained(path=str(tmp_path / "copy")).trace("simclr_loss", toy())

    def test_t18_rows_are_those_of_the_ids_they_were_kept_for(self, tmp_path):
        data = toy()
        rows = data.pool[:, None].astype(np.float32) + 1
        digests = write_traces(tmp_path, {"x": rows}, data)
        assert list(digests) == ["x"]
        kept = np.load(tmp_path / "traces" / "x.npy")
        assert np.array_equal(kept[data.pool, 0], data.pool + 1)
        assert not kept[data.test].any()
