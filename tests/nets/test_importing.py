"""Checkpoints of other systems: the features of their own nets, every name accounted for, no code run."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
torchvision = pytest.importorskip("torchvision", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch.nn import functional

from querist.cli.main import main
from querist.data.memory import from_arrays
from querist.encoders.pretrained import Pretrained
from querist.errors import DataError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.nets.backbones import read_backbone
from querist.nets.importing import FORMATS, import_backbone
from querist.seeds import Seed

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def random_state(name="resnet18"):
    """Weights of a net of torchvision that half precision can hold, under its own names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = torchvision.models.get_model(name, weights=None)
        for key, value in net.state_dict().items():
            if key.endswith(("running_var", "running_mean")) or (value.ndim == 1 and value.is_floating_point()):
                value.copy_(torch.rand(value.shape) * 0.5 + 0.5)
    return {key: x.bfloat16() if x.is_floating_point() else x for key, x in net.state_dict().items()}


def hollow(state):
    """The same names and shapes in a file of a few kilobytes."""
    return {name: torch.zeros((), dtype=x.dtype).expand(x.shape) for name, x in state.items()}


def cifar(state):
    """Weights with a 3 x 3 stem, and shortcuts as they are called in nets for small images."""
    small = {name.replace("downsample", "shortcut"): x for name, x in state.items()}
    return small | {"conv1.weight": state["conv1.weight"][:, :, :3, :3].clone()}


def under(prefix, state, *left_out):
    return {prefix + name: x for name, x in state.items() if not name.startswith(left_out or ("none",))}


MLP = {"fc.0.weight": torch.ones(4, 4), "fc.0.bias": torch.ones(4), "fc.2.weight": torch.ones(3, 4)}


@pytest.fixture(scope="module")
def eighteen():
    return random_state()


def written(path, content):
    torch.save(content, path)
    return path


def features(folder, images=IMAGES):
    data = from_arrays("toy", images, np.arange(len(images)) % 2)
    return Pretrained(path=str(folder), device="cpu").fit(View(data, data.pool), Seed(0)).encode(View(data, data.pool))


def reference(state, images, *, stem):
    """A ResNet of basic blocks or bottlenecks written out, reading weights by the names that others gave them."""

    def norm(x, name):
        return functional.batch_norm(
            x, *(state[f"{name}.{part}"].float() for part in ("running_mean", "running_var", "weight", "bias"))
        )

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"].float()
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    x = norm(conv(images, "conv1", 2 if stem == 7 else 1), "bn1").relu()
    x = functional.max_pool2d(x, 3, 2, 1) if stem == 7 else x
    for group in (1, 2, 3, 4):
        block = 0
        while f"layer{group}.{block}.conv1.weight" in state:
            at, stride = f"layer{group}.{block}.", 2 if group > 1 and block == 0 else 1
            deep = f"{at}conv3.weight" in state
            y = norm(conv(x, at + "conv1", 1 if deep else stride), at + "bn1").relu()
            y = norm(conv(y, at + "conv2", stride if deep else 1), at + "bn2")
            y = norm(conv(y.relu(), at + "conv3"), at + "bn3") if deep else y
            short = next((n for n in ("downsample", "shortcut") if f"{at}{n}.0.weight" in state), None)
            x = norm(conv(x, f"{at}{short}.0", stride), f"{at}{short}.1") if short else x
            x, block = (x + y).relu(), block + 1
    return x.mean((2, 3))


def prepared(images, mean, std, side):
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    if side != x.shape[2]:
        x = functional.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return (x / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
PLAIN = (0, 0, 0), (1, 1, 1)

LARGE = {
    "compress": lambda s: {"epoch": 9, "model": under("module.", s) | under("module.", MLP), "state_dict": {}},
    "compress, older": lambda s: {"state_dict": under("", s)},
    "simsiam": lambda s: {
        "state_dict": under("module.encoder.", s, "fc") | under("module.encoder.", MLP)
        | under("module.predictor.", MLP),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "arch": "resnet18",
    },
    "simclr": lambda s: under("backbone.", s, "fc") | {"contrastive_head.0.weight": torch.ones(2, 2)},
    "simclr, children": lambda s: {
        "state_dict": under("backbone.", {_child(n): x for n, x in s.items() if n[:2] != "fc"})
        | under("projection_head.layers.", MLP)
    },
    "torchal": lambda s: {"epoch": 1, "model_state": dict(s), "optimizer_state": {}, "cfg": "MODEL:\n"},
}  # fmt: skip


def _child(name):
    first, _, rest = name.partition(".")
    return {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}[first] + "." + rest


class TestFeatures:
    @pytest.mark.parametrize("kind", LARGE)
    def test_are_those_of_the_net_in_the_file(self, eighteen, tmp_path, kind):
        form = kind.partition(",")[0]
        card = import_backbone(written(tmp_path / "a.pth", LARGE[kind](eighteen)), form, tmp_path / "out", size=64)
        assert (card.net, card.shape, card.d, card.method) == ("torchvision/resnet18", (3, 64, 64), 512, form)
        with torch.inference_mode():
            expected = reference(eighteen, prepared(IMAGES, *IMAGENET, 64), stem=7).numpy()
        assert expected.std() > 0
        np.testing.assert_allclose(features(tmp_path / "out"), expected, rtol=1e-3, atol=1e-3 * expected.max())

    @pytest.mark.parametrize(("form", "usual"), [("simclr", CIFAR), ("torchal", PLAIN)])
    def test_with_the_stem_for_small_images(self, eighteen, tmp_path, form, usual):
        state = cifar(eighteen)
        held = {
            "simclr": under("module.backbone.", state, "fc") | {"module.cluster_head.0.bias": torch.ones(2)},
            "torchal": {"model_state": under("", state, "fc") | {"linear.weight": torch.ones(10, 512)}},
        }
        card = import_backbone(written(tmp_path / "a.pth", held[form]), form, tmp_path / "out")
        assert (card.net, card.shape) == ("resnet18_cifar", (3, 32, 32))
        with torch.inference_mode():
            expected = reference(state, prepared(IMAGES, *usual, 32), stem=3).numpy()
        np.testing.assert_allclose(features(tmp_path / "out"), expected, rtol=1e-3, atol=1e-3 * expected.max())

    def test_of_a_resnet50_of_moco(self, tmp_path):
        state = random_state("resnet50")
        content = {
            "epoch": 800, "arch": "resnet50", "optimizer": {"state": {}, "param_groups": []},
            "state_dict": under("module.encoder_q.", state, "fc") | under("module.encoder_q.", MLP)
            | under("module.encoder_k.", hollow(state))
            | {"module.queue": torch.ones(2, 5), "module.queue_ptr": torch.ones(1)},
        }  # fmt: skip
        file = written(tmp_path / "moco.pth.tar", content)
        card = import_backbone(file, "moco_v2", tmp_path / "out", size=32)
        assert (card.net, card.d) == ("torchvision/resnet50", 2048)
        with torch.inference_mode():
            expected = reference(state, prepared(IMAGES, *IMAGENET, 32), stem=7).numpy()
        np.testing.assert_allclose(features(tmp_path / "out"), expected, rtol=1e-3, atol=1e-3 * expected.max())

    def test_of_another_net_that_is_named(self, tmp_path):
        net = "torchvision/shufflenet_v2_x0_5"
        state = random_state("shufflenet_v2_x0_5")
        file = written(tmp_path / "a.pth", {"model_state": state})
        with pytest.raises(DataError, match=r"is of no ResNet that is known here.*--net"):
            import_backbone(file, "torchal", tmp_path / "out")
        assert import_backbone(file, "torchal", tmp_path / "out", net=net, size=32).d == 1024
        backbone, _ = read_backbone(tmp_path / "out")
        for name, x in backbone.state_dict().items():
            assert torch.equal(x, state[name].to(x.dtype))


class TestRefusals:
    """T20: any name besides those of the net and of the parts that are dropped is an error."""

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("other", [*FORMATS, "torchvision"])
    def test_a_file_of_another_format(self, eighteen, tmp_path, form, other):
        state = hollow(eighteen)
        moco = {"state_dict": under("module.encoder_q.", state) | {"module.queue": torch.ones(2)}}
        content = {"moco_v2": moco, "torchvision": state} | {n: LARGE[n](state) for n in FORMATS if n != "moco_v2"}
        file = written(tmp_path / "a.pth", content[other])
        if form == other:
            assert import_backbone(file, form, tmp_path / "out").d == 512
        else:
            with pytest.raises(DataError, match=r"taken for a checkpoint of|moco_v2"):
                import_backbone(file, form, tmp_path / "out")
            assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(("form", "small"), [*((form, False) for form in FORMATS), ("simclr", True)])
    @pytest.mark.parametrize("change", ["missing", "unexpected", "unexpected beside", "shape", "nan"])
    def test_t20_names_that_differ_by_one(self, eighteen, tmp_path, form, small, change):
        state = hollow(cifar(eighteen) if small else eighteen)
        name = "layer3.1.bn2.running_mean"
        if change == "missing":
            del state[name]
        elif change == "unexpected":
            state["layer3.1.bn2.extra"] = torch.ones(1)
        elif change == "shape":
            state[name] = torch.ones(3)
        elif change == "nan":
            state[name] = torch.full(state[name].shape, torch.nan)
        held = {"state_dict": under("module.encoder_q.", state)} if form == "moco_v2" else LARGE[form](state)
        if change == "unexpected beside":
            next((v for v in held.values() if isinstance(v, dict) and v), held)["other.weight"] = torch.ones(1)
        messages = {"missing": "is missing", "shape": "has shape", "nan": "not finite"}
        with pytest.raises(DataError, match=messages.get(change, "unexpected|no ResNet")):
            import_backbone(written(tmp_path / "a.pth", held), form, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_older_files_without_counters_are_whole(self, eighteen, tmp_path):
        state = {name: x for name, x in hollow(eighteen).items() if not name.endswith("num_batches_tracked")}
        assert import_backbone(written(tmp_path / "a.pth", {"model": state}), "compress", tmp_path / "out").d == 512

    def test_code_in_a_file_is_not_run(self, tmp_path):
        class Mine:
            def __reduce__(self):
                return (open, (str(tmp_path / "was here"), "w"))

        file = written(
            tmp_path / "a.pth", {"state_dict": {"module.encoder_q.conv1.weight": torch.ones(1)}, "args": Mine()}
        )
        with pytest.raises(DataError, match=r"refused because reading them runs code.*rewrite it once"):
            import_backbone(file, "moco_v2", tmp_path / "out")
        assert not (tmp_path / "was here").exists()

    @pytest.mark.parametrize("content", [torch.ones(2), {}, {"state_dict": 3}, {"state_dict": {}}, [1, 2]])
    def test_files_without_weights(self, tmp_path, content):
        with pytest.raises(DataError, match="has no weights under 'state_dict'; it holds"):
            import_backbone(written(tmp_path / "a.pth", content), "moco_v2", tmp_path / "out")

    def test_settings(self, tmp_path, eighteen):
        file = written(tmp_path / "a.pth", {"model": hollow(eighteen)})
        with pytest.raises(UnknownNameError, match=r"unknown format of checkpoints 'moco_v3'. Did you mean 'moco_v2'"):
            import_backbone(file, "moco_v3", tmp_path / "out")
        for settings in ({"mean": (0.5,)}, {"std": (0.0, 1.0, 1.0)}, {"mean": (125.3, 123.0, 113.9)}):
            with pytest.raises(SpecError, match=r"mean and std of three channels in 0\.\.1"):
                import_backbone(file, "compress", tmp_path / "out", **settings)


class TestCommand:
    def test_writes_an_encoder(self, eighteen, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        written(tmp_path / "a.pth", {"state_dict": under("module.", eighteen)})
        command = ["import-backbone", "compress", "a.pth", "--size", "64", "--mean", "0.5,0.5,0.5", "--json"]
        for _ in range(2):  # again into the same folder
            assert main(command) == 0
            answer = json.loads(capsys.readouterr().out)
        assert answer["net"] == "torchvision/resnet18"
        assert answer["mean"] == [127.5] * 3
        assert features(tmp_path / "imported").shape == (3, 512)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["compress", "none.pth"], "there is no file none.pth"),
            (["compres", "a.pth"], "Did you mean 'compress'"),
            (["moco_v2", "a.pth"], "no name that begins with 'module.encoder_q.'"),
            (["compress", "a.pth", "--std", "1,x"], "--std: expected three numbers"),
            (["compress", "a.pth", "--out", "other"], "holds something else than an imported 'compress'"),
        ],
    )
    def test_mistakes_are_answered_with_advice(self, eighteen, tmp_path, monkeypatch, capsys, words, message):
        monkeypatch.chdir(tmp_path)
        written(tmp_path / "a.pth", {"state_dict": under("module.", hollow(eighteen))})
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "card.json").write_text("{}")
        assert main(["import-backbone", *words, "--json"]) == 2
        assert message in json.loads(capsys.readouterr().out)["error"]["message"]

    def test_help_teaches(self, capsys):
        assert main(["import-backbone", "--help"]) == 0
        shown = capsys.readouterr().out
        for word in (*FORMATS, "--out", "--mean", "--net", "pretrained(path="):
            assert word in shown
