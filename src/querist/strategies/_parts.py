"""What wrappers share whose base chooses within parts of the pool: evidence about a part, picks put together."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from querist.arrays import Array, Rows
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, Neighbourhood, Neighbours
from querist.kernels.neighbours import nearest_neighbours
from querist.strategies.base import Picks, State, Strategy
from querist.strategies.composition import asking


def needs_of_parts(needs: Iterable[Need[Any]]) -> tuple[Need[Any], ...]:
    """Return what parts of the pool are made of: neighbours within a part are found anew, among its features."""
    return tuple(dict.fromkeys(need.features if isinstance(need, Neighbours) else need for need in needs))


class Part(NamedTuple):
    """Some candidates as if, beside the labelled rows, there were no others."""

    rows: Rows
    """Where the candidates of the part stand among all candidates."""
    evidence: Evidence
    """About them alone."""


def part_of(ev: Evidence, rows: Rows, base: Strategy) -> Part:
    """Return some candidates with the evidence about them alone.

    The frame ``all`` is cut as well, so that a base that covers, clusters or compares looks at the part and at what is
    labelled, and takes the time of the part. Needs that only the wrapper reads come along where they can be cut.

    Args:
        ev: about all candidates, with the needs that `needs_of_parts` makes of those of the base.
        rows: of candidates, in any order.
        base: what will read it.
    """
    wanted = [need for need in _ever(base) if isinstance(need, Neighbours) and need.features in ev.needs]
    if len(rows) == len(ev.candidates) and not wanted:
        return Part(np.arange(len(rows)), ev)
    rows = rows[np.argsort(ev.candidates[rows])]
    kept = np.zeros(len(ev.all), np.bool_)
    kept[np.append(ev.rows("labelled"), ev.rows("candidates")[rows])] = True
    frames = {"candidates": rows, "all": np.flatnonzero(kept)}
    values: dict[Need[Any], Any] = {}
    for need in ev.needs:
        if not isinstance(need, Neighbours):
            values[need] = need.cut(ev[need], frames[need.frame]) if need.frame in frames else ev[need]
    for need in wanted:
        indices_n_k, distance_n_k = nearest_neighbours(values[need.features], need.k)
        n, found = indices_n_k.shape
        values[need] = Neighbourhood(np.arange(n + 1) * found, indices_n_k.ravel(), distance_n_k.ravel())
    return Part(rows, Evidence(ev.candidates[rows], values, labelled=ev.labelled, targets=ev.ids("targets"), c=ev.c))


def together(parts: Sequence[tuple[Part, Picks]], turns: Sequence[Array], *, exact: bool = True) -> Picks:
    """Return the picks within several parts as one batch.

    Args:
        parts: each with the picks among its rows.
        turns: for each pick of each part when it comes; among equals the earlier part first.
        exact: whether the propensities within the parts are those of the whole.
    """
    order = np.argsort(np.concatenate(turns), kind="stable")
    rows = np.concatenate([part.rows[picks.rows] for part, picks in parts])[order]

    def joined(values: Sequence[Array | None]) -> Array | None:
        present = [value for value in values if value is not None]
        return np.concatenate(present)[order] if len(present) == len(values) else None

    certificate = parts[0][1].certificate if len(parts) == 1 else None
    propensity = joined([picks.propensity for _, picks in parts]) if exact else None
    return Picks(rows, joined([picks.utility for _, picks in parts]), propensity, certificate)


def _ever(strategy: Strategy) -> set[Need[Any]]:
    """Return the needs and wants that a strategy may have in one state or another."""
    states = State(), State(round=1, n_labelled=2, has_model=True)
    own = {need for state in states for need in (*strategy.needs_at(state), *strategy.wants_at(state))}
    return own.union(*(_ever(part) for part in asking(strategy)))
