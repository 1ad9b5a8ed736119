"""One picture of the four studies of this folder: which strategies are worth running.

``python studies/selection/picture.py STORE`` reads their tables from a store and puts ``verdicts.json`` beside this
file and the picture into the documentation. A line is a strategy; for each dataset there is its mean difference to
random at every budget as a coloured cell, and that of the areas under the curves with its 95 % interval and verdict.
"""

import json
import sys
from pathlib import Path

import altair as alt
import pandas as pd

from querist.analysis.bands import difference_curves
from querist.analysis.judge import VERDICTS
from querist.analysis.verdicts import ROPE, Comparison, compare
from querist.report.palette import VERDICT_COLOURS, VERDICT_SHAPES, theme

HERE = Path(__file__).parent
DATASETS = {"uc-merced": "UC Merced, 21 classes", "cifar10": "CIFAR-10, 10 classes"}
CLASSES = {"uc-merced": 21, "cifar10": 10}
LEARNERS = {"": "one linear head", "-committee": "a committee of linear heads"}
CELL, LINE = 34, 22
"""Width of a budget and height of a strategy, in pixels."""
ORACLES = ("class_uniform_oracle",)


def comparison(store: Path, name: str) -> Comparison:
    """Return what the tables of a study say."""
    return compare(pd.read_parquet(store / "studies" / name / "rounds.parquet"), "accuracy", rope=ROPE)


def short(arm: str) -> str:
    """Return an arm's name without the settings that all arms of its kind have."""
    name, _, settings = arm.partition("(")
    kept = [
        part for part in settings.rstrip(")").split(", ") if part and not part.startswith(("k=", "samples=", "beta="))
    ]
    mark = " *" if name in ORACLES else ""
    return (f"{name}({', '.join(kept)})" if kept else name) + mark


def tables(store: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return cells (one per dataset, strategy and budget) and verdicts (one per dataset and strategy)."""
    cells, verdicts = [], []
    for dataset, title in DATASETS.items():
        for suffix, learner in LEARNERS.items():
            found = comparison(store, f"selection-{dataset}{suffix}")
            where = {"dataset": title, "learner": learner}
            for row in difference_curves(found.curves, found.reference).to_dict("records"):
                each = round(row["n_labels"] / CLASSES[dataset])
                cells.append({**where, "arm": short(row["arm"]), "each": each, "points": 100 * row["difference"]})
            verdicts += [
                {
                    **where, "arm": short(row.arm), "points": 100 * row.difference, "lower": 100 * row.lower,
                    "upper": 100 * row.upper, "p": row.p_holm, "verdict": row.verdict, "pools": row.pools,
                    "aubc": 100 * row.aubc,
                }
                for row in found.arms
            ]  # fmt: skip
    return pd.DataFrame(cells), pd.DataFrame(verdicts)


def panel(cells: pd.DataFrame, verdicts: pd.DataFrame, order: list[str], most: float, first: bool) -> alt.HConcatChart:
    """Return the cells and intervals of one dataset and one learner."""
    labels = alt.Axis(labelLimit=230, title=None) if first else None
    y = alt.Y("arm:N", sort=order, axis=labels)
    x = alt.X("each:O", title="labels per class", axis=alt.Axis(labelAngle=0))
    colour = alt.Color(
        "points:Q", scale=alt.Scale(scheme="blueorange", domain=[-most, most], reverse=True, clamp=True), legend=None
    )
    ink = alt.condition(f"abs(datum.points) > {0.75 * most}", alt.value("white"), alt.value("#1b1f24"))
    base = alt.Chart(cells)
    heat = base.mark_rect(stroke="white").encode(x=x, y=y, color=colour)
    text = base.mark_text(fontSize=10).encode(x=x, y=y, text=alt.Text("points:Q", format="+.1f"), color=ink)
    size = {"width": CELL * cells["each"].nunique(), "height": LINE * len(order)}
    span = alt.X("lower:Q", title="area under the curve, points", scale=alt.Scale(domain=[-most, most], clamp=True))
    shades = alt.Scale(domain=list(VERDICTS), range=[VERDICT_COLOURS["light"][v] for v in VERDICTS])
    shapes = alt.Scale(domain=list(VERDICTS), range=[VERDICT_SHAPES[v] for v in VERDICTS])
    hue = alt.Color("verdict:N", scale=shades, legend=None)
    sides = alt.Y("arm:N", sort=order, axis=None)
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(style="zero").encode(x="zero:Q")
    area = alt.Chart(verdicts)
    rule = area.mark_rule(strokeWidth=2.2).encode(x=span, x2="upper:Q", y=sides, color=hue)
    point = area.mark_point(filled=True, size=90, opacity=1).encode(
        x="points:Q", y=sides, color=hue, shape=alt.Shape("verdict:N", scale=shapes, legend=None)
    )
    forest = alt.layer(zero, rule, point).properties(width=170, height=LINE * len(order))
    return alt.hconcat((heat + text).properties(**size), forest, spacing=6).resolve_scale(color="independent")


def picture(cells: pd.DataFrame, verdicts: pd.DataFrame) -> alt.VConcatChart:
    """Return all panels: datasets side by side, the two learners one above the other."""
    compared = verdicts[verdicts["verdict"] != "reference"]
    most = float(cells["points"].abs().quantile(0.95).round())
    blocks = []
    for learner in LEARNERS.values():
        mine = compared[compared["learner"] == learner]
        order = mine.groupby("arm")["points"].mean().sort_values(ascending=False).index.tolist()
        row = []
        for at, title in enumerate(DATASETS.values()):
            here = (cells["learner"] == learner) & (cells["dataset"] == title)
            part = panel(cells[here], mine[mine["dataset"] == title], order, max(most, 1.0), at == 0)
            pools = int(mine.loc[mine["dataset"] == title, "pools"].max())
            row.append(part.properties(title=f"{title}: {learner}, minus random, {pools} pools"))
        blocks.append(alt.hconcat(*row, spacing=24))
    title = alt.Title(
        "Which strategies are worth running on frozen features",
        subtitle=[
            "Test accuracy minus that of random on the same initial pools, in points. Right of the cells: the area "
            "under the curve with its 95 % interval;",
            "triangles are verdicts (better, worse), a square is equivalent, a circle undecided. * reads hidden "
            "labels: a bound. kmeans_single_batch chooses all labels at once.",
        ],
        offset=16,
    )
    config = {**theme("light", 8), "background": "white"}
    return alt.vconcat(*blocks, spacing=28, title=title).resolve_scale(color="independent").configure(**config)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Expected the store of the studies: python studies/selection/picture.py STORE")
    cells, verdicts = tables(Path(sys.argv[1]))
    chart = picture(cells, verdicts)
    chart.save(HERE.parents[1] / "docs" / "selection.svg")
    (HERE / "verdicts.json").write_text(json.dumps(verdicts.round(4).to_dict("records"), indent=1) + "\n")


if __name__ == "__main__":
    main()
