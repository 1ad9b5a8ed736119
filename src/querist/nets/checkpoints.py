"""Checkpoints: a folder with weights in safetensors and a card in JSON that says what they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from querist.errors import DataError
from querist.files import refuse_write, write_bytes

WEIGHTS, CARD = "weights.safetensors", "card.json"
SCHEMA = 1


class Checkpoint(NamedTuple):
    """What a folder holds."""

    weights: Mapping[str, Tensor]
    """Parameters and buffers by name, on the CPU."""
    card: Mapping[str, Any]
    """What they are of: at least ``schema`` and ``kind``."""


def write_checkpoint(folder: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write a checkpoint; the card last, so that a folder with a card is whole.

    Args:
        folder: made if it is not there; an earlier checkpoint in it is replaced.
        weights: tensors by name; parts of others are copied, for a file has no aliases.
        card: JSON values; ``kind`` says what sort of checkpoint it is.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        (folder / CARD).unlink(missing_ok=True)
    except OSError as error:
        refuse_write(folder / CARD, error)
    whole = {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}
    write_bytes(folder / WEIGHTS, save(whole))
    write_bytes(folder / CARD, json.dumps({"schema": SCHEMA, **card}, indent=1, sort_keys=True).encode())


def read_checkpoint(folder: Path, kind: str) -> Checkpoint:
    """Return the checkpoint of a folder.

    Raises:
        DataError: there is none, it is damaged, or of another kind.
    """
    if not (folder / CARD).is_file():
        raise DataError(
            f"Expected a checkpoint, a folder with {CARD} and {WEIGHTS}, got {folder}, which has no card. Check the "
            "path; if writing was cut short there, make the checkpoint again."
        )
    try:
        card = json.loads((folder / CARD).read_bytes())
        weights = load((folder / WEIGHTS).read_bytes())
    except (ValueError, OSError, SafetensorError) as error:
        raise DataError(f"the checkpoint {folder} is damaged: {error}. Make it again.") from error
    if card.get("schema") != SCHEMA or card.get("kind") != kind:
        found = f"{card.get('kind')!r} of schema {card.get('schema')}"
        raise DataError(
            f"the checkpoint {folder} is {found}; expected {kind!r} of schema {SCHEMA}. Give the folder of another, "
            "or make it again with this version."
        )
    return Checkpoint(weights, card)


def write_state(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write tensors and a card as one file: what takes the place of an earlier state does so at one instant.

    Args:
        path: of the file.
        tensors: by name.
        card: JSON values.

    Raises:
        StoreError: it cannot be written; an earlier state is untouched.
    """
    whole = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(whole, {"card": json.dumps({"schema": SCHEMA, **card}, sort_keys=True)}))


def read_state(path: Path, kind: str) -> Checkpoint:
    """Return what `write_state` wrote.

    Raises:
        DataError: there is no such file, it is damaged, or of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            card = json.loads((file.metadata() or {})["card"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise DataError(
            f"{path} holds no state of a training, or a damaged one: {error}. Delete it to start anew."
        ) from error
    if card.get("schema") != SCHEMA or card.get("kind") != kind:
        found = f"{card.get('kind')!r} of schema {card.get('schema')}"
        raise DataError(f"{path} is {found}; expected {kind!r} of schema {SCHEMA}. Delete it to start anew.")
    return Checkpoint(weights, card)


def fill(net: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Copy weights into a net, all of them or none.

    Args:
        net: whose parameters and buffers are set.
        weights: exactly these, with equal shapes.
        what: what an error message calls the weights.

    Raises:
        DataError: a name is missing or unexpected, or a shape differs; names the first few.
    """
    own = net.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is unexpected" for name in weights if name not in own]
    wrong += [
        f"{name} has shape {tuple(weights[name].shape)} and not {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise DataError(f"{what} does not hold the weights of this net: {'; '.join(wrong[:3])}{more}.")
    net.load_state_dict(dict(weights))
