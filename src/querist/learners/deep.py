"""What learners that train an image net share: the steps of a fit, each of which a subclass may replace."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from querist.errors import DataError, SpecError
from querist.evidence.needs import (
    Aux,
    Draws,
    Embeddings,
    Gradients,
    Head,
    InputGradients,
    Logits,
    Need,
    Probs,
    Refit,
)
from querist.evidence.provider import Fit, Model, Offer
from querist.evidence.view import View
from querist.extras import require
from querist.kernels.laplace import LastLayer, last_layer
from querist.learners.base import Learner
from querist.learners.deep_model import DeepModel, load_model, save_model
from querist.learners.frozen import reason
from querist.nets.base import NO_DROPOUT, locate
from querist.nets.bounds import require_within
from querist.nets.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from querist.nets.blueprint import Blueprint
    from querist.nets.images import Normalisation
    from querist.nets.net import Net
    from querist.nets.training import Examples, Trainer

LAPLACE = "Or set draws='laplace', which leaves the net as it is and draws its head."
NOT_COHERENT = (
    "draws by augmented views vary every row by itself, so no draw is one function of all rows, which is what this "
    "strategy wants; draws='laplace', dropout or an ensemble have such draws."
)


@dataclass(frozen=True, kw_only=True)
class DeepLearner(Recipe, Learner):
    """Trains an image net at every fit, and scores with clean images.

    Subclasses say what net (`plan`) and what it starts from (`initialise`); the other steps are here: `read` the
    images, find their `normalisation`, `train`. Nothing depends on the strategy: two arms of a study have one order of
    the data and one set of initial weights.

    Attributes:
        dropout: share of the embedding dropped before the head in training; 0 for none.
        draws: what a draw of the model is: ``dropout`` one mask of its dropout for all rows, ``laplace`` a head drawn
            from the Laplace approximation whose prior is the weight decay, ``views`` an augmented view of every row.
        device: ``auto`` (the first CUDA card if there is one), ``cpu`` or ``cuda``.
        devices: how many of them train one net, each a share of every batch, and score what takes one of them long.
            Gradients are added up in another order, so weights differ in their last bits from those of one device, and
            the number is part of what a run is; what a given net scores has the same bits on any number of CPUs.
    """

    trains_backbone: ClassVar[bool] = True
    keeps: ClassVar[bool] = True
    dropout: float = 0.0
    draws: Literal["dropout", "laplace", "views"] = "dropout"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("dropout", self.dropout, 0, 1, below=True)
        require_within("devices", self.devices, 1, self.batch, "each has a share of every batch")
        if self.draws == "laplace" and not self.weight_decay:
            raise SpecError("draws = 'laplace' takes its prior from the weight decay: set weight_decay above 0.")
        if self.draws == "views" and not (self.crop or self.flip or self.cutout or self.policy != "none"):
            raise SpecError("draws = 'views' needs an augmentation: set crop, flip, policy or cutout.")

    # ------------------------------------------------------------------------------------------------------------ needs

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer what one pass over the rows gives, and draws of the kind that is set if the net has them."""
        match need:
            case Head(space="features"):
                return "its head judges embeddings of its own, no frozen features; space = 'embeddings' or 'auto' fits."
            case Probs() | Logits() | Embeddings() | Gradients() | Head():
                return Offer("one pass for all of them together")
            case Draws():
                return self._offers_draws(need.coherent)
            case _:
                return _REASONS.get(type(need)) or reason(need)

    def _offers_draws(self, coherent: bool) -> Offer | str:
        match self.draws:
            case "laplace":
                return Offer("no further pass: heads drawn around the fitted one")
            case "views":
                return NOT_COHERENT if coherent else Offer("a pass per draw: augmented views")
            case "dropout":
                if _has_dropout(self.architecture):
                    return Offer("a pass per draw: masks all over the net")
                if self.dropout:
                    return Offer("no further pass: masks before the head")
                return f"{NO_DROPOUT} {LAPLACE}"

    # -------------------------------------------------------------------------------------------------- steps of a fit

    @property
    @abstractmethod
    def architecture(self) -> str:
        """Name of the net, see `querist.nets.base.locate`."""

    def plan(self, shape: tuple[int, int, int], c: int) -> "Blueprint":
        """Return what the net for such images and so many classes is built from."""
        from querist.nets.blueprint import Blueprint

        return Blueprint(self.architecture, shape, c, self.dropout)

    def initialise(self, net: "Net", job: Fit) -> None:
        """Set the weights that training starts from; without a word they stay as they were drawn."""

    def read(self, view: View) -> "Examples":
        """Return the images of a labelled view and their labels."""
        from querist.nets.images import read_images
        from querist.nets.training import Examples

        return Examples(read_images(view), view.labels)

    def examples(self, job: Fit) -> "Examples":
        """Return what the net is trained on: by default the labelled images."""
        return self.read(job.labelled)

    def normalisation(self, job: Fit) -> "Normalisation":
        """Return how images become inputs: by default by the statistics of the pool."""
        from querist.nets.images import normalisation

        return normalisation(job.labelled, job.pool)

    def recipe(self, l: int) -> Recipe:
        """Return the settings of a fit on `l` labels; without a pre-trained net, ``auto`` means ``train``."""
        return replace(self, batch_norm="train") if self.batch_norm == "auto" else self

    def trainer(self, fabric: "Fabric", normalise: "Normalisation", l: int) -> "Trainer":
        """Return the loop."""
        from querist.nets.training import Trainer

        return Trainer(self.recipe(l), fabric, normalise)

    def fit(self, job: Fit) -> DeepModel:
        """Return a net trained on the labelled images of one job.

        Raises:
            DataError: there are no labels, the items are no uint8 images, or they change from one reading to the next.
            FitError: the loss is not finite.
            SpecError: the net does not take such images, or the device does not exist.
            MissingExtraError: torch is not installed.
        """
        name = self.card.name
        require(f"learner {name!r}", "deep", "torch", "lightning_fabric", "safetensors")
        from querist.nets import ranks
        from querist.nets.blueprint import assemble
        from querist.nets.processes import require_importable
        from querist.nets.running import make_fabric, reproducible

        if not len(job.labelled):
            raise DataError(f"learner {name!r} needs at least one label, got none. Label a first batch.")
        if self.devices > 1:
            require_importable(self)  # scoring sends it to processes, long after this
        train = self.examples(job)
        held = None if job.validation is None else self.read(job.validation)
        height, width, channels = train.images.shape[1:]
        plan = self.plan((channels, height, width), job.labelled.c)
        fabric, normalise = make_fabric(self.device, self.precision), self.normalisation(job)
        with reproducible(job.seed.child("weights"), fabric.device):
            net = assemble(plan)
            self.initialise(net, job)
            trainer = self.trainer(fabric, normalise, len(train.labels))
            trained = ranks.fit(
                trainer, self.devices, net, train, job.seed,
                validation=held, folder=job.folder, build=partial(assemble, plan),
            )  # fmt: skip
        model = DeepModel(
            learner=self, plan=plan, net=net.eval().requires_grad_(False), normalise=normalise,
            seed=job.seed.child("draws"),
            dynamics=None if trained.dynamics is None else trained.dynamics.columns(job.labelled.ids),
        )  # fmt: skip
        return replace(model, posterior=self.posterior(model, job)) if self.draws == "laplace" else model

    def posterior(self, model: DeepModel, job: Fit) -> LastLayer:
        """Return the Laplace approximation of the head of a model on its labelled rows.

        The loss is a mean over `l` rows plus ``weight_decay |W|^2 / 2``, so the precision of the prior is `l` times it.
        """
        x, (weight, bias) = model.embeddings(job.labelled), model.head
        return last_layer(x, model.provide(Probs(), job.labelled), weight, bias, self.weight_decay * len(x))

    # ------------------------------------------------------------------------------------------------------------ files

    def save(self, model: Model, folder: Path) -> None:
        """Write a model to a folder, as safetensors and JSON.

        Raises:
            StoreError: the folder cannot be written.
        """
        if not isinstance(model, DeepModel):
            raise SpecError(f"learner {self.card.name!r} keeps models of its own, not {type(model).__name__}.")
        save_model(model, folder, self.identity())

    def load(self, folder: Path) -> DeepModel:
        """Return the model that `save` wrote, with the same outputs bit for bit on the same device.

        Raises:
            DataError: the folder holds no model of this learner.
            MissingExtraError: torch is not installed.
        """
        require(f"learner {self.card.name!r}", "deep", "torch", "lightning_fabric", "safetensors")
        return load_model(folder, self)


@lru_cache(maxsize=64)
def _has_dropout(name: str) -> bool:
    """Return whether an architecture has dropout of its own; where it cannot be built nobody asks for a draw."""
    if find_spec("torch") is None or locate(name)[0] == "timm":  # timm's nets have dropout only if they are asked to
        return False
    from querist.nets.draws import architecture_has_dropout

    return architecture_has_dropout(name)


_REASONS: dict[type[Need[Any]], str] = {
    InputGradients: "this learner computes no gradients with respect to images; Gradients of the last layer it has.",
    Refit: "training a net again and again takes too long for a query; a committee of it has members on resamples.",
    Aux: "no helper of a strategy is trained beside this net.",
}
