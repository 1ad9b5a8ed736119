"""How far a pre-training is: everything it takes to go on after a kill, in one file per moment."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from querist.arrays import Array
from querist.errors import DataError
from querist.files import write_bytes
from querist.nets.checkpoints import read_state, write_state
from querist.nets.optimisers import memory, remember

STATE, KIND = "state.safetensors", "pre-training"
OPTIMIZER = "optimizer."


class Standing:
    """The state of a training in a folder, replaced as a whole after every epoch.

    It holds every parameter and buffer, those that a module does not count to its state too, the state of the
    optimiser and of the scale of gradients, and the history. Random numbers have no state: every epoch starts its own.

    Args:
        folder: where it is.
        identity: what is trained; another identity is refused.
        task: whose parameters and buffers are kept, on its device.
        optimizer: over parameters of `task`.
        fabric: which may scale gradients.
    """

    def __init__(
        self, folder: Path, identity: str, task: nn.Module, optimizer: torch.optim.Optimizer, fabric: Fabric
    ) -> None:
        self._folder, self._identity, self._task, self._optimizer = folder, identity, task, optimizer
        self._precision, self._writes = fabric.strategy.precision, fabric.global_rank == 0

    def keep(self, history: list[dict[str, float]], columns: dict[str, Array]) -> None:
        """Write the state after the last epoch of the history, and the statistics ``(n,)`` per name of that epoch.

        Of several devices, which all have the same, the first one does.

        Raises:
            StoreError: the folder cannot be written.
        """
        if not self._writes:
            return
        for name, column in columns.items():
            buffer = BytesIO()
            np.save(buffer, column.astype(np.float32), allow_pickle=False)
            write_bytes(self._folder / f"{name}.{len(history):05d}.npy", buffer.getvalue())
        weights = {f"task.{name}": value for name, value in tensors_of(self._task)}
        weights |= {OPTIMIZER + name: value for name, value in memory(self._optimizer).items()}
        precision = self._precision.state_dict()
        card = {"kind": KIND, "identity": self._identity, "history": history, "precision": precision}
        write_state(self._folder / STATE, weights, card)

    def restore(self) -> list[dict[str, float]]:
        """Put the state that is there into task and optimiser, and return its history; empty if there is none.

        Raises:
            DataError: it is of another training, or damaged.
        """
        path = self._folder / STATE
        if not path.is_file():
            for stale in self._folder.glob("*.npy") if self._writes else ():  # of an epoch whose state nobody wrote
                stale.unlink()
            return []
        weights, card = read_state(path, KIND)
        if card["identity"] != self._identity:
            raise DataError(
                f"{path} is the state of another pre-training: its method, images, seed or settings differ. Choose "
                "another folder, or delete this one to start anew."
            )
        with torch.no_grad():
            for name, value in tensors_of(self._task):
                value.copy_(weights[f"task.{name}"])
        known = {name.removeprefix(OPTIMIZER): v for name, v in weights.items() if name.startswith(OPTIMIZER)}
        remember(self._optimizer, known)
        self._precision.load_state_dict(card["precision"])
        return card["history"]

    def columns(self) -> dict[str, Array]:
        """Return the statistics of all epochs, ``(n, epochs)`` per name."""
        found: dict[str, list[Array]] = {}
        for path in sorted(self._folder.glob("*.npy")):
            found.setdefault(path.name.rsplit(".", 2)[0], []).append(np.load(path, allow_pickle=False))
        return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield all parameters and buffers; `state_dict` leaves out some buffers, such as a queue of negatives."""
    yield from module.named_parameters()
    yield from module.named_buffers()
