"""Which nets there are: our own by their registry names, those of timm and torchvision by theirs. Imports no torch."""

from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from querist.errors import UnknownNameError
from querist.registry import Registry

nets: Registry[Any] = Registry("net", "querist.nets")
"""Functions of the number of channels that return a backbone: images ``(b, channels, h, w)`` to rows ``(b, d)``."""
register = nets.register

LIBRARIES = ("timm", "torchvision")
"""Libraries a net can come from, by the prefix of its name."""


def locate(name: str) -> tuple[str, str]:
    """Return where a net comes from (``querist``, ``timm`` or ``torchvision``) and what it is called there.

    ``"timm/resnet18"`` and ``"torchvision/resnet18"`` say where; a bare name is one of ours, or else one of timm. Names
    of a library that is not installed are not looked at: building the net says what to install.

    Raises:
        UnknownNameError: no such net; suggests the nearest names.
    """
    library, slash, rest = name.partition("/")
    if not slash:
        if name in nets.names():
            return "querist", name
        library, rest = "timm", name
    if library not in LIBRARIES:
        raise UnknownNameError("library of nets", library, LIBRARIES, f"the net {name!r}")
    if find_spec(library) is None:
        return library, rest
    if rest not in (listed := _listed(library)):
        prefix = f"{library}/" if slash else ""
        # A thousand names are no help in a message: those that are near, and ours.
        near = [prefix + other for other in get_close_matches(rest, listed)]
        raise UnknownNameError("net", name, [*near, *nets.names()])
    return library, rest


def _listed(library: str) -> list[str]:
    """Return the image classifiers of a library."""
    if library == "timm":
        import timm

        return timm.list_models()
    from torchvision import models

    return models.list_models(module=models)
