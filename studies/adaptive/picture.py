"""Tables and the picture of this suite: what the default strategy wins, and where it does not.

``python studies/adaptive/picture.py STORE`` reads the tables of its studies from a store, puts ``verdicts.json`` beside
this file and the picture into the documentation, and prints the tables of docs/adaptive.md.
"""

import json
import sys
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from querist.analysis.verdicts import ROPE, compare
from querist.report.palette import theme

HERE = Path(__file__).parent
GROUPS = {
    "development": ("digits", "mnist", "fashion", "cifar10", "uc-merced", "magnetic-tile", "brain-mri"),
    "stress": ("label-noise", "outliers", "weak-features", "long-tail", "near-copies"),
    "larger pools": ("cifar10-5000", "mnist-5000", "fashion-5000", "mnist-20000", "fashion-20000"),
}
CLASSES = {"uc-merced": 21, "magnetic-tile": 6, "brain-mri": 4}
ARMS = ("adaptive", "uherding", "max_herding", "typiclust", "badge", "margin")
SHADES = ("#0b62a4", "#d1781b", "#2f8f5b", "#9a6fb0", "#8a8a8a", "#c4526a")
SHOWN = ("adaptive", "uherding", "max_herding", "badge", "margin")


def short(arm: str) -> str:
    """Return the name of an arm; in the ablation its settings tell the arms apart."""
    return "uherding" if arm == "uherding(radius=paper, temperature=paper)" else arm


def verdicts_of(store: Path, name: str) -> pd.DataFrame:
    """Return one row per arm: differences to random in points, of the area and at the last budget, by metric."""
    rounds = pd.read_parquet(store / "studies" / f"adaptive-{name}" / "rounds.parquet")
    found = compare(rounds, "accuracy", rope=ROPE)
    rows = [
        {
            "set": name, "arm": short(row.arm), "points": 100 * row.difference, "lower": 100 * row.lower,
            "upper": 100 * row.upper, "verdict": row.verdict, "pools": row.pools,
        }
        for row in found.arms
    ]  # fmt: skip
    table = pd.DataFrame(rows).set_index("arm")
    for metric in ("accuracy", "balanced_accuracy"):
        grid = rounds[rounds["metric"] == metric].pivot_table(index=["arm", "pool"], columns="n_labels", values="value")
        grid = grid.rename(index=short, level="arm")
        minus = 100 * (grid - grid.loc["random"].reindex(grid.index, level="pool"))
        counts = grid.columns.to_numpy(float)
        area = np.trapezoid(minus, counts, axis=1) / (counts[-1] - counts[0])
        low = np.log2(counts)
        early = np.trapezoid(minus, low, axis=1) / (low[-1] - low[0])
        by_arm = pd.DataFrame({"area": area, "early": early, "last": minus.iloc[:, -1]}, index=minus.index)
        means = by_arm.groupby("arm").mean()
        if metric == "accuracy":
            table["log_area"], table["last"] = means["early"], means["last"]
        else:
            table["recall"], table["recall_last"] = means["area"], means["last"]
    return table.reset_index()


def curves_of(store: Path, names: tuple[str, ...]) -> pd.DataFrame:
    """Return mean differences to random by labels per class, averaged over sets."""
    parts = []
    for name in names:
        rounds = pd.read_parquet(store / "studies" / f"adaptive-{name}" / "rounds.parquet")
        rounds = rounds[rounds["metric"] == "accuracy"]
        means = 100 * rounds.groupby(["arm", "n_labels"])["value"].mean().unstack("arm").rename(columns=short)
        minus = means.sub(means["random"], axis=0)
        minus.index = (minus.index / CLASSES.get(name, 10)).round().astype(int)
        parts.append(minus)
    mean = pd.concat(parts).groupby(level=0).mean()
    return mean.rename_axis("each").reset_index().melt("each", var_name="arm", value_name="points")


def picture(table: pd.DataFrame, curves: pd.DataFrame) -> alt.HConcatChart:
    """Return the areas of every set beside the mean curve of the development sets."""
    hue = alt.Color(
        "arm:N", scale=alt.Scale(domain=list(ARMS), range=list(SHADES)),
        legend=alt.Legend(title=None, orient="top", symbolType="circle"),
    )  # fmt: skip
    order = [name for names in GROUPS.values() for name in names]
    known = table[table["arm"].isin(SHOWN) & table["set"].isin(order)]
    y = alt.Y("set:N", sort=order, title=None, axis=alt.Axis(labelLimit=160))
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(style="zero").encode(x="zero:Q")
    base = alt.Chart(known)
    dodge = alt.YOffset("arm:N", sort=list(SHOWN))
    rule = base.mark_rule(strokeWidth=1.6).encode(
        x=alt.X("lower:Q", title="area under the curve minus random's, points"), x2="upper:Q", y=y, yOffset=dodge,
        color=hue,
    )  # fmt: skip
    point = base.mark_point(filled=True, opacity=1).encode(
        x="points:Q", y=y, yOffset=dodge, color=hue,
        size=alt.condition("datum.arm == 'adaptive'", alt.value(70), alt.value(34)),
    )  # fmt: skip
    forest = alt.layer(zero, rule, point).properties(width=340, height=34 * known["set"].nunique())
    lines = alt.Chart(curves[curves["arm"].isin(ARMS)])
    x = alt.X(
        "each:Q", title="labels per class", scale=alt.Scale(type="log", base=2, domain=[1, 50]),
        axis=alt.Axis(values=[1, 2, 3, 5, 10, 20, 50]),
    )  # fmt: skip
    line = lines.mark_line(point=True).encode(
        x=x, y=alt.Y("points:Q", title="accuracy minus random's, points"), color=hue,
        strokeWidth=alt.condition("datum.arm == 'adaptive'", alt.value(3.2), alt.value(1.4)),
    )  # fmt: skip
    level = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(style="zero").encode(y="zero:Q")
    mean = alt.layer(level, line).properties(
        width=360, height=300, title="Mean of the development sets, by labels per class"
    )
    chart = alt.hconcat(forest.properties(title="Every set, 95 % intervals over paired pools"), mean, spacing=30)
    return chart.properties(padding=14).configure(**{**theme("light", len(ARMS)), "background": "white"})


def markdown(table: pd.DataFrame) -> str:
    """Return the tables of the documentation."""
    lines = []
    for title, names in GROUPS.items():
        part = table[table["set"].isin(names)]
        arms = [arm for arm in ARMS if arm in set(part["arm"])]
        lines += [f"| {title} | {' | '.join(arms)} |", "|---" * (len(arms) + 1) + "|"]
        for name in (*names, None):
            rows = part if name is None else part[part["set"] == name]
            if not len(rows):
                continue
            cells = []
            for arm in arms:
                mine = rows[rows["arm"] == arm]
                half = "" if name is None else f" ± {float((mine['upper'] - mine['lower']).iloc[0]) / 2:.1f}"
                cells.append(f"{mine['points'].mean():+.2f}{half}")
            lines.append(f"| {name or '**mean**'} | {' | '.join(cells)} |")
        lines.append("")
        mine = part[part["arm"] == "adaptive"].set_index("set")
        lines += ["| adaptive | area, log2 labels | last budget | last against margin | macro recall, area | last |"]
        lines += ["|---|---|---|---|---|---|"]
        margin = part[part["arm"] == "margin"].set_index("set")
        for name in [name for name in names if name in mine.index]:
            row = mine.loc[name]
            against = row["last"] - margin.loc[name, "last"]
            cells = (row["log_area"], row["last"], against, row["recall"], row["recall_last"])
            lines.append(f"| {name} | {' | '.join(f'{cell:+.2f}' for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def ablation(table: pd.DataFrame) -> str:
    """Return what each part is worth, over the development sets."""
    part = table[table["set"].str.startswith("ablation-") & (table["arm"] != "random")]
    means = part.groupby("arm")[["points", "log_area", "last"]].mean().sort_values("points", ascending=False)
    lines = ["| arm | area | area, log2 labels | last budget |", "|---|---|---|---|"]
    lines += [
        f"| {arm} | {row['points']:+.2f} | {row['log_area']:+.2f} | {row['last']:+.2f} |"
        for arm, row in means.iterrows()
    ]
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Expected the store of the suite: python studies/adaptive/picture.py STORE")
    store = Path(sys.argv[1])
    names = [path.stem for path in sorted(HERE.glob("*.toml"))]
    ran = [name for name in names if (store / "studies" / f"adaptive-{name}" / "rounds.parquet").exists()]
    table = pd.concat([verdicts_of(store, name) for name in ran], ignore_index=True)
    chart = picture(table, curves_of(store, tuple(name for name in GROUPS["development"] if name in ran)))
    chart.save(HERE.parents[1] / "docs" / "adaptive.svg")
    (HERE / "verdicts.json").write_text(json.dumps(table.round(4).to_dict("records"), indent=1) + "\n")
    print(f"{markdown(table)}\n{ablation(table)}")


if __name__ == "__main__":
    main()
