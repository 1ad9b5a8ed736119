"""Files of the Hugging Face hub and of torch's: from the local cache, or downloaded, or a quick answer why not."""

import re
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from querist.errors import DataError

PATIENCE = 5.0
"""Seconds to wait for the hub's first answer. The hub's own client tries for minutes before it gives up."""


NAME_IT = "name the file in the setting 'weights'"
"""What to do with a file of weights that was downloaded elsewhere."""

HASHED = re.compile(r"-([0-9a-f]{8,})\.[a-z]+$")
"""How torch's hub marks a file with the beginning of its digest."""


def hub_file(repository: str, filename: str, what: str, instead: str = NAME_IT) -> Path:
    """Return a file of the hub, downloaded unless the hub's local cache has it.

    Args:
        repository: such as ``timm/resnet18.a1_in1k``.
        filename: inside it.
        what: who wants it, for the error message.
        instead: what to do with a file that was downloaded elsewhere.

    Raises:
        DataError: it is neither in the cache nor to be had; names three ways out.
    """
    found = find_on_hub(repository, filename)
    if isinstance(found, Path):
        return found
    where = f"{filename} from https://huggingface.co/{repository}"
    raise DataError(f"{what}: the weights {repository} cannot be had: {found}. {_ways_out(where, instead)}")


def torch_file(url: str, what: str) -> Path:
    """Return a file of torch's hub, downloaded unless torch's local cache has it.

    Args:
        url: as torchvision knows it; its name ends in the beginning of the SHA-256 digest of the content.
        what: who wants it, for the error message.

    Raises:
        DataError: it is neither in the cache nor to be had; names three ways out.
    """
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if file.is_file():
        return file
    host = "/".join(url.split("/")[:3])
    problem = f"{host} does not answer ({reason})" if (reason := unreachable(host)) else ""
    if not problem:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_digits(url), progress=False)
            return file
        except (OSError, RuntimeError) as error:  # torch raises the latter if the content is not what its name says
            problem = (str(error) or type(error).__name__).splitlines()[0]
    raise DataError(
        f"{what}: the weights {file.name} cannot be had: they are not in torch's cache, {file.parent}, and {problem}. "
        + _ways_out(url, NAME_IT)
    )


def hash_digits(url: str) -> str | None:
    """Return the first digits of the SHA-256 digest of a file of torch's hub, which its name ends in.

    >>> hash_digits("https://download.pytorch.org/models/resnet50-0676ba61.pth")
    '0676ba61'
    """
    found = HASHED.search(url)
    return found and found.group(1)


def _ways_out(where: str, instead: str) -> str:
    return (
        f"Three ways out: connect to the internet once, they are kept for later; download {where} elsewhere and "
        f"{instead}; or use an encoder without a download, 'handcrafted' or 'backbone'."
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
