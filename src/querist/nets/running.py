"""Where a net runs, and how it leaves no trace: the device, its precision, one thread, and torch's global generator."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from querist.data.memory import content_digest
from querist.errors import SpecError
from querist.registry import digest
from querist.seeds import Seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEVICES = ("auto", "cpu", "cuda")


def make_fabric(device: str = "auto", precision: str = "mixed") -> "Fabric":
    """Return the runner of one device: the first graphics card if there is one and `device` is ``auto``.

    Training is in mixed precision (bfloat16, or float16 on cards that lack it) on a CUDA device unless `precision` is
    ``float32``, and in float32 elsewhere. Scoring is in float32 everywhere: picks hang on differences that shorter
    formats do not have.

    Raises:
        SpecError: there is no such device here.
    """
    accelerator, plugin = place(device, precision)
    from lightning_fabric import Fabric  # takes longer to import than torch, and only training needs it

    with quiet():
        return Fabric(accelerator=accelerator, devices=1, precision=plugin)


def make_device(device: str = "auto") -> torch.device:
    """Return the device that `make_fabric` would run on, for what trains nothing.

    Raises:
        SpecError: there is no such device here.
    """
    accelerator, _ = place(device, "float32")
    return torch.device(accelerator, 0) if accelerator == "cuda" else torch.device(accelerator)


def place(device: str, precision: str) -> tuple[str, Literal["32-true", "bf16-mixed", "16-mixed"]]:
    """Return the accelerator and the precision that a device and a setting come to, in the words of Fabric."""
    if device not in DEVICES:
        raise SpecError(f"Expected device to be one of {', '.join(DEVICES)}, got {device!r}.")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise SpecError(f"device 'cuda' was asked for, but torch {torch.__version__} finds none here. Use 'auto'.")
    if not cuda or device == "cpu":
        return "cpu", "32-true"
    if precision == "float32":
        return "cuda", "32-true"
    # Cards before Ampere compute bfloat16 by emulation, slower than float32.
    return "cuda", "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Fabric, which announces its precision once per fit."""
    log = logging.getLogger("lightning_fabric")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


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
        restart(seed, device)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def restart(seed: Seed, device: torch.device) -> None:
    """Start torch's global generators at `seed`; only within `reproducible`, which puts them back.

    A loop that does so at every update can go on at any of them: it has no state of a generator to remember.
    """
    torch.default_generator.manual_seed(integer(seed))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(integer(seed))


def generator(seed: Seed) -> torch.Generator:
    """Return a generator of its own, on the CPU: the same numbers whatever device the net is on."""
    return torch.Generator().manual_seed(integer(seed))


def fingerprint(net: nn.Module) -> str:
    """Return a digest of every parameter and every buffer, e.g. to prove that scoring changed none."""
    return digest({name: content_digest(value.cpu().reshape(-1).numpy()) for name, value in net.state_dict().items()})


def integer(seed: Seed) -> int:
    """Return 63 bits, as many as generators of torch take."""
    return int(seed.words(1)[0]) >> 1
