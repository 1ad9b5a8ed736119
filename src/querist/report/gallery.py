"""The gallery: one page per registered strategy with what it picks of a toy, and an index of them all."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from querist.errors import DataError
from querist.files import write_bytes
from querist.progress import tell
from querist.report.exhibit import FOLDER, Exhibit, exhibit
from querist.report.gallery_index import index_page
from querist.report.gallery_page import strategy_page
from querist.report.toy import toy
from querist.strategies.base import strategies


def write_gallery(out: Path, names: Iterable[str] | None = None, costs: Mapping[str, str] | None = None) -> Path:
    """Write the gallery and return the path of its index. The same strategies give the same bytes.

    Args:
        out: the folder; files of the same names are replaced, others stay.
        names: which strategies; all by default, those of third parties included.
        costs: sentences on time and memory by name, see `read_costs`.

    Raises:
        UnknownNameError: there is no such strategy.
        StoreError: a file cannot be written.
    """
    wanted = strategies.names() if names is None else sorted({strategies.card(name).name for name in names})
    found: list[Exhibit] = []
    for done, name in enumerate(wanted, start=1):
        found.append(exhibit(strategies.card(name), (costs or {}).get(name, "")))
        tell("gallery", done, len(wanted))
    for place, one in enumerate(found):
        before, after = (found[place - 1] if place else None), (found[place + 1] if place + 1 < len(found) else None)
        write_bytes(out / FOLDER / one.page, strategy_page(one, toy(), before, after, wanted).encode())
    index = out / "index.html"
    write_bytes(index, index_page(found, toy()).encode())
    return index


def read_costs(path: Path) -> dict[str, str]:
    """Return sentences on time and memory from a table of measurements.

    Args:
        path: a JSON document with ``workload``, what was measured, and ``rows``, each with ``name``, ``seconds`` and
            ``megabytes`` beyond the inputs, and with a ``workload`` of its own if it was another.

    Raises:
        DataError: it is no such document.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {row["name"]: _cost(row, document["workload"]) for row in document["rows"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected a JSON document with 'workload' and 'rows' of name, seconds, megabytes; got {error!r}."
        ) from None


def _cost(row: Mapping[str, Any], workload: str) -> str:
    seconds, megabytes = float(row["seconds"]), float(row["megabytes"])
    return f"{seconds:.3g} s and {megabytes:,.0f} MB beyond its inputs for {row.get('workload', workload)}."
