"""One self-contained HTML file: verdicts first, then figures, pictures, method and data. It needs no network."""

import gzip
import json
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import altair as alt
import pandas as pd
import vl_convert

from querist.files import write_bytes
from querist.report.first_pools import first_pools
from querist.report.foreseen import foreseen
from querist.report.initial_grid import grids
from querist.report.markup import Html, document, join, resource, tag
from querist.report.palette import PAPERS, Paper, theme
from querist.report.panels import mapped
from querist.report.results import Regime, StudyResults
from querist.report.sections import figures, figures_of, method, picked, starts_logarithmic, verdicts
from querist.report.wording import metric_name

EMBEDDED = 500_000
"""Bytes of compressed CSV up to which a table travels inside the page."""

# Nothing may be fetched, whatever a name or a caption says. The figures' expressions are interpreted, not evaluated.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
LICENCES = (
    "The figures are drawn by Vega, Vega-Lite and Vega-Embed, (c) University of Washington Interactive Data Lab and "
    "contributors, BSD-3-Clause."
)


def write_report(path: str | Path, *, study: StudyResults) -> Path:
    """Write the report of a study and return its path; the file is there whole or not at all.

    The same results give the same bytes.

    Raises:
        DataError, UnknownNameError, UsageError: the results support no comparison (see `analysis.verdicts.compare`).
        StoreError: the file cannot be written.
    """
    target = Path(path)
    write_bytes(target, report_page(study).encode())
    return target


def report_page(study: StudyResults) -> str:
    """Return the whole page."""
    several = len(study.regimes) > 1
    specs: dict[str, object] = {}
    bodies: list[Html] = []
    for number, regime in enumerate(study.regimes):
        prefix = f"r{number}-"
        charts = figures_of(regime, prefix)
        specs |= {name: specification(chart) for name, chart in charts.items()}
        bodies.append(_regime(regime, number, prefix, charts.keys(), several))
    arms = [len(regime.comparison.arms) for regime in study.regimes]
    themes: list[Mapping[Paper, object]] = [{paper: theme(paper, count) for paper in PAPERS} for count in arms]
    for part in (*grids(study), *first_pools(study)):
        bodies.append(part.section(len(themes)))
        themes.append(part.themes)
        specs |= part.figures
    main = tag("main", None, _header(study), *bodies, _method(study), _data(study), _footer())
    title = f"{study.name} · active-learning study"
    return document(title, POLICY, [resource("page.css")], main, *scripts(specs, themes), comment=LICENCES)


def specification(chart: alt.LayerChart) -> dict[str, object]:
    """Return a figure as `scripts` takes it."""
    # The address of the schema is of no use to a reader without a network.
    return {k: v for k, v in chart.to_dict().items() if k not in ("$schema", "config")}


def scripts(figures: Mapping[str, object], themes: Sequence[Mapping[Paper, object]]) -> list[Html]:
    """Return the scripts that draw figures into the elements with their names.

    Args:
        figures: specifications by the name that ``data-figure`` gives.
        themes: colours for both papers; the number in ``data-regime`` of the section around a figure says which.
    """
    data = {"figures": figures, "themes": themes}
    return [
        tag("script", {"type": "application/json", "id": "figures"}, _inline(json.dumps(data, allow_nan=False))),
        tag("script", None, Html("(() => {" + _bundle() + "})();")),
        tag("script", None, Html(resource("page.js"))),
    ]


def _regime(regime: Regime, number: int, prefix: str, names: Collection[str], several: bool) -> Html:
    axis = "log" if starts_logarithmic(regime.comparison) else "linear"
    title = f"Verdicts: {regime.name}" if several else "Verdicts"
    return tag(
        "section",
        {"data-regime": number, "data-axis": axis},
        tag("h2", {"id": f"{prefix}verdicts"}, title),
        verdicts(regime),
        figures(regime, prefix, names),
        mapped(regime, prefix),
        foreseen(regime, prefix),
        picked(regime),
    )


def _header(study: StudyResults) -> Html:
    found = study.regimes[0].comparison
    pools = max(row.pools for row in found.arms)
    facts = [
        *study.datasets, metric_name(study.metric), f"{pools} paired pool{'s' * (pools != 1)}",
        f"{found.start:,.0f} to {found.stop:,.0f} labels",
    ]  # fmt: skip
    return tag(
        "header", None, tag("p", {"class": "eyebrow"}, "Active-learning study"), tag("h1", None, study.name),
        tag("p", {"class": "lede"}, " · ".join(facts)),
        Html("<noscript><p>The figures need JavaScript; every verdict and number stands in the tables.</p></noscript>"),
    )  # fmt: skip


def _method(study: StudyResults) -> Html:
    parts: list[Html] = [tag("h2", {"id": "method"}, "Method")]
    for regime in study.regimes:
        if regime.name:
            parts.append(tag("h3", None, regime.name))
        parts.append(_terms(method(regime)))
    if study.settings:
        parts += [tag("h3", None, "Settings"), _terms(list(study.settings.items()))]
    return tag("section", None, *parts)


def _terms(entries: list[tuple[str, object]]) -> Html:
    return tag("dl", None, *(join([tag("dt", None, term), tag("dd", None, text)]) for term, text in entries))


def _data(study: StudyResults) -> Html:
    """The tables the page was made from, compressed, and the digest of the measurements."""
    links = []
    digest = ""
    verdict_table = pd.concat([regime.comparison.table.assign(regime=regime.name) for regime in study.regimes])
    for name, rows in (("rounds", study.rounds), ("picks", study.picks), ("verdicts", verdict_table)):
        csv = rows.to_csv(index=False, lineterminator="\n").encode()
        if name == "rounds":
            digest = blake2b(csv, digest_size=16).hexdigest()
        packed = gzip.compress(csv, mtime=0)
        label = f"{name}.csv.gz ({len(rows):,} rows, {len(packed) / 1000:,.0f} kB)"
        if len(packed) > EMBEDDED:
            links.append(
                tag("li", None, f"{label}: too large for this page; it is {name}.parquet in the study's folder")
            )
            continue
        uri = "data:application/gzip;base64," + b64encode(packed).decode()
        links.append(tag("li", None, tag("a", {"href": uri, "download": f"{study.name}-{name}.csv.gz"}, label)))
    return tag(
        "section", None, tag("h2", {"id": "data"}, "Data"),
        tag("p", {"class": "small"}, f"Values are stored as shares (0..1). Digest of the rounds: {digest}."),
        tag("ul", None, *links),
    )  # fmt: skip


def _footer() -> Html:
    return tag(
        "footer", None, "Made by Querist from the records of the study. Every claim above is generated from a verdict."
    )  # fmt: skip


def _inline(text: str) -> Html:
    """JSON that cannot end the script element it stands in."""
    return Html(text.replace("<", "\\u003c"))


@lru_cache(maxsize=1)
def _bundle() -> str:
    """The drawing libraries, from the package that also renders figures without a browser: nothing is downloaded."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
