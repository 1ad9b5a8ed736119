"""Methods of pre-training: settings and schedules without torch; losses, gradients and movements of each with it."""

import math
import subprocess
import sys

import pytest

from querist.encoders.base import encoders
from querist.encoders.pretraining.base import methods
from querist.errors import SpecError, UnknownNameError
from querist.registry import describe

NAMES = ("moco", "simclr", "simsiam")


class TestSettings:
    def test_methods_are_no_encoders(self):
        assert set(NAMES) <= set(methods.names())
        assert not set(NAMES) & set(encoders.names())

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

    @pytest.mark.parametrize(
        ("name", "preset", "batch", "peak"),
        [("simsiam", "S4", 512, 0.1), ("simclr", "scan", 512, 0.4), ("moco", "csval_medmnist", 4096, 0.48),
         ("moco", "csval_cifar10_lt", 512, 0.06), ("moco", "paper", 256, 0.03), ("simclr", "paper", 4096, 4.8)],
    )  # fmt: skip
    def test_the_learning_rate_grows_with_the_batch(self, name, preset, batch, peak):
        method = methods.build({"name": name, "preset": preset})
        assert method.batch == batch
        assert method.peak == pytest.approx(peak)

    @pytest.mark.parametrize("name", NAMES)
    def test_t4_the_rate_at_the_start_the_middle_and_the_end(self, name):
        method = methods.build({"name": name, "batch": 128})
        rates = [method.rate(t, 1000) / method.peak for t in (0, 500, 999)]
        assert rates == pytest.approx([1.0, 0.5, 0.5 * (1 + math.cos(math.pi * 0.999))])

    @pytest.mark.parametrize(
        "wrong", [{"batch": 1}, {"epochs": 0}, {"backbone_lr": 0.1}, {"crop": 0}, {"optimizer": "SGD"}, {"width": 0}]
    )
    def test_impossible_settings_are_refused(self, wrong):
        with pytest.raises((SpecError, UnknownNameError)):
            methods.build({"name": "simsiam", **wrong})

    @pytest.mark.parametrize("name", sorted(set(methods.names()) - {"scan"}))
    def test_every_method_has_devices_and_one_goes_without_saying(self, name):
        one, two = (methods.build({"name": name, "devices": devices}) for devices in (1, 2))
        assert two.identity() == {**one.identity(), "devices": 2}
        assert "devices" not in one.identity()
        assert describe(one)["devices"] == 1
        with pytest.raises(SpecError, match=r"Expected devices .* got 9: each has a share of every batch"):
            methods.build({"name": name, "devices": 9, "batch": 8})

    @pytest.mark.parametrize("wrong", [{"traces": [0.0]}, {"temperature": 0}, {"loss_views": -1}, {"hidden": 0}])
    def test_impossible_settings_of_contrast_are_refused(self, wrong):
        with pytest.raises(SpecError, match="Expected"):
            methods.build({"name": "simclr", **wrong})


@pytest.mark.deep
class TestTasks:
    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("lightly", reason="needs the extra ssl")
        self.torch = pytest.importorskip("torch", reason="needs the extra deep")
        pytest.importorskip("lightning_fabric", reason="needs the extra deep")

    def task(self, name, **settings):
        from querist.nets.images import Normalisation
        from querist.nets.net import build_net
        from querist.nets.running import reproducible
        from querist.nets.tasks.base import Start
        from querist.seeds import Seed

        torch = self.torch
        with reproducible(Seed(0), torch.device("cpu")):
            net = build_net("small_cnn", (1, 8, 8), 2)
            start = Start(net.backbone, 96, (1, 8, 8), 20, Normalisation((100.0,), (50.0,)))
            settings = {"width": 16, "hidden": 8, **settings}
            return methods.build({"name": name, "net": "small_cnn", **settings}).task(start)

    def views(self, b=6):
        draws = self.torch.Generator().manual_seed(0)
        first = self.torch.randn(b, 1, 8, 8, generator=draws)
        return first, first + 0.1 * self.torch.randn(b, 1, 8, 8, generator=draws)

    def test_simsiam_is_the_mean_of_both_directions_without_a_gradient_of_projections(self):
        torch = self.torch
        task, views = self.task("simsiam", bottleneck=4), self.views()
        loss = task.outcome(torch.arange(6), *task(*views)).loss

        def plain(stop):
            z = [task.projector(task.backbone(view)) for view in views]
            p = [task.predictor(rows) for rows in z]
            target = [rows.detach() if stop else rows for rows in z]
            cosine = torch.nn.functional.cosine_similarity
            return -(cosine(p[0], target[1]).mean() + cosine(p[1], target[0]).mean()) / 2

        assert loss.item() == pytest.approx(plain(True).item(), abs=1e-6)
        weight = task.projector.layers[0].weight
        got, stopped, whole = (torch.autograd.grad(value, weight)[0] for value in (loss, plain(True), plain(False)))
        assert torch.allclose(got, stopped, atol=1e-6)
        assert not torch.allclose(got, whole, atol=1e-4)

    def test_t5_only_the_predictor_of_simsiam_keeps_its_rate(self):
        task = self.task("simsiam", bottleneck=4)
        assert list(task.constant()) == [task.predictor]
        assert not list(self.task("simclr").constant())

    def test_the_last_normalisation_of_simsiam_has_no_weights_and_no_bias_before_it(self):
        linear, last = self.task("simsiam", bottleneck=4).projector.layers[-2:]
        assert not last.affine
        assert linear.bias is None

    def test_simclr_keeps_what_it_minimises(self):
        torch = self.torch
        task = self.task("simclr", temperature=0.2, traces=[0.2, 0.1])
        outcome = task.outcome(torch.arange(6), *task(*self.views()))
        assert list(outcome.traces) == ["contrast_prob_T0.2", "contrast_prob_T0.1"]
        assert all(value.shape == (6,) and not value.requires_grad for value in outcome.traces.values())
        from querist.nets.contrast import contrast_losses

        z = [task.projector(task.backbone(view)) for view in self.views()]
        assert outcome.loss.item() == pytest.approx(contrast_losses(*z, 0.2).mean().item(), rel=1e-5)

    def test_t16_simclr_loss_has_real_negatives_and_depends_on_the_seed_alone(self):
        torch = self.torch
        from querist.seeds import Seed

        task = self.task("simclr", loss_views=3).eval()
        images = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
        with torch.no_grad():
            first, again, other = (task.finish(lambda rows: images[rows], Seed(s))["simclr_loss"] for s in (0, 0, 1))
        assert first.shape == (20, 1)
        assert first.dtype == torch.float64
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first.min() > 0
        assert len(first.unique()) == 20
        assert not self.task("simclr", loss_views=0).finish(lambda rows: images[rows], Seed(0))

    def test_moco_compares_with_the_queue_and_then_fills_it(self):
        torch = self.torch
        task, views = self.task("moco", queue=10, temperature=0.2), self.views()
        bank = task.criterion.memory_bank.bank.clone()
        outcome = task.outcome(torch.arange(6), *task(*views))
        with torch.no_grad():
            q = torch.nn.functional.normalize(task.projector(task.backbone(views[0])))
            k = torch.nn.functional.normalize(task.slow(views[1]))
        logits = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ bank.T], dim=1) / 0.2
        expected = torch.nn.functional.cross_entropy(logits, torch.zeros(6, dtype=torch.long))
        assert outcome.loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert torch.allclose(task.criterion.memory_bank.bank[:6], k, atol=1e-6)
        assert torch.equal(task.criterion.memory_bank.bank[6:], bank[6:])

    def test_the_slow_copy_of_moco_follows_and_is_not_trained(self):
        torch = self.torch
        task = self.task("moco", inertia=0.75)
        before = [p.clone() for p in task.slow.parameters()]
        with torch.no_grad():
            for parameter in [*task.backbone.parameters(), *task.projector.parameters()]:
                parameter.add_(1.0)
        task.stepped()
        for old, new in zip(before, task.slow.parameters(), strict=True):
            assert not new.requires_grad
            assert torch.allclose(new, old + 0.25, atol=1e-6)

    def test_views_are_normalised_last(self):
        torch = self.torch
        from querist.nets.share import Draws

        task = self.task("simsiam", bottleneck=4, crop=1.0, flip=False, jitter=0.0, grey=0.0, hue=0.0)
        images = torch.full((20, 1, 8, 8), 150, dtype=torch.uint8)
        first, second = task.views(torch.arange(4), lambda rows: images[rows], Draws(torch.Generator(), 4))
        assert torch.equal(first, torch.ones(4, 1, 8, 8))
        assert torch.equal(first, second)
