"""The page of a pool as one self-contained HTML file, and the same as a document for programs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from querist.arrays import Array
from querist.data.dataset import Dataset
from querist.files import write_bytes
from querist.report.first_pools import correlations_of, first_pools
from querist.report.initial_grid import grids
from querist.report.maps import EmbeddingMap
from querist.report.markup import Html, document, join, resource, table, tag, void
from querist.report.page import LICENCES, POLICY, scripts, specification
from querist.report.palette import PAPERS
from querist.report.pictures import data_uri
from querist.report.pool import LONGEST, Chosen, Classes, Near, PoolReport
from querist.report.pool_figures import (
    class_figure,
    coverage_figure,
    data_map_figure,
    nearest_figure,
    pool_theme,
    purity_figure,
    seen_figure,
    trace_figure,
)
from querist.report.pool_map import picture_of
from querist.report.wording import NOTHING

LISTED = 8
"""Pairs of look-alikes that a table shows."""


def write_pool_report(path: str | Path, report: PoolReport) -> Path:
    """Write the page of a pool and return its path; the file is there whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    target = Path(path)
    write_bytes(target, pool_page(report).encode())
    return target


def pool_page(report: PoolReport) -> str:
    """Return the whole page. The same report gives the same bytes."""
    charts: dict[str, alt.LayerChart] = {}
    body = [_suggestions(report, charts), _classes(report, charts), _map(report), _nearest(report, charts)]
    body += [_purity(report, charts), _near(report), _data_map(report, charts), _traces(report, charts)]
    sections = tag("section", {"data-regime": 0, "data-axis": "linear"}, *body)
    themes: list[Any] = [{paper: pool_theme(paper) for paper in PAPERS}]
    figures: dict[str, object] = {name: specification(chart) for name, chart in charts.items()}
    study = []
    if report.study is not None:
        for part in (*grids(report.study), *first_pools(report.study)):
            study.append(part.section(len(themes)))
            themes.append(part.themes)
            figures |= part.figures
    facts = tag("dl", None, *(join([tag("dt", None, k), tag("dd", None, v)]) for k, v in report.facts.items()))
    main = tag(
        "main", None, _header(report), sections, *study,
        tag("section", None, tag("h2", {"id": "how"}, "What this was made from"), facts),
        tag("footer", None, "Made by Querist. Everything on this page is in this one file."),
    )  # fmt: skip
    styles = [resource("page.css"), resource("pool.css")]
    title = f"{report.dataset.name} · pool"
    return document(title, POLICY, styles, main, *scripts(figures, themes), comment=LICENCES)


def pool_document(report: PoolReport) -> dict[str, Any]:
    """Return the numbers of the page as a JSON document; null where nothing can be said, and why under ``left_out``."""
    found: dict[str, Any] = {
        "dataset": report.dataset.name, "pool": len(report.dataset.pool), "test": len(report.dataset.test),
        "encoder": report.encoder, "hubness": report.hubness._asdict(),
        "suggestions": [suggestion._asdict() for suggestion in report.plan.suggestions],
        "coverage": {name: curve.tolist() for name, curve in report.plan.covered.items()},
    }  # fmt: skip
    near, eye = report.near, report.near.by_eye
    found["near_duplicates"] = {
        "threshold": near.pool.threshold, "compared": near.compared, "in_pool": near.pool.rows,
        "of_test": near.test.rows,
        "by_eye": None if eye is None else {"in_pool": len(eye.pool), "of_test": len(eye.leaks)},
    }  # fmt: skip
    classes, chosen, nearest, purity = report.classes, report.chosen, report.nearest, report.purity
    found["rounds"] = None if isinstance(chosen, str) else _rounds(chosen, classes, nearest)
    found["classes"] = None if isinstance(classes, str) or classes.pool is None else {
        name: int(n) for name, n in zip(classes.names, classes.pool.count_c, strict=True)
    }  # fmt: skip
    found["purity"] = None if isinstance(purity, str) else {"radius": _finite(purity.advised), "of": purity.words}
    traces = report.traces
    found["traces"] = None if isinstance(traces, str) else {
        name: {"mean": float(values.mean()), "sd": float(values.std())} for name, values in traces.items()
    }  # fmt: skip
    mapped = report.data_map
    found["data_map"] = None if isinstance(mapped, str) else {
        region: int((mapped.regions == region).sum()) for region in ("easy", "ambiguous", "hard")
    }  # fmt: skip
    if report.study is not None:
        found["correlations"] = correlations_of(report.study)
    parts = {"picks": chosen, "classes": classes, "purity": purity, "traces": traces, "data_map": mapped}
    found["left_out"] = {name: part for name, part in parts.items() if isinstance(part, str)}
    return found


def _rounds(chosen: Chosen, classes: Classes | str, nearest: Array | str) -> list[dict[str, Any]]:
    rows = []
    for number, (name, n) in enumerate(zip(chosen.names, chosen.counts, strict=True)):
        row: dict[str, Any] = {"round": name, "labels": n}
        if not isinstance(classes, str) and classes.rounds:
            counts = classes.rounds[number]
            row |= {"classes": int(np.count_nonzero(counts.count_c)), "entropy": _finite(counts.entropy)}
        if not isinstance(nearest, str):
            row |= {"mean_distance": float(nearest[number].mean()), "largest_distance": float(nearest[number].max())}
        rows.append(row)
    return rows


def _header(report: PoolReport) -> Html:
    data, chosen = report.dataset, report.chosen
    facts = [f"{len(data.pool):,} items in the pool", report.encoder]
    if not isinstance(chosen, str):
        facts.append(f"{len(chosen.ids):,} picks {chosen.words}")
    links = [("budget", "First budget"), ("classes", "Classes"), ("map", "Map"), ("near", "Near-duplicates")]
    nav = tag("nav", {"aria-label": "Sections"}, *(tag("a", {"href": f"#{at}"}, text) for at, text in links))
    hubs = report.hubness
    notice = tag("div", {"class": "notice", "role": "note"}, tag("p", None, hubs.notice)) if hubs.worrying else Html("")
    return tag(
        "header", None, tag("p", {"class": "eyebrow"}, "Pool"), tag("h1", None, data.name),
        tag("p", {"class": "lede"}, " · ".join(facts)), nav, notice,
        Html("<noscript><p>The figures need JavaScript; the numbers stand in the tables.</p></noscript>"),
    )  # fmt: skip


def _suggestions(report: PoolReport, charts: dict[str, alt.LayerChart]) -> Html:
    plan = report.plan
    charts |= {"coverage": coverage_figure(plan), "seen": seen_figure(plan)}
    rows: list[tuple[str, list[object]]] = [
        ("", [s.rule, f"{s.labels:,}" if s.labels is not None else f"over {LONGEST}", s.why]) for s in plan.suggestions
    ]
    words = (
        f"Suggestions, not advice: none knows what a label costs. Coverage is the mean similarity of {plan.rows:,} "
        "items to the nearest label, exp(−distance²), where labels go to what max_herding or typiclust picks."
    )
    where = (
        "Random labels miss rare classes for long: the right curve says how many are expected to be among them"
        + (", of the true classes." if plan.groups == "classes" else ", of k-means clusters in the place of classes.")
    )  # fmt: skip
    heads = [("By", "text"), ("Labels", ""), ("Because", "text wide")]
    return join([
        tag("h2", {"id": "budget"}, "How many labels to begin with"), tag("p", {"class": "small"}, words),
        table("Suggested first budgets", heads, rows), tag("p", {"class": "small"}, where),
        tag("div", {"class": "two"}, _figure("coverage", "Coverage by labels"), _figure("seen", "Found at random")),
    ])  # fmt: skip


def _classes(report: PoolReport, charts: dict[str, alt.LayerChart]) -> Html:
    found, title = report.classes, tag("h2", {"id": "classes"}, "Classes")
    if isinstance(found, str):
        return join([title, _left(found)])
    charts["classes"] = class_figure(found)
    parts = [title, tag("p", {"class": "small"}, f"The labels are {found.words}.")]
    marks = "Bars are the picks, grey marks the pool" if found.rounds else "Bars are the pool"
    parts.append(_figure("classes", f"{marks}: the share of each class."))
    if found.rounds and not isinstance(report.chosen, str):
        c = len(found.names)
        rows: list[tuple[str, list[object]]] = [
            (
                "",
                [
                    name, f"{n:,}", f"{np.count_nonzero(counts.count_c)} of {c}", _number(counts.entropy, 2),
                    f"{100 * counts.evenness:.0f} %" if counts.evenness == counts.evenness else NOTHING,
                ],
            )
            for name, n, counts in zip(report.chosen.names, report.chosen.counts, found.rounds, strict=True)
        ]  # fmt: skip
        heads = [("After", "text"), ("Labels", ""), ("Classes seen", ""), ("Entropy, bits", ""), ("Of the most", "")]
        parts.append(table(f"Class coverage and entropy of the picks; equal counts have log2 {c} bits", heads, rows))
    return join(parts)


def _map(report: PoolReport) -> Html:
    title = tag("h2", {"id": "map"}, "Map")
    if not isinstance(report.map, EmbeddingMap):
        return join([title, _left(report.map)])
    drawn = len(report.map.cloud)
    some = f"{drawn:,} of the {len(report.dataset.pool):,} items" if drawn < len(report.dataset.pool) else "the pool"
    chosen = report.chosen
    picks = "" if isinstance(chosen, str) else f" Coloured dots are picks {chosen.words}, from early to late."
    caption = f"Grey dots are {some}. The plane is {report.map.words}.{picks}"
    figure = tag("figure", {"class": "poolmap"}, tag("figcaption", None, caption), picture_of(report.map, chosen))
    return join([title, figure, _left(chosen) if isinstance(chosen, str) else ""])


def _nearest(report: PoolReport, charts: dict[str, alt.LayerChart]) -> Html:
    title = tag("h2", None, "Distance to the nearest label")
    if isinstance(report.nearest, str) or isinstance(report.chosen, str):
        return join([title, _left(report.chosen if isinstance(report.chosen, str) else str(report.nearest))])
    charts["nearest"] = nearest_figure(report.nearest, report.chosen, report.dataset.pool)
    rows: list[tuple[str, list[object]]] = [
        (
            "",
            [
                name, f"{n:,}", *(_number(v, 3) for v in (gap.mean(), *np.quantile(gap, [0.5, 0.9]), gap.max())),
            ],
        )
        for name, n, gap in zip(report.chosen.names, report.chosen.counts, report.nearest, strict=True)
    ]  # fmt: skip
    heads = [("After", "text"), ("Labels", ""), ("Mean", ""), ("Median", ""), ("90 %", ""), ("Largest", "")]
    caption = "Items without a label; features have unit length, so the same direction is 0 away, the opposite one 2."
    return join([title, _figure("nearest", caption), table("Distance of the pool's items", heads, rows)])


def _purity(report: PoolReport, charts: dict[str, alt.LayerChart]) -> Html:
    title = tag("h2", None, "Purity of balls")
    if isinstance(report.purity, str):
        return join([title, _left(report.purity)])
    if not np.isfinite(report.purity.radius).any():
        return join([title, _left("Every ball is pure at any radius.")])
    charts["purity"] = purity_figure(report.purity)
    words = (
        f"Share of {len(report.purity.radius):,} balls around items of the pool that hold items of one label only; the "
        f"labels are {report.purity.words}. prob_cover wants balls as large as the mark, but none above 1."
    )
    return join([title, _figure("purity", words)])


def _near(report: PoolReport) -> Html:
    near, data = report.near, report.dataset
    of = f"{near.compared:,} items of the pool" + (" (a sample)" if near.compared < len(data.pool) else "")
    lines = [
        f"{near.pool.rows:,} of {of} have another one nearer than {near.pool.threshold:.3f}, a tenth of the usual "
        "distance to a nearest neighbour.",
    ]
    if len(data.test):
        lines.append(f"{near.test.rows:,} test items have an item of the pool that near; learning from it flatters.")
    if near.by_eye is not None:
        lines.append(
            f"By eye (perceptual hashes and thumbnails), {len(near.by_eye.pool):,} items of the pool are near copies "
            f"of another one, and {len(near.by_eye.leaks):,} of a test or validation item."
        )
    lines.append(f"Hubness of the features: {report.hubness}.")
    parts = [tag("h2", {"id": "near"}, "Near-duplicates"), *(tag("p", None, line) for line in lines)]
    for name, pairs in (("in the pool", near.pool), ("of a test item and one of the pool", near.test)):
        if len(pairs.worst):
            parts.append(_pairs(data, f"Nearest pairs {name}", pairs.worst[:LISTED], pairs.distance[:LISTED]))
    return join([*parts, _eyed(data, near)])


def _eyed(data: Dataset, near: Near) -> Html:
    if near.by_eye is None or not (near.by_eye.pool or near.by_eye.leaks):
        return Html("")
    worst = np.array([*near.by_eye.leaks, *near.by_eye.pool][:LISTED], np.intp)
    return _pairs(data, "Near copies by eye, those of test items first", worst, None)


def _pairs(data: Dataset, caption: str, worst: np.ndarray[Any, Any], distance: Array | None) -> Html:
    rows: list[tuple[str, list[object]]] = []
    for place, (one, other) in enumerate(worst.tolist()):
        cells: list[object] = [join([_thumbnails(data, (one, other)), f"{_name(data, one)} and {_name(data, other)}"])]
        rows.append(("", cells if distance is None else [*cells, f"{distance[place]:.4f}"]))
    heads = [("Items", "text"), *([("Distance", "")] if distance is not None else [])]
    return table(caption, heads, rows)


def _thumbnails(data: Dataset, items: Sequence[int]) -> Html:
    if data.picture is None:
        return Html("")
    images = [void("img", {"src": data_uri(data.picture(i)), "alt": "", "loading": "lazy"}) for i in items]
    return tag("span", {"class": "pair"}, *images)


def _name(data: Dataset, item: int) -> str:
    return Path(data.paths[item]).name if data.paths is not None else data.manifest.keys[item]


def _data_map(report: PoolReport, charts: dict[str, alt.LayerChart]) -> Html:
    found, title = report.data_map, tag("h2", None, "Data map")
    if isinstance(found, str):
        return join([title, _left(found)])
    charts["data-map"] = data_map_figure(found)
    counts = {region: int((found.regions == region).sum()) for region in ("easy", "ambiguous", "hard")}
    words = ", ".join(f"{count:,} {region}" for region, count in counts.items())
    caption = (
        f"How {len(found.ids):,} labels fared while a model was trained on them: {words}. It is made from labels, so "
        "it explains a training and is no reason to pick an item."
    )
    return join([title, _figure("data-map", caption)])


def _traces(report: PoolReport, charts: dict[str, alt.LayerChart]) -> Html:
    found, title = report.traces, tag("h2", None, "Rankings by the pre-training")
    if isinstance(found, str):
        return join([title, _left(found)])
    places = []
    for name, values in found.items():
        charts[f"trace-{name}"] = trace_figure(name, values)
        places.append(_figure(f"trace-{name}", f"{name} of each item of the pool, at the end of the pre-training"))
    return join([title, tag("div", {"class": "two"}, *places)])


def _figure(name: str, caption: str) -> Html:
    return tag("figure", None, tag("figcaption", None, caption), tag("div", {"class": "chart", "data-figure": name}))


def _left(why: str) -> Html:
    return tag("p", {"class": "left"}, why)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else NOTHING


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
