"""Probabilities of named classes without a label: how well images match the names, by an image-text model."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.inference import fitted_net
from querist.encoders.transformers import CONFIG, digests, model_files, model_type, preparation
from querist.errors import SpecError, UnknownNameError
from querist.evidence.view import View
from querist.registry import describe
from querist.seeds import Seed

WHO = "encoder zero_shot"
FAMILIES = {"clip": "CLIPModel", "siglip": "SiglipModel"}
"""Classes of transformers by what config.json calls ``model_type``."""
TOKENIZER = "tokenizer.json"


@register("zero_shot", cite="Radford et al., CLIP, ICML 2021; Zhai et al., SigLIP, ICCV 2023")
@dataclass(frozen=True, kw_only=True)
class ZeroShot(Encoder):
    """Says how likely an image is of each of the named classes, by a CLIP or SigLIP model that saw no label.

    Its features ``(n, c)`` are probabilities in the order of the names: what ``querist encode`` writes of them is a
    file for ``external_model_rank`` and for ``querist.select(probs=...)``, which so can start without a label. SigLIP
    was trained to judge every pair by itself; here, too, classes exclude one another, and probabilities sum to one.

    Attributes:
        model: name on the Hugging Face hub, whence it is downloaded once, or a local folder that ``save_pretrained``
            wrote, of model, image processor and tokenizer; ``~`` and ``$VARIABLES`` are resolved. Results record the
            content, not the place.
        classes: what to look for, in the order of the declared classes.
        template: the text about a class; its name takes the place of ``{}``.
        output: ``probs``, or the ``logits`` before the softmax.
        batch: images per forward pass.
        device: where to compute; ``auto`` takes a graphics card if there is one. No part of results.
    """

    model: str = "openai/clip-vit-base-patch32"
    classes: tuple[str, ...] = ()
    template: str = "a photo of a {}."
    output: Literal["probs", "logits"] = "probs"
    batch: int = 16
    device: Literal["auto", "cpu", "cuda"] = "auto"

    storage: ClassVar = "float32"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise SpecError(f"expected batch to be at least 1, got {self.batch}.")
        if self.template.count("{}") != 1:
            raise SpecError(f"expected a template with one place for the name, as in 'a {{}}', got {self.template!r}.")
        if any(not name.strip() for name in self.classes) or len(set(self.classes)) < len(self.classes):
            raise SpecError(f"expected class names that differ and are not blank, got {list(self.classes)}.")

    def identity(self) -> dict[str, object]:
        """Return what probabilities depend on: content of the model, class names and template; downloads the model.

        Raises:
            DataError: the model cannot be had.
            MissingExtraError: transformers is not installed.
            SpecError: there are no class names.
            UnknownNameError: the model is no image-text model.
        """
        files, _ = self._found()
        words = {"classes": list(self.classes), "template": self.template, "output": self.output}
        return {"name": describe(self)["name"], **words, "files": digests(files)}

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at.

        Raises:
            DataError: the model cannot be had, or a weight is missing.
            MissingExtraError: transformers is not installed.
            SpecError: there are no class names, or no such device here.
            UnknownNameError: the model is no image-text model.
        """
        files, title = self._found()
        folder = files[CONFIG].parent
        from querist.nets.hugging_face import Matching, load_model, load_tokens

        tokens = load_tokens(folder, [self.template.replace("{}", name) for name in self.classes], WHO)
        net = Matching(load_model(folder, title, WHO), tokens, self.output == "probs")
        return fitted_net(net, preparation(folder, WHO), batch=self.batch, device=self.device)

    def _found(self) -> tuple[dict[str, Path], str]:
        """Return the files of the model, and the class of transformers it is of."""
        if len(self.classes) < 2:
            raise SpecError(
                f"{WHO}: expected the names of at least two classes, got {list(self.classes)}. Name them, in the order "
                "in which they are declared: zero_shot(classes=['cat', 'dog'])."
            )
        files = model_files(self.model, WHO, (TOKENIZER, "tokenizer_config.json"))
        kind = model_type(files[CONFIG], WHO)
        if kind not in FAMILIES:
            raise UnknownNameError("family of image-text models", kind, FAMILIES, self.model)
        return files, FAMILIES[kind]
