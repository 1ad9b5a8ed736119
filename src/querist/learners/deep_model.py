"""A trained image net as a model: one pass for everything, draws of three kinds, files that give the same bits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from querist.arrays import Array, readonly
from querist.errors import DataError, UnmetNeedError
from querist.evidence.needs import Draws, Need
from querist.evidence.view import View
from querist.files import write_bytes
from querist.kernels.inner import scores, softmax
from querist.kernels.laplace import LastLayer
from querist.learners.head_model import HeadModel
from querist.seeds import Seed

if TYPE_CHECKING:
    import torch

    from querist.learners.deep import DeepLearner
    from querist.nets.blueprint import Blueprint
    from querist.nets.images import Normalisation
    from querist.nets.net import Net
    from querist.nets.sharing import Make, Score

T = TypeVar("T")

KIND = "model"
"""What the card of such a checkpoint says it is."""
DYNAMICS = "dynamics.parquet"
PART = "laplace."
"""Prefix of the arrays of a Laplace approximation among the weights of a checkpoint."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DeepModel(HeadModel):
    """A trained net; it changes no more.

    Attributes:
        learner: that trained it; its augmentation makes the draws by views.
        plan: what the net was built from.
        net: in evaluation mode.
        normalise: the only transform of the images it scores.
        seed: of its draws.
        posterior: over the weights of the head, for draws by the Laplace approximation.
        dynamics: columns of what the net made of its training labels at the end of each epoch, if that was asked for.
    """

    learner: "DeepLearner"
    plan: "Blueprint"
    net: "Net"
    normalise: "Normalisation"
    seed: Seed
    posterior: LastLayer | None = None
    dynamics: Mapping[str, np.ndarray[Any, Any]] | None = None
    _seen: WeakKeyDictionary[View, Array] = field(default_factory=WeakKeyDictionary, init=False, repr=False)
    _head: tuple[Array, Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weight, bias = (p.detach().cpu().numpy().astype(np.float64) for p in (self.net.head.weight, self.net.head.bias))
        object.__setattr__(self, "_head", (readonly(weight), readonly(bias)))

    @property
    def head(self) -> tuple[Array, Array]:
        return self._head

    def refusal(self, need: Need[Any]) -> str:
        return str(self.learner.offers(need))

    def provide(self, need: Need[T], view: View) -> T:
        """Return the value of a need for the rows of a view.

        Raises:
            UnmetNeedError: it provides no such thing; says why.
            DataError: the items are no uint8 images, or change from one reading to the next.
        """
        if isinstance(need, Draws) and not isinstance(self.learner.offers(need), str):
            return self.draws(view, need.k)  # pyright: ignore[reportReturnType]
        return super().provide(need, view)  # pyright: ignore[reportArgumentType, reportReturnType]

    def embeddings(self, view: View) -> Array:
        """Return ``(n, d)`` float32 outputs of the layer before the head; a view that is asked again is not read again.

        The last view is remembered for as long as somebody else holds it.
        """
        if view not in self._seen:
            self._seen.clear()
            self._seen[view] = readonly(self._shared(view))
        return self._seen[view]

    def draws(self, view: View, k: int) -> Sequence[Array]:
        """Return ``k`` arrays ``(n, c)`` float32 of probabilities, of the kind that the learner says.

        Draw j is a function of the model and of j; more of them change none of the earlier ones.
        """
        from querist.nets.draws import has_dropout

        match self.learner.draws:
            case "laplace":
                x = self.embeddings(view)
                return [self._probs(scores(x, w[:, :-1]) + w[:, -1]) for w in map(self.weights, range(k))]
            case "dropout" if not has_dropout(self.net.backbone):  # before the head alone, no further pass is needed
                return self._passes(view, k, self.embeddings(view))
            case _ if self.learner.devices == 1:
                return self._passes(view, k)
            case _:
                return list(self._shared(view, k))

    def score(self, view: View, k: int | None = None) -> Array:
        """Return ``(n, d)`` embeddings, or ``(k, n, c)`` draws, by passes in this process."""
        if k is not None:
            return np.stack(self._passes(view, k))
        from querist.nets.running import reproducible
        from querist.nets.scoring import embed

        with reproducible(self.seed, self.net.head.weight.device):
            return embed(self.net, self.normalise, view)

    def _passes(self, view: View, k: int, x_n_d: Array | None = None) -> list[Array]:
        from querist.nets.draws import dropout_draws
        from querist.nets.running import reproducible
        from querist.nets.views import view_embeddings

        with reproducible(self.seed, self.net.head.weight.device):
            if self.learner.draws == "views":
                varied = view_embeddings(self.net, self.normalise, view, self.learner, self.seed, k)
                return [self._probs(self.logits(x)) for x in varied]
            return [self._probs(z) for z in dropout_draws(self.net, self.normalise, view, self.seed, k, x_n_d)]

    @staticmethod
    def _probs(logits: Array) -> Array:
        return softmax(logits).astype(np.float32)

    def _shared(self, view: View, k: int | None = None) -> Array:
        """Return ``score(view, k)``, computed by all devices if there are several and it is much."""
        from querist.nets.sharing import shared

        def send(room: Path) -> "Make":
            save_model(replace(self, posterior=None, dynamics=None), room / KIND, {"name": self.learner.card.name})
            # In each process it is alone, and read before it is put where it computes.
            return partial(_scorer, replace(self.learner, device="cpu", devices=1), room / KIND, k)

        return shared(partial(self.score, k=k), view, self.learner.devices, self.net.head.weight.device, send)

    def weights(self, j: int) -> Array:
        """Return the weights of the head in draw j by the Laplace approximation, ``(c, d + 1)``, intercepts last."""
        if self.posterior is None:
            raise UnmetNeedError("this model was trained without draws = 'laplace', so it has no such draws.")
        noise = self.seed.child("laplace", j).generator().standard_normal(self.posterior.mean.shape)
        return self.posterior.at(noise)


def _scorer(learner: "DeepLearner", folder: Path, k: int | None, device: "torch.device") -> "Score":
    """Return the `score` of a model that another process has written."""
    model = load_model(folder, learner)
    model.net.to(device)
    return partial(model.score, k=k)


def save_model(model: DeepModel, folder: Path, learner: dict[str, object]) -> None:
    """Write a model as a checkpoint of the kind ``model``, with the description of its learner.

    What the net made of its training labels is written beside it as ``dynamics.parquet``: a row per label and epoch.

    Raises:
        StoreError: the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from querist.nets.checkpoints import write_checkpoint

    if model.dynamics is not None:
        buffer = BytesIO()
        pq.write_table(pa.table(dict(model.dynamics)), buffer)
        write_bytes(folder / DYNAMICS, buffer.getvalue())
    posterior = {} if model.posterior is None else model.posterior._asdict()
    arrays = {PART + k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in posterior.items() if v is not None}
    card: dict[str, Any] = {
        "kind": KIND, "learner": learner, "plan": model.plan._asdict(), "mean": model.normalise.mean,
        "std": model.normalise.std, "seed": [model.seed.entropy, *model.seed.path],
    }  # fmt: skip
    write_checkpoint(folder, {**model.net.state_dict(), **arrays}, card)


def load_model(folder: Path, learner: "DeepLearner") -> DeepModel:
    """Return the model of a checkpoint; on the same device it gives the same bits.

    Raises:
        DataError: there is none, it is damaged, or it is of another learner.
        SpecError: the device does not exist.
    """
    import torch

    from querist.nets.blueprint import Blueprint, assemble
    from querist.nets.checkpoints import fill, read_checkpoint
    from querist.nets.images import Normalisation
    from querist.nets.running import make_device, reproducible

    weights, card = read_checkpoint(folder, KIND)
    name, own = card["learner"].get("name"), learner.card.name
    if name != own:
        raise DataError(f"the checkpoint {folder} is of the learner {name!r}; expected one of {own!r}.")
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card["plan"].items()}
    plan = Blueprint(**settings)
    seed = Seed(card["seed"][0], tuple(card["seed"][1:]))
    device = make_device(learner.device)
    with reproducible(seed, device):
        net = assemble(plan)
    parts = {name.removeprefix(PART): v.numpy() for name, v in weights.items() if name.startswith(PART)}
    fill(net, {name: v for name, v in weights.items() if not name.startswith(PART)}, f"the checkpoint {folder}")
    # Convolutions pick their algorithm, and with it the last bits, by the layout: it must be that of training.
    net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return DeepModel(
        learner=learner, plan=plan, net=net.eval().requires_grad_(False), seed=seed,
        normalise=Normalisation(tuple(card["mean"]), tuple(card["std"])),
        posterior=LastLayer(**parts) if parts else None,
    )  # fmt: skip
