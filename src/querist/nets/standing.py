"""How far a pre-training is: everything it takes to go on after a kill, in one file per moment."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from querist.arrays import Array
from querist.errors import DataError
from querist.files import write_bytes

STATE = "state.safetensors"


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
        self._precision = fabric.strategy.precision

    def keep(self, history: list[dict[str, float]], columns: dict[str, Array]) -> None:
        """Write the state after the last epoch of the history, and the statistics ``(n,)`` per name of that epoch.

        Raises:
            StoreError: the folder cannot be written.
        """
        for name, column in columns.items():
            buffer = BytesIO()
            np.save(buffer, column.astype(np.float32), allow_pickle=False)
            write_bytes(self._folder / f"{name}.{len(history):05d}.npy", buffer.getvalue())
        weights = {f"task.{name}": value for name, value in _tensors(self._task)}
        scalars: dict[str, Any] = {}
        for row, values in self._optimizer.state_dict()["state"].items():
            for name, value in values.items():
                key = f"optimizer.{row}.{name}"
                (weights if isinstance(value, Tensor) else scalars)[key] = value
        card = {
            "identity": self._identity,
            "history": history,
            "scalars": scalars,
            "precision": self._precision.state_dict(),
        }
        whole = {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}
        write_bytes(self._folder / STATE, save(whole, {"card": json.dumps(card)}))

    def restore(self) -> list[dict[str, float]]:
        """Put the state that is there into task and optimiser, and return its history; empty if there is none.

        Raises:
            DataError: it is of another training, or damaged.
        """
        path = self._folder / STATE
        if not path.is_file():
            for stale in self._folder.glob("*.npy"):  # of an epoch whose state nobody wrote
                stale.unlink()
            return []
        try:
            with safe_open(path, "pt") as file:
                card = json.loads((file.metadata() or {})["card"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        except (SafetensorError, ValueError, KeyError, OSError) as error:
            raise DataError(f"{path} is damaged: {error}. Delete it to start anew.") from error
        if card["identity"] != self._identity:
            raise DataError(
                f"{path} is the state of another pre-training: its method, images, seed or settings differ. Choose "
                "another folder, or delete this one to start anew."
            )
        with torch.no_grad():
            for name, value in _tensors(self._task):
                value.copy_(weights[f"task.{name}"])
        self._optimizer.load_state_dict(self._memory(weights, card["scalars"]))
        self._precision.load_state_dict(card["precision"])
        return card["history"]

    def columns(self) -> dict[str, Array]:
        """Return the statistics of all epochs, ``(n, epochs)`` per name."""
        found: dict[str, list[Array]] = {}
        for path in sorted(self._folder.glob("*.npy")):
            found.setdefault(path.name.rsplit(".", 2)[0], []).append(np.load(path, allow_pickle=False))
        return {name: np.stack(columns, axis=1) for name, columns in found.items()}

    def _memory(self, weights: dict[str, Tensor], scalars: dict[str, Any]) -> dict[str, Any]:
        """Return the state of the optimiser, its tensors laid out in memory as the parameters are."""
        whole = self._optimizer.state_dict()
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for key, value in [*weights.items(), *scalars.items()]:
            kind, row, name = (*key.split(".", 2), "")[:3]
            if kind != "optimizer":
                continue
            like = parameters[int(row)]
            if isinstance(value, Tensor) and value.shape == like.shape:
                value = torch.empty_like(like).copy_(value)
            state.setdefault(int(row), {})[name] = value
        return {**whole, "state": state}


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield all parameters and buffers; `state_dict` leaves out some buffers, such as a queue of negatives."""
    yield from module.named_parameters()
    yield from module.named_buffers()
