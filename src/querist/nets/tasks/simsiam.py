"""SimSiam in torch: predict one view's projection from the other's, through a gradient that is stopped."""

from collections.abc import Iterable

from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor, nn

from querist.nets.tasks.base import Outcome, Start
from querist.nets.twinning import Twinning
from querist.nets.twins import TwinTask


class SimSiamTask(TwinTask):
    """Backbone, projector of three layers, predictor of two.

    Args:
        start: what it begins with.
        twinning: how views differ.
        hidden: width of the projector's hidden layers.
        width: of what is compared.
        bottleneck: width of the predictor's hidden layer.
    """

    def __init__(self, start: Start, twinning: Twinning, *, hidden: int, width: int, bottleneck: int) -> None:
        super().__init__(start, twinning)
        # The last batch normalisation has no weights and no layer before it a bias.
        self.projector = SimSiamProjectionHead(start.d, hidden, width)
        self.predictor = SimSiamPredictionHead(width, bottleneck, width)
        self.criterion = NegativeCosineSimilarity()

    def constant(self) -> Iterable[nn.Module]:
        """Return the predictor: it has to keep up with what it predicts (Chen & He, CVPR 2021, section 4.1)."""
        return (self.predictor,)

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return the projections of both views, whose gradient is stopped, and the predictions from them."""
        z1, z2 = (self.projector(self.backbone(view)) for view in views)
        return z1.detach(), z2.detach(), self.predictor(z1), self.predictor(z2)

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the mean of both directions of the negative cosine of prediction and projection."""
        z1, z2, p1, p2 = parts
        return Outcome((self.criterion(p1, z2) + self.criterion(p2, z1)) / 2, z1, {})
