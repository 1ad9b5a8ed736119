"""The page of one strategy: pictures, rule, advice, settings, needs and how to use it. No script, no network."""

from collections.abc import Collection

from querist.evidence.needs import Need
from querist.report.exhibit import Exhibit
from querist.report.gallery_words import BLOB, FLAG_WORDS, RAMP, chips, need_words, prose, regime_words, sentence
from querist.report.markup import Html, document, html, join, resource, table, tag
from querist.report.toy import BUDGETS, Shown, Stage, Toy
from querist.report.toy_picture import NUMBERED, class_colours, counts, picture, pool_symbol
from querist.strategies.guide import required, settings_of

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def strategy_page(one: Exhibit, on: Toy, before: Exhibit | None, after: Exhibit | None, known: Collection[str]) -> str:
    """Return the whole page.

    Args:
        one: the strategy.
        on: the toy.
        before, after: its neighbours by name, to turn pages.
        known: names that have a page.
    """
    main = tag(
        "main", None, _header(one, known), _pictures(one, on), _rule(one, known), _advice(one, known),
        _settings(one, known), _needs(one), _flags(one), _cost(one), _use(one), _turn(before, after),
        tag("footer", None, "Made by Querist from the strategy itself. Everything on this page is in this one file."),
    )  # fmt: skip
    styles = [resource("page.css"), resource("gallery.css"), class_colours()]
    return document(f"{one.name} · query strategy", POLICY, styles, pool_symbol(on), main)


def _header(one: Exhibit, known: Collection[str]) -> Html:
    also = f" Also called {', '.join(one.card.aliases)}." if one.card.aliases else ""
    return tag(
        "header", None, tag("nav", {"aria-label": "Gallery"}, tag("a", {"href": "../index.html"}, "← All strategies")),
        tag("p", {"class": "eyebrow"}, f"Query strategy · {one.family}"), tag("h1", None, one.name),
        tag("p", {"class": "lede"}, prose((one.guide.rule or ("",))[0], known), also), chips(one),
    )  # fmt: skip


def _pictures(one: Exhibit, on: Toy) -> Html:
    title = tag("h2", {"id": "picks"}, "What it picks")
    if isinstance(one.shown, str):
        return tag(
            "section", None, title,
            tag("p", None, "There is no picture, for it cannot run on the toy with its default settings:"),
            tag("pre", None, tag("code", None, one.shown)),
        )  # fmt: skip
    shown = one.shown
    figures = [_figure(stage, budget, shown, on) for stage, budget in zip(shown.stages, BUDGETS, strict=True)]
    return tag("section", None, title, _legend(one, shown), tag("div", {"class": "panels"}, *figures))


def _legend(one: Exhibit, shown: Shown) -> Html:
    looked = any(stage.looked for stage in shown.stages)
    areas = "Shaded areas are what the model said when the picks were made" + (
        "." if looked else ", for which this strategy does not ask."
    )
    each = " Every budget is a selection of its own." if "one_shot" in one.card.flags else ""
    return tag(
        "p", {"class": "small"},
        "Points of a plane in four classes, A to D; D is rare. The strategy sees them as 49 features. New picks are "
        "numbered, or shaded from the first ", RAMP, " to the last; ", BLOB, f" was labelled before. {areas}{each} "
        f"Learner: {shown.learner}. One toy and one seed show the manner of a strategy, not its worth.",
    )  # fmt: skip


def _figure(stage: Stage, budget: int, shown: Shown, on: Toy) -> Html:
    new = f"{len(stage.picks)} new: {counts(stage.picks, on)}."
    if not len(stage.before):
        who = "chosen without labels" if shown.first != "random" else "drawn at random"
        new = f"{counts(stage.picks, on)}, {who}."
    order = "numbered" if len(stage.picks) <= NUMBERED else "shaded by their order"
    words = f"{budget} labels. {new} The new picks are {order}."
    return tag(
        "figure", None, picture(stage, on, words=words),
        tag("figcaption", None, tag("strong", None, f"{budget} labels. "), new),
    )  # fmt: skip


def _rule(one: Exhibit, known: Collection[str]) -> Html:
    cite = tag("p", {"class": "small"}, f"Source: {one.card.cite}.") if one.card.cite else ""
    paragraphs = (tag("p", None, prose(text, known)) for text in one.guide.rule)
    return tag("section", None, tag("h2", {"id": "rule"}, "The rule"), *paragraphs, cite)


def _advice(one: Exhibit, known: Collection[str]) -> Html:
    parts = (("Use it when", "use"), ("Avoid it when", "avoid"), ("Pitfalls", "pitfalls"))
    boxes = [
        tag(
            "div", {"class": style}, tag("h3", None, title),
            tag("p", None, prose(sentence(text), known)),
        )
        for title, style in parts if (text := getattr(one.guide, style))
    ]  # fmt: skip
    home = [regime_words(regime) for regime in one.regimes]
    at_home = tag("p", None, f"At home with {'; '.join(home)}.") if home else ""
    if not boxes and not home:
        return html("")
    return tag(
        "section", None, tag("h2", {"id": "advice"}, "When to use it"), at_home, tag("div", {"class": "advice"}, *boxes)
    )


def _settings(one: Exhibit, known: Collection[str]) -> Html:
    rows: list[tuple[str, list[object]]] = [
        ("", [tag("code", None, name), tag("code", None, text), prose(one.guide.settings.get(name, ""), known)])
        for name, text in settings_of(one.card.component).items()
    ]
    presets: list[tuple[str, list[object]]] = [
        (
            "",
            [
                tag("code", None, name),
                tag("code", None, ", ".join(f"{k} = {v!r}" for k, v in settings.items()) or "as it is"),
            ],
        )
        for name, settings in one.card.presets.items()
    ]
    heads = [("Setting", "text"), ("Type and default", "text"), ("Meaning", "text")]
    columns = [("Preset", "text"), ("Settings", "text")]
    return tag(
        "section", None, tag("h2", {"id": "settings"}, "Settings"),
        table("Every setting with its default", heads, rows) if rows else tag("p", None, "It has none."),
        table("Settings of papers and other systems, by name", columns, presets) if presets else "",
    )  # fmt: skip


def _needs(one: Exhibit) -> Html:
    entries: list[tuple[str, Html]] = []
    if one.starts:
        entries.append(("Before there are labels", _list(one.cold)))
    elif one.configured:
        first = "It cannot choose the first labels: another strategy does, by default random."
        entries.append(("Before there are labels", html(first)))
    if one.configured:
        entries.append(("Once there is a model", _list(one.warm)))
    else:
        entries.append(("Always", html("It depends on its settings.")))
    if one.wants:
        entries.append(("And if somebody offers it", _list(one.wants)))
    terms = (join([tag("dt", None, term), tag("dd", None, text)]) for term, text in entries)
    return tag("section", None, tag("h2", {"id": "needs"}, "What it needs to know"), tag("dl", None, *terms))


def _list(needs: Collection[Need[object]]) -> Html:
    if not needs:
        return html("Nothing.")
    return join(
        tag("p", {"style": "margin:0 0 .3rem"}, tag("code", None, str(need)), f" {need_words(need)}") for need in needs
    )


def _flags(one: Exhibit) -> Html:
    if not one.card.flags:
        return html("")
    terms = (
        join([tag("dt", None, flag.replace("_", " ")), tag("dd", None, sentence(FLAG_WORDS.get(flag, flag)))])
        for flag in sorted(one.card.flags)
    )
    return tag(
        "section", None, tag("h2", {"id": "flags"}, "What a reader of results must know"), tag("dl", None, *terms)
    )


def _cost(one: Exhibit) -> Html:
    if not one.cost:
        return html("")
    return tag("section", None, tag("h2", {"id": "cost"}, "Cost"), tag("p", None, one.cost))


def _use(one: Exhibit) -> Html:
    parts: list[object] = [
        tag("h2", {"id": "how"}, "How to use it"), tag("p", None, "In a study, beside random:"),
        tag("pre", None, tag("code", {"class": "toml"}, study_of(one))),
    ]  # fmt: skip
    if "oracle" in one.card.flags:
        parts.append(tag("p", None, "It reads hidden labels, so nothing but a study can run it."))
    else:
        source = "a folder of images, or a file of features" + ("" if one.starts else ", some of it labelled")
        parts += [
            tag("p", None, f"On {source}:"),
            tag("pre", None, tag("code", {"class": "command"}, command_of(one))),
        ]  # fmt: skip
    return tag("section", None, *parts)


def study_of(one: Exhibit) -> str:
    """Return a study of this strategy beside random, as TOML."""
    settings = "".join(f', {name} = "..."' for name in required(one.card.component))
    entry = f'{{ name = "{one.name}"{settings} }}' if settings else f'"{one.name}"'
    committee = not isinstance(one.shown, str) and one.shown.learner == "committee"
    learner = '{ name = "committee", members = 100 }' if committee else '"linear"'
    return "\n".join([
        "[study]", f'name     = "try-{one.page.removesuffix(".html")}"', 'dataset  = "digits"', f"learner  = {learner}",
        f'strategy = ["random", {entry}]', "", "[budget]", "step   = 20", "rounds = 8",
    ])  # fmt: skip


def command_of(one: Exhibit) -> str:
    """Return a command line that selects with this strategy."""
    settings = ", ".join(f"{name}='...'" for name in required(one.card.component))
    strategy = f'"{one.name}({settings})"' if settings else one.name
    committee = not isinstance(one.shown, str) and one.shown.learner == "committee"
    learner = ' --learner "committee(members=100)"' if committee else ""
    labels = "" if one.starts else " --labels labels.csv"
    return f"querist select photos --budget 100 --strategy {strategy}{labels}{learner}"


def _turn(before: Exhibit | None, after: Exhibit | None) -> Html:
    links = [
        tag("a", {"href": one.page, "rel": rel}, text.format(one.name)) if one else tag("span", None)
        for one, rel, text in ((before, "prev", "← {}"), (after, "next", "{} →"))
    ]
    return tag("nav", {"class": "pages", "aria-label": "Neighbours by name"}, *links)
