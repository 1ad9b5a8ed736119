"""Tables of the studies in this folder: what the default strategy wins on tables and texts, and where it starts.

``python studies/adaptive/beyond/results.py STORE`` reads every study of this folder that the store has, puts
``verdicts.json`` beside this file, and prints the tables of docs/adaptive.md.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from querist.analysis.verdicts import ROPE, compare

HERE = Path(__file__).parent
ARMS = (
    "adaptive",
    "adaptive(components=0)",
    "uherding",
    "uherding, paper",
    "max_herding",
    "typiclust",
    "badge",
    "margin",
)
TEXTS = ("movie-mood", "newsgroups", "reuters")
STARTS = ("random", "adaptive", "max_herding", "kmeans_multi_batch", "typiclust")


def rounds_of(store: Path, name: str) -> pd.DataFrame:
    """Return the accuracies of a study, with the arm's strategy and first pool as columns."""
    rounds = pd.read_parquet(store / "studies" / f"beyond-{name}" / "rounds.parquet")
    rounds["arm"] = rounds["arm"].str.replace("uherding(radius=paper, temperature=paper)", "uherding, paper")
    return rounds


def verdicts_of(rounds: pd.DataFrame, name: str) -> list[dict[str, object]]:
    """Return one record per arm: differences to random in points, of the area and at the last budget."""
    means = rounds[rounds["metric"] == "accuracy"].groupby(["arm", "n_labels"])["value"].mean().unstack()
    recall = rounds[rounds["metric"] == "balanced_accuracy"].groupby(["arm", "n_labels"])["value"].mean().unstack()
    last, rare = means.iloc[:, -1], recall.iloc[:, -1]
    return [
        {
            "set": name, "arm": row.arm, "points": 100 * row.difference, "lower": 100 * row.lower,
            "upper": 100 * row.upper, "verdict": row.verdict, "pools": row.pools,
            "last": 100 * (last[row.arm] - last["random"]), "recall_last": 100 * (rare[row.arm] - rare["random"]),
            "random_area": 100 * next(arm.aubc for arm in found if arm.arm == "random"),
        }
        for found in [compare(rounds, "accuracy", rope=ROPE).arms]
        for row in found
    ]  # fmt: skip


def starts_of(rounds: pd.DataFrame, name: str) -> list[dict[str, object]]:
    """Return one record per first pool, `adaptive` following: its area minus that after a random one, in points."""
    rounds = rounds[rounds["arm"].str.startswith("adaptive") & (rounds["metric"] == "accuracy")]
    start = rounds["arm"].str.extract(r"initial=(\w+)")[0].fillna("random")
    grid = 100 * rounds.assign(start=start).pivot_table(index=["start", "pool"], columns="n_labels", values="value")
    counts = grid.columns.to_numpy(float)
    area = pd.Series(np.trapezoid(grid, counts, axis=1) / (counts[-1] - counts[0]), grid.index).unstack()
    early = pd.Series(
        np.trapezoid(grid, np.log2(counts), axis=1) / np.log2(counts[-1] / counts[0]), grid.index
    ).unstack()
    first = grid.iloc[:, 0].unstack()
    records = []
    for begun in grid.index.unique("start"):
        minus = (area.loc[begun] - area.loc["random"]).to_numpy()
        half = 2.262 * minus.std(ddof=1) / np.sqrt(len(minus))
        records.append(
            {
                "set": name, "start": begun, "points": minus.mean(), "half": half, "pools": len(minus),
                "log_area": float((early.loc[begun] - early.loc["random"]).mean()),
                "first": float((first.loc[begun] - first.loc["random"]).mean()),
            }
        )  # fmt: skip
    return records


def table_of(records: list[dict[str, object]]) -> str:
    """Return differences to random by set and arm, in points with half-widths of 95 % intervals."""
    table = pd.DataFrame(records)
    arms = [arm for arm in ARMS if arm in set(table["arm"])]
    lines = [f"| set | random's area | {' | '.join(arms)} |", "|---" * (len(arms) + 2) + "|"]
    for name, rows in table.groupby("set", sort=False):
        mine = rows.set_index("arm").loc[arms]
        half = (mine["upper"] - mine["lower"]) / 2
        cells = [f"{p:+.2f} ± {h:.1f}" for p, h in zip(mine["points"], half, strict=True)]
        lines.append(f"| {name} | {rows['random_area'].iloc[0]:.1f} | {' | '.join(cells)} |")
    means = table.groupby("arm")["points"].mean()
    lines.append(f"| **mean** | | {' | '.join(f'{means[arm]:+.2f}' for arm in arms)} |")
    last = table.groupby("arm")["last"].mean()
    return "\n".join([*lines, f"| last budget, mean | | {' | '.join(f'{last[arm]:+.2f}' for arm in arms)} |"])


def table_of_starts(records: list[dict[str, object]]) -> str:
    """Return what every first pool is worth against a random one: over the area, and before any query."""
    table = pd.DataFrame(records)
    starts = [start for start in STARTS[1:] if start in set(table["start"])]
    lines = [f"| set | {' | '.join(starts)} |", "|---" * (len(starts) + 1) + "|"]
    for name, rows in table.groupby("set", sort=False):
        mine = rows.set_index("start").loc[starts]
        cells = [f"{row.points:+.2f} ± {row.half:.1f} ({row.first:+.1f})" for row in mine.itertuples()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Expected the store of the studies: python studies/adaptive/beyond/results.py STORE")
    store = Path(sys.argv[1])
    names = [path.stem for path in sorted(HERE.glob("*.toml"))]
    ran = {n: rounds_of(store, n) for n in names if (store / "studies" / f"beyond-{n}" / "rounds.parquet").exists()}
    arms = [row for name, rounds in ran.items() if not name.startswith("start-") for row in verdicts_of(rounds, name)]
    begun = [row for name, rounds in ran.items() if name.startswith("start-") for row in starts_of(rounds, name[6:])]
    found = {"arms": arms, "starts": begun}
    kept = {key: pd.DataFrame(rows).round(4).to_dict("records") for key, rows in found.items()}
    (HERE / "verdicts.json").write_text(json.dumps(kept, indent=1) + "\n")
    for part in ([row for row in arms if row["set"] not in TEXTS], [row for row in arms if row["set"] in TEXTS]):
        print(f"{table_of(part)}\n" if part else "")
    print(table_of_starts(begun) if begun else "")


if __name__ == "__main__":
    main()
