"""Which nets there are: our own by their registry names, those of timm and torchvision by theirs. Imports no torch."""

from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from querist.errors import SpecError, UnknownNameError, UsageError
from querist.registry import Registry

nets: Registry[Any] = Registry("net", "querist.nets")
"""Functions of the number of channels that return a backbone: images ``(b, channels, h, w)`` to rows ``(b, d)``.

Further parameters, all with defaults, are settings: ``"wrn_28_2(dropout=0.5)"``.
"""
register = nets.register

LIBRARIES = ("timm", "torchvision")
"""Libraries a net can come from, by the prefix of its name."""

ALIASES = {
    "wrn_50_2": "wide_resnet50_2",
    "wrn_101_2": "wide_resnet101_2",
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
}
"""What the literature calls nets of the libraries."""

NO_DROPOUT = (
    "the net has no dropout, so it is one function and has no draws: set dropout=0.5, say, in the learner, and in that "
    "of every arm it is compared with, for it is another net; or take a net that has dropout inside, such as "
    "'wrn_28_2', 'vgg16_bn' or 'cnn13', or a committee."
)
"""What is said where draws are asked of a net without dropout."""


def locate(name: str) -> tuple[str, str]:
    """Return where a net comes from (``querist``, ``timm`` or ``torchvision``) and what it is called there.

    ``"timm/resnet18"`` and ``"torchvision/resnet18"`` say where; a bare name is one of ours, or else one of timm, or
    else one of torchvision. One of ours may have settings in brackets, which are read when it is built. Names of a
    library that is not installed are not looked at: building the net says what to install.

    Raises:
        UnknownNameError: no such net; suggests the nearest names.
        SpecError: settings that are not in brackets, or for a net of a library.
    """
    title, bracket, _ = name.partition("(")
    if bracket and not name.endswith(")"):
        raise SpecError(f"Expected settings of a net in brackets, as in 'wrn_28_2(dropout=0.1)', got {name!r}.")
    library, slash, rest = title.partition("/")
    if not slash:
        if title in nets.names():
            return "querist", name
        rest = ALIASES.get(title, title)
        # Without timm nobody knows whether the name is one of its: torchvision's net of that name may be another.
        elsewhere = find_spec("timm") is not None and rest not in _listed("timm") and rest in _listed("torchvision")
        library = "torchvision" if elsewhere else "timm"
    if library not in LIBRARIES:
        raise UnknownNameError("library of nets", library, LIBRARIES, f"the net {name!r}")
    if find_spec(library) is not None and rest not in (listed := _listed(library)):
        prefix = f"{library}/" if slash else ""
        # A thousand names are no help in a message: those that are near, and ours.
        near = [prefix + other for other in get_close_matches(rest, listed)]
        raise UnknownNameError("net", title, [*near, *nets.names()])
    if bracket:
        raise SpecError(f"the net {name!r} is one of {library}, whose nets take no settings here; write {title!r}.")
    return library, rest


def build_ours(name: str, channels: int) -> Any:
    """Return the backbone of one of our nets, or of a plugin's, e.g. of ``"wrn_28_2(dropout=0.5)"``.

    Raises:
        UnknownNameError: an unknown name or setting.
        SpecError: a missing or mistyped setting.
    """
    title, _, settings = name.partition("(")
    try:
        return nets.build(f"{title}({channels}, {settings or ')'}", f"the net {name!r}")
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise SpecError(f"the net {name!r} cannot be built: {error}.") from error  # torch refuses a share above 1


def _listed(library: str) -> list[str]:
    """Return the image classifiers of a library; none if it is not installed."""
    if find_spec(library) is None:
        return []
    if library == "timm":
        import timm

        return timm.list_models()
    from torchvision import models

    return models.list_models(module=models)
