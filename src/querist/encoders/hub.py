"""Files of the Hugging Face hub: from the local cache, or downloaded, or a quick answer why neither can be had."""

import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from querist.errors import DataError

PATIENCE = 5.0
"""Seconds to wait for the hub's first answer. The hub's own client tries for minutes before it gives up."""


def hub_file(repository: str, filename: str, what: str) -> Path:
    """Return a file of the hub, downloaded unless the hub's local cache has it.

    Args:
        repository: such as ``timm/resnet18.a1_in1k``.
        filename: inside it.
        what: who wants it, for the error message.

    Raises:
        DataError: it is neither in the cache nor to be had; names three ways out.
    """
    found = find_on_hub(repository, filename)
    if isinstance(found, Path):
        return found
    raise DataError(
        f"{what}: the weights {repository} cannot be had: {found}. Three ways out: connect to the internet once, they "
        f"are kept for later; download {filename} from https://huggingface.co/{repository} elsewhere and name the file "
        "in the setting 'weights'; or use an encoder without a download, 'handcrafted' or 'backbone'."
    )


def find_on_hub(repository: str, filename: str) -> Path | str:
    """Return a file of the hub, or why it cannot be had; without a network the answer comes within seconds."""
    if find_spec("huggingface_hub") is None:
        return "huggingface_hub is not installed (it comes with the extra 'deep')"
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, filename, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    if constants.HF_HUB_OFFLINE:
        return "they are not in the hub's cache, and HF_HUB_OFFLINE forbids to download"
    if reason := unreachable(constants.ENDPOINT):
        return f"they are not in the hub's cache, and {constants.ENDPOINT} does not answer ({reason})"
    try:
        return Path(hf_hub_download(repository, filename))
    except (HfHubHTTPError, OSError) as error:
        return (str(error) or type(error).__name__).splitlines()[0]


def unreachable(address: str) -> str:
    """Return why an address does not answer within `PATIENCE`; empty if it does, whatever it says."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE):
            return ""
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        return str(getattr(error, "reason", error))
