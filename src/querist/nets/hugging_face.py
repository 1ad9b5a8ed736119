"""Vision models of transformers: read from a local folder to the last weight, quietly, and pooled as they document."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from querist.errors import DataError
from querist.nets.foreign import refusing
from querist.nets.running import reproducible
from querist.seeds import Seed

ELSEWHERE = (
    "classifier.", "pooler.", "text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias",
)  # fmt: skip
"""How names of weights begin that belong to the rest of a model: its head, its language half."""
BUFFER = "position_ids"
"""What older files hold beside their weights: numbers from 0 upwards."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers, which reports on every file it reads and draws bars, and put its settings back."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()


def load_model(folder: Path, title: str, what: str, **settings: bool) -> nn.Module:
    """Return a model with the weights of a folder, in float32 and evaluation mode, on the CPU.

    Args:
        folder: with config.json and weights; nothing else is looked for, least of all in a network.
        title: of the class of transformers.
        what: wants it, for error messages.
        settings: of the class.

    Raises:
        DataError: a weight of the model is missing or has another shape, or the files are damaged or of another model.
    """
    import transformers

    refusal = f"{what}: {folder} does not hold a {title}", "Expected what save_pretrained of this very model wrote"
    kind: Any = getattr(transformers, title, None)
    if kind is None:
        raise DataError(f"{what}: transformers {transformers.__version__} has no {title}; update it.")
    with quiet(), reproducible(Seed(0), torch.device("cpu")), refusing(*refusal):
        net, found = kind.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, **settings
        )
    # What is missing was left as it was drawn, which the library mentions and does not mind.
    wrong = [f"{name} is missing" for name in sorted(found["missing_keys"])]
    wrong += [f"{name} is unexpected" for name in sorted(found["unexpected_keys"]) if not _is_elsewhere(name)]
    wrong += [f"{entry[0]} has another shape" for entry in sorted(found["mismatched_keys"])]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise DataError(f"{refusal[0]}: {'; '.join(wrong[:3])}{more}. {refusal[1]}.")
    return net.eval()


def _is_elsewhere(name: str) -> bool:
    return name.startswith(ELSEWHERE) or name.endswith(BUFFER)


def load_processor(folder: Path, what: str) -> Any:
    """Return the image processor that the preprocessor_config.json of a folder describes.

    Raises:
        DataError: there is none, or it is damaged.
    """
    from transformers import AutoImageProcessor

    with quiet(), refusing(f"{what}: {folder} describes no preprocessing", "Expected a preprocessor_config.json"):
        return AutoImageProcessor.from_pretrained(folder, local_files_only=True)


def prepare(processor: Any, image: Any) -> Tensor:
    """Return an image of PIL as the input ``(3, h, w)`` of a model."""
    return torch.as_tensor(processor(images=[image], return_tensors="pt")["pixel_values"][0])


def load_tokens(folder: Path, texts: Sequence[str], what: str) -> dict[str, Tensor]:
    """Return texts as a text model takes them: ``(t, length)`` numbers of tokens, with a mask where it has one.

    Raises:
        DataError: there is no tokenizer, or it is damaged.
    """
    from transformers import AutoConfig, AutoTokenizer

    with quiet(), refusing(f"{what}: {folder} holds no tokenizer", "Expected a tokenizer.json and a config.json"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        length = config.get_text_config().max_position_embeddings
        # SigLIP was trained on texts filled up to one length, without a mask (Zhai et al., ICCV 2023).
        filled = config.model_type.startswith("siglip")
        found = tokenizer(
            list(texts), padding="max_length" if filled else True, truncation=True, max_length=length,
            return_tensors="pt",
        )  # fmt: skip
    return {name: found[name] for name in ("input_ids", *(() if filled else ("attention_mask",)))}


class Pooled(nn.Module):
    """A vision model as a function of inputs ``(b, 3, h, w)`` to features ``(b, d)``.

    Args:
        model: of transformers, with ``last_hidden_state`` and perhaps ``pooler_output``.
        pool: ``cls``, ``mean`` or ``pooler``, see `querist.encoders.transformers`.
        skipped: tokens before those of the patches.
    """

    def __init__(self, model: nn.Module, pool: str, skipped: int) -> None:
        super().__init__()
        self.model, self._pool, self._skipped = model, pool, skipped

    def forward(self, x: Tensor) -> Tensor:
        out = self.model(pixel_values=x)
        if self._pool == "pooler":
            return out.pooler_output.flatten(1)
        tokens = out.last_hidden_state
        return tokens[:, 0] if self._pool == "cls" else tokens[:, self._skipped :].mean(1)


class Matching(nn.Module):
    """An image-text model as a function of inputs ``(b, 3, h, w)`` to logits or probabilities ``(b, c)``.

    Identity: with unit rows e of images and t of texts, the logits are ``exp(logit_scale) e t^T``, plus the bias where
    the model has one; their softmax over the texts are the probabilities.

    Args:
        model: of transformers, such as CLIPModel.
        tokens: of one text per class, see `load_tokens`.
        probabilities: whether to take the softmax.
    """

    texts: Tensor

    def __init__(self, model: nn.Module, tokens: Mapping[str, Tensor], probabilities: bool) -> None:
        super().__init__()
        self.model, self._probabilities = model, probabilities
        config: Any = model.config
        side = int(config.vision_config.image_size)
        rows = [self._run(torch.zeros(1, 3, side, side), tokens, slice(i, i + 1)) for i in range(_count(tokens))]
        self.register_buffer("texts", torch.cat([row.text_embeds for row in rows]))
        self._names = sorted(tokens)
        for name in self._names:  # one text runs along, for the library offers both halves of the model in one call
            self.register_buffer(name, tokens[name][:1])

    def forward(self, x: Tensor) -> Tensor:
        model: Any = self.model
        images = self._run(x, {name: getattr(self, name) for name in self._names}, slice(1)).image_embeds
        bias = getattr(model, "logit_bias", None)
        logits = images @ self.texts.T * model.logit_scale.exp() + (0 if bias is None else bias)
        return logits.double().softmax(1).float() if self._probabilities else logits

    def _run(self, x: Tensor, tokens: Mapping[str, Tensor], which: slice) -> Any:
        with torch.inference_mode():
            return self.model(pixel_values=x, **{name: value[which] for name, value in tokens.items()})


def _count(tokens: Mapping[str, Tensor]) -> int:
    return len(tokens["input_ids"])
