"""Where each strategy picked: one small map of the pool per strategy, all alike but for the picks."""

import numpy as np
import pandas as pd

from querist.arrays import Ids
from querist.report.figures import arms_in_order
from querist.report.maps import WIDTH, Frame, cloud_path, drawing
from querist.report.markup import Html, tag
from querist.report.palette import arm_colours
from querist.report.pictures import INITIAL, first_common_run
from querist.report.results import Regime

MOST = 400
"""Picks drawn per strategy, the first ones."""


def mapped(regime: Regime, prefix: str) -> Html:
    """Return the maps of a group of arms, in the order of the table of verdicts; nothing without a map of the pool.

    Args:
        regime: the arms.
        prefix: what the names of elements begin with, so that groups on one page do not collide.
    """
    pool = regime.study.map
    if pool is None:
        return Html("")
    arms = [row.arm for row in regime.comparison.arms]
    picks = first_common_run(regime.picks, arms).sort_values(by=["round", "rank"])
    frame = Frame.around(pool.cloud, tallest=WIDTH)
    cloud = tag("defs", None, cloud_path(frame, pool.cloud, name=f"{prefix}cloud"))
    panels = [_panel(regime, arm, picks.loc[picks["arm"] == arm], frame, f"{prefix}cloud") for arm in arms]
    shown = [panel for panel in panels if panel]
    if not shown:
        return Html("")
    words = (
        "The picks of the first pool among the pool. Small dots are the pool, black (or white) ones the labels that "
        f"a strategy began with, coloured ones what it chose. The plane is {pool.words}; "
        "what looks near in it may not be."
    )
    return tag(
        "section", None, tag("h2", {"id": f"{prefix}maps"}, "Where each strategy picked"),
        tag("p", {"class": "small"}, words),
        tag("svg", {"width": 0, "height": 0, "style": "position:absolute", "aria-hidden": "true"}, cloud),
        tag("div", {"class": "panels"}, *shown),
    )  # fmt: skip


def _panel(regime: Regime, arm: str, picks: pd.DataFrame, frame: Frame, cloud: str) -> Html:
    start = _ids(picks.loc[picks["round"] == INITIAL])
    own = _ids(picks.loc[picks["round"] != INITIAL])[:MOST]
    pool = regime.study.map
    if pool is None or not len(start) + len(own):
        return Html("")
    order = arms_in_order(regime.comparison)
    place = order.index(arm)
    colours = [arm_colours(len(order), paper)[place] for paper in ("light", "dark")]
    everything = pool.locate(np.concatenate([start, own]))
    paths = [cloud_path(frame, everything, "halo")]
    if len(start):
        paths.append(cloud_path(frame, everything[: len(start)], "start"))
    if len(own):
        paths.append(cloud_path(frame, everything[len(start) :], "own"))
    words = f"{arm}: {len(start)} labels to begin with, {len(own)} picks"
    picture = drawing(frame, words, tag("use", {"href": f"#{cloud}"}), *paths)
    style = f"--on-light:{colours[0]};--on-dark:{colours[1]}"
    return tag("figure", {"style": style}, picture, tag("figcaption", None, arm))


def _ids(picks: pd.DataFrame) -> Ids:
    return picks["id"].to_numpy(dtype=np.int64)
