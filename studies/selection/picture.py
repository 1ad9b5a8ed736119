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

from querist.report.palette import theme

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from drawing import COMMITTEE, Study, forest, tables  # noqa: E402

LEARNERS = {"": "one linear head", "-committee": COMMITTEE}
DATASETS = {"uc-merced": ("UC Merced, 21 classes", 21), "cifar10": ("CIFAR-10, 10 classes", 10)}
STUDIES = [
    Study(f"selection-{name}{suffix}", title, learner, classes)
    for name, (title, classes) in DATASETS.items()
    for suffix, learner in LEARNERS.items()
]
CELL, LINE = 34, 22
"""Width of a budget and height of a strategy, in pixels."""


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
    spans = forest(verdicts, order, domain=(-most, most), width=170, height=LINE * len(order), size=90)
    return alt.hconcat((heat + text).properties(**size), spans, spacing=6).resolve_scale(color="independent")


def picture(cells: pd.DataFrame, verdicts: pd.DataFrame) -> alt.VConcatChart:
    """Return all panels: datasets side by side, the two learners one above the other."""
    compared = verdicts[verdicts["verdict"] != "reference"]
    most = float(cells["points"].abs().quantile(0.95).round())
    blocks = []
    for learner in LEARNERS.values():
        mine = compared[compared["learner"] == learner]
        order = mine.groupby("arm")["points"].mean().sort_values(ascending=False).index.tolist()
        row = []
        for at, (title, _) in enumerate(DATASETS.values()):
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
    cells, verdicts = tables(Path(sys.argv[1]), STUDIES)
    chart = picture(cells, verdicts)
    chart.save(HERE.parents[1] / "docs" / "selection.svg")
    (HERE / "verdicts.json").write_text(json.dumps(verdicts.round(4).to_dict("records"), indent=1) + "\n")


if __name__ == "__main__":
    main()
