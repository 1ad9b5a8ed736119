"""Where a net runs, and how it leaves no trace: the device, its precision, one thread, and torch's global generator."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn

from querist.data.memory import content_digest
from querist.errors import SpecError
from querist.registry import digest
from querist.seeds import Seed

DEVICES = ("auto", "cpu", "cuda")


def make_fabric(device: str = "auto") -> Fabric:
    """Return the runner of one device: the first graphics card if there is one and `device` is ``auto``.

    Training is in mixed precision (bfloat16, or float16 on cards that lack it) on a CUDA device and in float32
    elsewhere. Scoring is in float32 everywhere: picks hang on differences that shorter formats do not have.

    Raises:
        SpecError: there is no such device here.
    """
    if device not in DEVICES:
        raise SpecError(f"Expected device to be one of {', '.join(DEVICES)}, got {device!r}.")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise SpecError(f"device 'cuda' was asked for, but torch {torch.__version__} finds none here. Use 'auto'.")
    accelerator, precision = "cpu", "32-true"
    if cuda and device != "cpu":
        # Cards before Ampere compute bfloat16 by emulation, slower than float32.
        accelerator, precision = "cuda", "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"
    fabric_log = logging.getLogger("lightning_fabric")
    level = fabric_log.level
    fabric_log.setLevel(logging.WARNING)  # it announces its precision once per fit
    try:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    finally:
        fabric_log.setLevel(level)


@contextmanager
def reproducible(seed: Seed, device: torch.device) -> Iterator[None]:
    """Run the body on one thread with torch's global generators started at `seed`, then put everything back.

    Layers draw initial weights and dropout masks from the global generators and take no other. Random numbers of our
    own (order, crops, masks of draws) have generators of their own, see `generator`.
    """
    threads = torch.get_num_threads()
    cards = [device] if device.type == "cuda" else []
    cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.random.fork_rng(devices=cards), cudnn:
        torch.set_num_threads(1)
        torch.default_generator.manual_seed(_integer(seed))
        if cards:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(_integer(seed))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def generator(seed: Seed) -> torch.Generator:
    """Return a generator of its own, on the CPU: the same numbers whatever device the net is on."""
    return torch.Generator().manual_seed(_integer(seed))


def fingerprint(net: nn.Module) -> str:
    """Return a digest of every parameter and every buffer, e.g. to prove that scoring changed none."""
    return digest({name: content_digest(value.cpu().reshape(-1).numpy()) for name, value in net.state_dict().items()})


def _integer(seed: Seed) -> int:
    return int(seed.words(1)[0]) >> 1  # torch takes 63 bits
