"""One picture of the four studies of this folder: every name against random, sorted.

``python studies/all/picture.py STORE`` reads their tables from a store and puts ``verdicts.json`` beside this file, the
picture and the table into the documentation. A line is a strategy; a panel is a dataset with the mean difference of the
areas under the curves, its 95 % interval and its verdict.
"""

import json
import sys
from pathlib import Path

import altair as alt
import pandas as pd

from querist.analysis.judge import VERDICTS
from querist.report.palette import theme
from querist.strategies.base import strategies

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from drawing import COMMITTEE, ORACLES, Study, differences, forest, tables  # noqa: E402

STUDIES = [
    Study(f"all-{name}{suffix}", title, learner, classes)
    for name, title, classes in (("digits", "Digits, 10 classes", 10), ("uc-merced", "UC Merced, 21 classes", 21))
    for suffix, learner in (("", "one linear head"), ("-committee", COMMITTEE))
]
MARKS = {**ORACLES, "one_shot": "†", "sequential": "‡"}
BEGIN, END = "<!-- the table of studies/all/picture.py -->", "<!-- its end -->"
LINE = 15
"""Height of a strategy, in pixels."""
SHORT = {
    "random and oracle": "oracle", "submodular information": "information", "auxiliary model": "auxiliary",
    "budget-adaptive": "adaptive",
}  # fmt: skip


def family(arm: str) -> str:
    """Return the kind of the strategy that an arm is."""
    found = strategies.card(arm.partition("(")[0].split()[0]).component.family
    return SHORT.get(found, found)


def compared(store: Path) -> pd.DataFrame:
    """Return verdicts, one row per dataset and strategy, named after their learner where it is the committee."""
    _, verdicts = tables(store, STUDIES, MARKS)
    verdicts = verdicts[verdicts["verdict"] != "reference"].copy()
    verdicts["family"] = verdicts["arm"].map(family)
    verdicts["line"] = verdicts["arm"] + verdicts["learner"].eq(COMMITTEE).map({True: " (committee)", False: ""})
    return verdicts


def ranking(verdicts: pd.DataFrame) -> list[str]:
    """Return the lines, the one with the largest mean difference first."""
    return verdicts.groupby("line")["points"].mean().sort_values(ascending=False).index.tolist()


def picture(verdicts: pd.DataFrame) -> alt.HConcatChart:
    """Return a panel per dataset, side by side, their lines in one order."""
    order = ranking(verdicts)
    height = LINE * len(order)
    kinds = verdicts.drop_duplicates("line")
    lines = alt.Y("line:N", sort=order, axis=alt.Axis(labelLimit=260, title=None, labelFontSize=10.5))
    words = alt.Chart(kinds).mark_text(align="left", fontSize=9.5, color="#59616b", x=0)
    panels: list[alt.Chart | alt.LayerChart] = [
        words.encode(y=lines, text="family:N").properties(width=66, height=height)
    ]
    least, most = verdicts["lower"].min(), verdicts["upper"].max()
    for title, mine in verdicts.groupby("dataset", sort=False):
        part = forest(mine, order, domain=(least, most), width=330, height=height, size=46, column="line", zebra=True)
        panels.append(part.properties(title=f"{title}: minus random, {int(mine['pools'].max())} pools"))
    title = alt.Title(
        "Every strategy against random on frozen features",
        subtitle=[
            "Area under the curve of test accuracy from 1 to 20 labels per class, minus that of random with the same "
            "learner on the same initial pools: points, 95 % interval.",
            "Triangles: better, worse; square: equivalent; circle: undecided (paired t, Holm over a study). Learner: "
            "one linear head, or a committee of ten.",
            "* reads hidden labels: a bound. † chooses all labels at once. ‡ asks one by one.",
        ],
        offset=14,
    )
    config = {**theme("light", 8), "background": "white"}
    return alt.hconcat(*panels, spacing=14, title=title).resolve_scale(color="independent").configure(**config)


def table(verdicts: pd.DataFrame) -> str:
    """Return the sorted table as Markdown."""
    titles = list(dict.fromkeys(verdicts["dataset"]))
    at = {(row.line, row.dataset): row for row in verdicts.itertuples()}
    rows = [f"| | strategy | family | {' | | '.join(titles)} | |", "|---|---|---|" + "---|---|" * len(titles)]
    for place, line in enumerate(ranking(verdicts), start=1):
        cells = " | ".join(f"{differences(at[line, title])} | {at[line, title].verdict}" for title in titles)
        rows.append(f"| {place} | {line} | {at[line, titles[0]].family} | {cells} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Expected the store of the studies: python studies/all/picture.py STORE")
    verdicts = compared(Path(sys.argv[1]))
    picture(verdicts).save(HERE.parents[1] / "docs" / "strategies-compared.svg")
    page = HERE.parents[1] / "docs" / "strategies.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table(verdicts)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    (HERE / "verdicts.json").write_text(json.dumps(verdicts.round(4).to_dict("records"), indent=1) + "\n")
    counts = verdicts.groupby(["dataset", "verdict"]).size().unstack(fill_value=0)
    print(counts.reindex(columns=[v for v in VERDICTS if v in counts]).to_string())


if __name__ == "__main__":
    main()
