"""The autoencoder: its loss against distributions of torch, its range, and the loss of every image."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch.distributions import Normal, kl_divergence

from querist.nets.share import Draws
from querist.nets.tasks.vae import Decoder, vae_losses
from querist.seeds import Seed


def test_the_loss_is_the_squared_error_per_value_and_the_divergence():
    draws = torch.Generator().manual_seed(0)
    x, decoded = (torch.randn(5, 3, 4, 6, generator=draws).double() for _ in range(2))
    mean, log_variance = (torch.randn(5, 7, generator=draws).double() for _ in range(2))
    prior, posterior = Normal(torch.zeros(7), torch.ones(7)), Normal(mean, (0.5 * log_variance).exp())
    expected = torch.stack([((a - b) ** 2).sum() / 72 for a, b in zip(x, decoded, strict=True)])
    expected = expected + 0.3 * kl_divergence(posterior, prior).sum(dim=1)
    assert torch.allclose(vae_losses(x, decoded, mean, log_variance, 0.3), expected)
    none = torch.zeros(5, 7).double()
    assert not vae_losses(x, x, none, none, 0.3).any()


class TestDecoder:
    @pytest.mark.parametrize("size", [(1, 1), (8, 8), (12, 12), (28, 28), (33, 17)])
    def test_images_of_any_size_come_out(self, size):
        decoder = Decoder(3, (3, *size), (100.0,) * 3, (50.0,) * 3)
        assert decoder(torch.randn(2, 3)).shape == (2, 3, *size)

    def test_black_and_white_are_reached_and_not_passed(self):
        mean, std = (100.0, 20.0, 250.0), (50.0, 1.0, 80.0)
        decoder = Decoder(3, (3, 8, 8), mean, std).eval()
        for bias, level in ((-200.0, 0.0), (200.0, 255.0)):
            with torch.no_grad():
                decoder.last.weight.zero_()
                decoder.last.bias.fill_(bias)
                out = decoder(torch.randn(2, 3))
            for k in range(3):
                assert torch.allclose(out[:, k], torch.full((2, 8, 8), (level - mean[k]) / std[k]), rtol=1e-5)


class TestTask:
    def test_weight_is_the_share_of_a_batch_unless_it_is_given(self, begin, task_of):
        assert task_of(begin(n=20), name="vae", batch=5).weight == 0.25
        assert task_of(begin(n=20), name="vae", batch=50).weight == 1
        assert task_of(begin(n=20), name="vae", weight=0.0).weight == 0

    @pytest.mark.parametrize("net", ["strided_cnn", "small_cnn"])
    def test_the_training_draws_codes_and_the_statistic_does_not(self, begin, task_of, images, net):
        task = task_of(begin(net), name="vae", latent=4, batch=10).eval()
        load, rows = (lambda rows: images[rows]), torch.arange(20)
        x, noise = task.views(rows, load, Draws(torch.Generator().manual_seed(0), 20))
        assert torch.allclose(x, (images.float() - 100) / 50, atol=1e-5)
        with torch.no_grad():
            at_mean = task.outcome(rows, *task(x, torch.zeros(20, 4))).loss
            drawn = task.outcome(rows, *task(x, noise)).loss
            losses = task.finish(load, Seed(0))["vae_loss"]
        assert losses.mean().item() == pytest.approx(at_mean.item(), rel=1e-5)
        assert drawn.item() != at_mean.item()

    def test_t18_every_image_has_the_loss_it_has_alone_in_order(self, begin, task_of):
        draws = torch.Generator().manual_seed(3)
        images = torch.randint(0, 256, (70, 1, 8, 8), generator=draws, dtype=torch.uint8)
        task = task_of(begin(n=70), name="vae", latent=4, weight=0.1).eval()
        found = {}
        with torch.no_grad():
            for n, seed in ((70, 0), (70, 1), (65, 0)):
                task.n = n
                found[n, seed] = task.finish(lambda rows: images[rows], Seed(seed))["vae_loss"]
            x = (images.float() - 100) / 50
            for i in range(70):
                _, mean, log_variance = task.posterior(x[i : i + 1])
                alone = vae_losses(x[i : i + 1], task.decoder(mean), mean, log_variance, 0.1)
                assert found[70, 0][i, 0].item() == pytest.approx(alone.item(), rel=1e-4)
        assert found[70, 0].shape == (70, 1)
        assert torch.equal(found[70, 0], found[70, 1]), "it hangs on no draw"
        assert torch.equal(found[70, 0][:65], found[65, 0]), "nor on its company"
        assert len(found[70, 0].unique()) == 70
