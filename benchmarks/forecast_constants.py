"""The constants of the forecast, estimated from stored studies, and how well forecasts did there.

    python benchmarks/forecast_constants.py STORE... [--arm adaptive] [--horizon 100] [--least 150] [--out RESULTS.json]

A store may be followed by ``:FILE.toml`` or ``:NAME`` to take one study of it; else all its studies are taken, those
whose data and features can be had by name (give the files of others). Every study is one set: forecasts of each run
and checkpoint are compared with the accuracy that the run really reached on its test set `horizon` labels later,
between checkpoints on the straight line.

* Coefficients: least squares without an intercept of the realised gain on the two parts of the forecast, none below 0,
  every set counting the same.
* Bands: the factors 0.56, 1.05 and 1.45 become the 50, 80 and 90 % quantiles of |realised - forecast| by the spread,
  a tenth wider: quantiles of a dozen sets hold less on the next one.
  The shape of the spread is kept, or with --shape chosen too: floor and share with the least interval score
  (Gneiting & Raftery, JASA 2007) of the three bands, again with every set counting the same. Outcomes hold the noise of
  a test set, so small test sets want a higher floor.
* Leave one out: each set is judged with constants from all others, so no set has judged itself.

Stop regret: a run is worth ``100 accuracy - price (labels - labels of its first check) / 100`` points at each of its
checks from `least` labels on. The regret is what the best of them is worth, less what the check at which the advice
first says stop is worth (the last check, if it never does). So the hindsight sees the noise of the test set, which the
advice cannot; never stopping is judged the same way beside it. Forecasts made by `querist forecast` are used again.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from querist.analysis.forecast import BANDS, STUDIED, Constants, Forecast, Measured, advise, forecast, spread
from querist.labels.book import Book
from querist.labels.ledger import JsonlLedger
from querist.studies.outlooks import Kept, kept_by_name, kept_of, measured_of, stored_studies
from querist.studies.store import Store
from querist.studies.study import Study

PRICES = (0.5, 1.0, 2.0)
METRIC = "accuracy"
FLOORS, SHARES = (0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01), (0.25, 0.35, 0.5, 0.7, 1.0)
"""What --shape tries."""
MARGIN = 1.1
"""By how much bands are wider than those that held on the sets they were estimated from."""
LATE = 300
"""Labels from which on forecasts are summed up once more."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One run: what was measured at its checks, and the accuracy at all of its checkpoints."""

    set: str
    pool: int
    measured: tuple[Measured, ...]
    labels: tuple[int, ...]
    accuracy: tuple[float, ...]

    def at(self, n: float) -> float:
        """Return the accuracy at a number of labels; NaN beyond the last checkpoint."""
        return float(np.interp(n, self.labels, self.accuracy, right=np.nan))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One forecast beside what came of it."""

    set: str
    measured: Measured
    horizon: int
    realised: float


def read_track(run: Kept, name: str, least: int) -> Track:
    """Return a stored run; heads are fitted again where `querist forecast` has not done so before."""
    book = Book.replay(JsonlLedger(run.folder.path / "ledger.jsonl"))
    measured = {number: values for number, values in measured_of(run, each=True) if number in book.evaluations}
    # Labels for training: validation labels are charged too, and no head is fitted on them.
    held = len(book.known(validation=True)[0])
    tested = sorted((e.n_labels - held, e.metrics[METRIC]) for e in book.evaluations.values())
    return Track(
        set=name, pool=run.pool, measured=tuple(m for m in measured.values() if m.n >= least),
        labels=tuple(n for n, _ in tested), accuracy=tuple(value for _, value in tested),
    )  # fmt: skip


def cases_of(tracks: Sequence[Track], horizon: int) -> list[Case]:
    """Return every forecast whose outcome is on record."""
    found = [
        Case(set=t.set, measured=m, horizon=horizon, realised=t.at(m.n + horizon) - t.at(m.n))
        for t in tracks
        for m in t.measured
        if m.n + horizon <= min(t.labels[-1], m.pool)
    ]  # fmt: skip
    return [case for case in found if np.isfinite(case.realised)]


def estimate(cases: Sequence[Case], start: Constants = STUDIED, shape: bool = False) -> Constants:
    """Return the constants that suit some forecasts: coefficients first, then the factors of the bands.

    Args:
        cases: with their outcomes.
        start: whose other constants are kept.
        shape: whether floor and share of the spread are chosen too.
    """
    parts = [forecast(case.measured, case.horizon, start) for case in cases]
    realised = np.array([case.realised for case in cases])
    sets, number = np.unique([case.set for case in cases], return_inverse=True)
    # Every set the same say, however many forecasts it has.
    weight = np.sqrt(1.0 / np.bincount(number, minlength=len(sets))[number])
    design = np.array([[part.trend, part.headroom] for part in parts])
    (trend, headroom), _ = nnls(design * weight[:, None], realised * weight)
    fitted = replace(start, trend=float(trend), headroom=float(headroom))
    shapes = [(floor, share) for floor in FLOORS for share in SHARES] if shape else [(start.floor, start.share)]
    choices = [_with_factors(cases, replace(fitted, floor=floor, share=share)) for floor, share in shapes]
    return min(choices, key=lambda constants: interval_score(cases, constants))


def interval_score(cases: Sequence[Case], constants: Constants) -> float:
    """Return the mean interval score of the three bands, every set counting the same; smaller is better."""
    scores: dict[str, list[float]] = {}
    for case in cases:
        made = forecast(case.measured, case.horizon, constants)
        miss = abs(case.realised - made.gain)
        bands = zip(BANDS, made.halves, strict=True)
        found = [2 * half + 2 / (1 - band) * max(0.0, miss - half) for band, half in bands]
        scores.setdefault(case.set, []).append(sum(found))
    return float(np.mean([np.mean(one) for one in scores.values()]))


def _with_factors(cases: Sequence[Case], constants: Constants) -> Constants:
    """Return the constants with the factors of bands that hold as many of the outcomes as they are to, and `MARGIN`."""
    sets = [case.set for case in cases]
    factor = np.array([_miss(case, constants) / _spread(case, constants) for case in cases])
    order = np.argsort(factor, kind="stable")
    weight = np.array([1.0 / sets.count(name) for name in sets])[order].cumsum()
    halves = [MARGIN * float(factor[order][np.searchsorted(weight, band * weight[-1] * (1 - 1e-12))]) for band in BANDS]
    halves[0] = max(halves[0], 1e-6)
    for i in (1, 2):  # of few forecasts two quantiles may coincide
        halves[i] = max(halves[i], halves[i - 1] * 1.001)
    return replace(constants, halves=(halves[0], halves[1], halves[2]))


def judge(cases: Sequence[Case], constants: Constants) -> dict[str, float]:
    """Return count, coverage of the three bands, median half-width of the widest, RMSE and bias, in points."""
    return judge_each(cases, {case.set: constants for case in cases})


def judge_each(cases: Sequence[Case], constants: Mapping[str, Constants]) -> dict[str, float]:
    """Return the same with constants of its own for each set."""
    made = [forecast(case.measured, case.horizon, constants[case.set]) for case in cases]
    miss = np.array([case.realised - one.gain for case, one in zip(cases, made, strict=True)])
    halves = np.array([one.halves for one in made])
    covered = (np.abs(miss)[:, None] <= halves).mean(axis=0)
    return {
        "forecasts": len(cases), **{f"coverage {b:.0%}": float(c) for b, c in zip(BANDS, covered, strict=True)},
        "half": 100 * float(np.median(halves[:, -1])), "rmse": 100 * float(np.sqrt(np.square(miss).mean())),
        "bias": 100 * float(-miss.mean()),
    }  # fmt: skip


def regrets(tracks: Sequence[Track], horizon: int, price: float, constants: Constants) -> dict[str, float]:
    """Return the mean regret in points of the advice, of never stopping, and the mean labels at the advised stop."""
    advised, never, stops = [], [], []
    for track in tracks:
        checks: list[Forecast] = [forecast(m, horizon, constants) for m in track.measured if m.n < m.pool]
        if not checks:
            continue
        worth = np.array([100 * track.at(c.n) - price * (c.n - checks[0].n) / 100 for c in checks])
        said = [advise(checks[: i + 1], price).stop for i in range(len(checks))]
        place = said.index(True) if True in said else len(checks) - 1
        advised.append(worth.max() - worth[place])
        never.append(worth.max() - worth[-1])
        stops.append(checks[place].n)
    return {"advice": float(np.mean(advised)), "never": float(np.mean(never)), "labels": float(np.mean(stops))}


def without(sets: Sequence[str], cases: Sequence[Case], shape: bool = False) -> Mapping[str, Constants]:
    """Return for each set the constants of all others; the published ones where there are no others."""
    found = {}
    for name in sets:
        others = [case for case in cases if case.set != name]
        found[name] = estimate(others, shape=shape) if others else STUDIED
    return found


def report(tracks: Sequence[Track], horizon: int, shape: bool = False) -> dict[str, Any]:
    """Return everything that is printed and written."""
    cases = cases_of(tracks, horizon)
    if not cases:
        raise SystemExit(f"No forecast has its outcome on record: no run goes on for {horizon} labels after a check.")
    sets = list(dict.fromkeys(track.set for track in tracks if any(case.set == track.set for case in cases)))
    own, loo = estimate(cases, shape=shape), without(sets, cases, shape)
    per_set = {}
    for name in sets:
        mine = [case for case in cases if case.set == name]
        played = [track for track in tracks if track.set == name]
        per_set[name] = {
            "published": judge(mine, STUDIED), "left out": judge(mine, loo[name]),
            "regret": {f"{price:g}": regrets(played, horizon, price, STUDIED) for price in PRICES},
            "regret, left out": {f"{price:g}": regrets(played, horizon, price, loo[name]) for price in PRICES},
        }  # fmt: skip
    late = {name: [case for case in _of(cases, name) if case.measured.n >= LATE] for name in sets}
    all_late = [case for part in late.values() for case in part]
    return {
        "horizon": horizon, "runs": len(tracks), "forecasts": len(cases), "sets": per_set,
        "all": {
            "published": judge(cases, STUDIED),
            "left out": judge_each(cases, loo),
            "late": {"published": judge(all_late, STUDIED), "left out": judge_each(all_late, loo)} if all_late else {},
            "regret": {f"{price:g}": regrets(tracks, horizon, price, STUDIED) for price in PRICES},
            "regret, left out": {
                f"{price:g}": _mean([per_set[name]["regret, left out"][f"{price:g}"] for name in sets])
                for price in PRICES
            },
        },
        "constants": {
            "published": asdict(STUDIED), "estimated": asdict(own),
            "left out": {name: asdict(constants) for name, constants in loo.items()},
        },
    }  # fmt: skip


def _of(cases: Sequence[Case], name: str) -> list[Case]:
    return [case for case in cases if case.set == name]


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means over sets."""
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _gain(case: Case, constants: Constants) -> float:
    return forecast(case.measured, case.horizon, constants).gain


def _spread(case: Case, constants: Constants) -> float:
    return spread(_gain(case, constants), case.measured.n, constants)


def _miss(case: Case, constants: Constants) -> float:
    return abs(case.realised - _gain(case, constants))


def say(found: Mapping[str, Any]) -> None:
    """Print the report."""
    regret = [f"regret {price:g}" for price in PRICES]
    print(f"{found['forecasts']} forecasts of the next {found['horizon']} labels, {found['runs']} runs")
    for which, key in (("published", "regret"), ("left out", "regret, left out")):
        print(f"\nConstants: {which}. Coverage in %, the rest in points; regret of the advice / of never stopping.")
        print(f"{'set':<24}{'n':>6}{'50':>6}{'80':>6}{'90':>6}{'half':>7}{'rmse':>7}{'bias':>7}", *regret, sep="  ")
        for name, row in found["sets"].items():
            print(_line(name, row[which], row[key]))
        print(_line("all", found["all"][which], found["all"][key]))
        if found["all"]["late"]:
            print(_line(f"all, {LATE} labels or more", found["all"]["late"][which], {}))
    print()
    for name in ("published", "estimated"):
        k = found["constants"][name]
        halves = ", ".join(f"{value:.2f}" for value in k["halves"])
        weights = f"trend {k['trend']:.3f}, headroom {k['headroom']:.3f}"
        print(f"{name}: {weights}, floor {k['floor']:g}, share {k['share']:g}, factors of the bands {halves}")


def _line(name: str, row: Mapping[str, float], regret: Mapping[str, Mapping[str, float]]) -> str:
    shares = "".join(f"{100 * row[f'coverage {band:.0%}']:>6.0f}" for band in BANDS)
    pairs = [f"{r['advice']:.2f} / {r['never']:.2f}" for r in regret.values()]
    costs = "".join(f"{pair:>14}" for pair in pairs)
    rest = f"{row['half']:>7.2f}{row['rmse']:>7.2f}{row['bias']:>+7.2f}"
    return f"{name:<24}{row['forecasts']:>6.0f}{shares}{rest}{costs}"


def read_tracks(places: Sequence[str], arm: str, least: int) -> list[Track]:
    """Return the runs of an arm in all studies named; see the head of this file."""
    tracks: list[Track] = []
    for place in places:
        path, _, which = place.partition(":")
        store = Store(path)
        for name in [which] if which else stored_studies(store):
            if name.endswith(".toml"):
                study = Study.read(name, store)
                kept, title = kept_of(study.plan, store), study.name
            else:
                kept, title = kept_by_name(store, name), name
            chosen = [run for run in kept if run.arm == arm or run.arm.startswith((f"{arm}(", f"{arm} |"))]
            print(f"{title}: {len(chosen)} runs of {arm}", flush=True)
            tracks += [read_track(run, title, least) for run in chosen]
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+", metavar="STORE[:STUDY]")
    parser.add_argument("--arm", default="adaptive", help="the policy whose runs are judged")
    parser.add_argument("--horizon", type=int, default=100)
    parser.add_argument("--least", type=int, default=STUDIED.least, help="labels from which on forecasts count")
    parser.add_argument("--shape", action="store_true", help="choose floor and share of the spread too")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    tracks = read_tracks(asked.stores, asked.arm, asked.least)
    found = report(tracks, asked.horizon, asked.shape)
    say(found)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
