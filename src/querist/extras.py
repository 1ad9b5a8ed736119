"""Optional parts: whether they are installed, and what to install if not."""

from importlib.util import find_spec

from querist.errors import MissingExtraError


def require(what: str, extra: str, *modules: str) -> None:
    """Raise `MissingExtraError` unless all modules that an extra brings are installed; imports nothing.

    Call it in the function that is about to import one of them, so that a component can be listed, configured and
    described without its heavy parts.

    Args:
        what: who needs them, e.g. ``"learner scratch"``.
        extra: name of the extra, as in ``querist[deep]``.
        modules: top-level names, e.g. ``"torch"``.

    >>> require("this example", "deep", "numpy")
    """
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(what, extra)
