"""One selection from beginning to end: open, encode, learn what is labelled, choose, and write what was asked for."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from querist.arrays import Array
from querist.cli.labels import Line, Matched, classes_of, match
from querist.cli.output import number
from querist.cli.picks import Targets, keep_labels, picks_csv, targets, write_set_aside
from querist.cli.sources import UNDECLARED, is_of_files, is_of_images, open_source, store_for, with_classes
from querist.data.dataset import Dataset
from querist.encoders.base import Encoder, encoders
from querist.encoders.default import default_encoder
from querist.encoders.pixels import Pixels
from querist.errors import UnmetNeedError, UsageError
from querist.evidence.cache import open_cache
from querist.evidence.needs import Features
from querist.files import write_bytes
from querist.kernels.workers import workers
from querist.labels.events import QUERY
from querist.labels.oracle import Query, SimulatedOracle
from querist.learners.base import learners
from querist.registry import describe
from querist.report.contact import ContactSheet, contact_sheet
from querist.report.contact_page import write_contact_sheet
from querist.report.maps import Projection, embedding_map
from querist.seeds import Seed
from querist.session.given import GivenFeatures, are_given
from querist.session.hubs import pool_hubness
from querist.session.pairing import unmet
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import State, Strategy, card_of, strategies
from querist.strategies.composition import flags_of

AUTO, DEFAULT = "auto", "adaptive"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; the options of ``querist select`` explain the fields."""

    source: str
    budget: int
    strategy: str = DEFAULT
    lines: Sequence[Line] = ()
    learner: str = "linear"
    features: str = AUTO
    prefix: str | None = None
    classes: tuple[str, ...] = ()
    seed: int = 0
    output: Path | None = None
    sheet: Path | None = None
    map: Projection | Literal["none"] = "pca"
    store: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Selected:
    """What came of it.

    Attributes:
        rows: one per pick, in order.
        document: all that a program may want to know.
        notices: what a person must be told.
        targets: the files that were written.
        data: what was selected from.
        title: of a table of the picks.
    """

    rows: list[dict[str, Any]]
    document: dict[str, Any]
    notices: list[str]
    targets: Targets
    data: Dataset
    title: str


def carry_out(order: Order) -> Selected:
    """Select, and write the files that were asked for; every file is there whole or not at all.

    Raises:
        QueristError: something cannot be done; the message says what to do instead.
    """
    with workers(os.cpu_count() or 1):
        return _carry_out(order)


def _carry_out(order: Order) -> Selected:
    data = _open(order)
    goals = targets(order.output, order.sheet, is_of_files(data))
    keep_labels(goals.picks)
    encoder, notice = _encoder(order, data)
    matched = match(order.lines, data, order.source) if order.lines else Matched(_own_labels(data), [])
    if len(matched.labels) == len(data.pool):
        raise UsageError(f"{order.source}: all {len(data.pool):,} items have a label; there is nothing left to pick.")
    setting = _setting(order, data, encoder)
    session = _session(order, setting)
    session.adopt(matched.labels)
    query = session.ask(order.budget)
    asked = session.book.asked[-1]
    chooser = session.strategy if asked.purpose == QUERY else session.initial
    name = card_of(chooser).name
    notices = [*([notice] if notice else []), *_unused(matched)]
    if chooser is not session.strategy:
        notices.append(
            f"Nothing is labelled yet and {order.strategy!r} needs a model: this first batch is chosen by {name!r}. "
            "Label it and pass --labels."
        )
    if asked.left:
        notices.append(
            f"{name!r} uses every answer before it asks again: this is the first of {asked.size} items. Label it, pass "
            "--labels, and select the next one."
        )
    if "external_study" in flags_of(chooser):
        notices.append(
            f"{name!r} goes by a model that was trained on labels of this very dataset: an external study. Its picks "
            "must not be compared with others on those labels."
        )
    certificate = session.certificate
    if certificate is not None and certificate.sampled:
        notices.append(f"The pool is too large to compare all pairs: {certificate}.")
    hubs = pool_hubness(setting)
    if hubs.worrying:
        notices.append(hubs.notice)
    facts = {
        "features": in_words(encoder),
        "strategy": in_words(chooser),
        **({"certificate": str(certificate)} if certificate is not None else {}),
        "labelled so far": f"{len(matched.labels):,} items" if matched.labels else "nothing",
        **({"learner": in_words(session.learner)} if asked.purpose == QUERY else {}),
        "hubness of the features": str(hubs),
        "source": f"{order.source}: {len(data.pool):,} to choose from (content {data.fingerprint[:12]})",
        "seed": str(order.seed),
    }
    sheet = _sheet(order, session, chooser, query, facts, notices) if goals.sheet else None
    rows = _rows(data, query, asked.utility, sheet)
    _write(goals, rows, sheet, data)
    return Selected(
        rows=rows, notices=notices, targets=goals, data=data,
        title=f"{name}: {len(rows)} of {len(data.pool)} items",
        document={
            "source": order.source, "spec": session.spec, "labelled": len(matched.labels), "notices": notices,
            "strategy": {"name": name},
            "certificate": certificate and {**certificate._asdict(), "share": certificate.share},
            "hubness": hubs._asdict(),
            "set_aside": [entry._asdict() for entry in data.set_aside],
            "files": {kind: str(path) for kind, path in goals._asdict().items() if path is not None},
            "picks": rows,
        },
    )  # fmt: skip


def _open(order: Order) -> Dataset:
    classes = order.classes or classes_of(order.lines)
    if len(classes) == 1:
        classes = (*classes, next(name for name in UNDECLARED if name not in classes))
    data = open_source(order.source, classes=classes, prefix=order.prefix, store=order.store)
    if order.classes and data.classes != order.classes:
        raise UsageError(
            f"--classes: {order.source} has classes of its own, {', '.join(data.classes)}. Leave the option out."
        )
    return data


def _encoder(order: Order, data: Dataset) -> tuple[Encoder, str | None]:
    """The encoder, and what a person must know about it."""
    if order.features != AUTO:
        return with_classes(encoders.build(order.features), data), None
    if not is_of_images(data):
        return Pixels(), None
    return default_encoder()


def _setting(order: Order, data: Dataset, encoder: Encoder) -> Setting:
    if encoder == Pixels() and are_given(data):
        return GivenFeatures(data)
    # What is made of images takes long and is kept; what is made of arrays is kept where somebody says so.
    store = store_for(order.source, order.store) if is_of_files(data) else order.store
    cache = open_cache(store / "cache" if store else None)
    return Setting(data, encoder, cache=cache)


def _session(order: Order, setting: Setting) -> Session:
    """The session that chooses; what cannot work with this data or this learner is refused in short."""
    strategy, learner = strategies.build(order.strategy), learners.build(order.learner)
    data = setting.dataset
    if "oracle" in flags_of(strategy) and not data.labels.known[data.pool].all():
        raise UsageError(
            f"--strategy: {order.strategy} reads the true labels of all items, which only a labelled benchmark has. It "
            "is a reference for studies; querist strategies --for linear --cold lists what can choose here."
        )
    try:
        return Session(setting, learner=learner, strategy=strategy, seed=order.seed)
    except UnmetNeedError:
        lines = unmet(strategy, learner)
        if not lines:
            raise
        raise UnmetNeedError(
            "\n".join(
                [
                    f"--strategy: {order.strategy} needs what is not there with --learner {order.learner}:",
                    *(f"  {line}" for line in lines),
                    f"querist strategies --for {shlex.quote(order.learner)} lists the strategies that go with it.",
                ]
            )
        ) from None


def _own_labels(data: Dataset) -> dict[int, Any]:
    """Labels the source itself has, if it is partly labelled; a fully labelled benchmark starts cold."""
    ids = data.pool[data.labels.known[data.pool]]
    if len(ids) in (0, len(data.pool)):
        return {}
    return dict(SimulatedOracle(data.labels, data.pool).answer(Query(ids)))


def _unused(matched: Matched) -> list[str]:
    if not matched.unused:
        return []
    line, reason = matched.unused[0]
    count = len(matched.unused)
    some = "1 label is" if count == 1 else f"{count} labels are"
    return [f"{some} of items that cannot be used, and left out: {line.item} ({reason}){', ...' if count > 1 else ''}"]


def _rows(
    data: Dataset, query: Query, utility: Sequence[float] | None, sheet: ContactSheet | None
) -> list[dict[str, Any]]:
    ids = query.ids.tolist()
    values, reasons = utility or [None] * len(ids), query.reasons or [""] * len(ids)
    rows = []
    for place, i in enumerate(ids):
        path = {} if data.paths is None else {"path": data.paths[i]}
        stands_for = {} if sheet is None else {"stands_for": sheet.stands_for[place]}
        rows.append({
            "rank": place + 1, "id": i, "key": data.manifest.keys[i], **path, "utility": number(values[place]),
            **stands_for, "reason": reasons[place],
        })  # fmt: skip
    return rows


def _sheet(
    order: Order, session: Session, chooser: Strategy, query: Query, facts: Mapping[str, str], notices: Sequence[str]
) -> ContactSheet:
    data = session.dataset
    state = State(round=query.round, n_labelled=len(session.book.charged), has_model=query.purpose == QUERY)
    wanted = [need for need in chooser.needs_at(state) if isinstance(need, Features)]
    # The distances that the strategy saw, or, if it saw none, those that a strategy on features would see.
    normalise = wanted[0].normalise if wanted else True
    x_N_d: Array = session.setting.features[Features(frame="all", normalise=normalise)]
    key = Seed(order.seed).child("contact sheet").key()
    drawn = None if order.map == "none" else embedding_map(x_N_d, data.pool, query.ids, key, order.map)
    title = Path(order.source).resolve().name if data.paths else order.source
    return contact_sheet(
        title, x_N_d, session.candidates, query.ids, name=_names(data, order.source), picture=data.picture,
        reasons=query.reasons, facts=facts, notices=notices, set_aside=data.set_aside, map=drawn,
    )  # fmt: skip


def _names(data: Dataset, source: str) -> Callable[[int], str]:
    """What items are called for people: the path within the source, or the key."""
    if data.paths is None:
        return data.manifest.keys.__getitem__
    paths, root = data.paths, Path(source) if Path(source).is_dir() else Path(source).parent
    return lambda i: os.path.relpath(paths[i], root) if Path(paths[i]).is_relative_to(root) else paths[i]


def _write(goals: Targets, rows: list[dict[str, Any]], sheet: ContactSheet | None, data: Dataset) -> None:
    if goals.sheet and sheet:
        write_contact_sheet(goals.sheet, sheet)
    if goals.set_aside:
        write_set_aside(goals.set_aside, data.set_aside)
    if goals.picks:
        write_bytes(goals.picks, picks_csv(rows))


def in_words(component: Any) -> str:
    """Return a component's name, with the settings that differ from its defaults: ``stochastic(base=margin)``."""
    described = describe(component)
    usual = {field.name: field.default for field in fields(component)}
    words = []
    for name, value in described.items():
        given = getattr(component, name, None)
        if name not in usual or given == usual[name]:
            continue
        words.append(f"{name}={in_words(given) if is_dataclass(given) else value}")
    return f"{described['name']}({', '.join(words)})" if words else str(described["name"])
