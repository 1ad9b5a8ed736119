"""The listing of strategies: what goes with a learner, what starts cold, and why the rest was left out."""

import dataclasses
import inspect
import json
import re

import pytest

from querist.cli.listing import _flowing
from querist.cli.main import main
from querist.cli.output import out
from querist.evidence.needs import Need
from querist.learners.base import learners
from querist.session.pairing import needs_of, starts, unmet
from querist.strategies.base import strategies
from querist.strategies.guide import ADVICE, plain

CARDS = {card.name: card for card in strategies.cards()}
BUILT = {name: plain(card) for name, card in CARDS.items()}


def listed(capsys, *words) -> dict:
    """Return the document of a listing."""
    assert main(["strategies", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def names(capsys, *words) -> list[str]:
    return [entry["name"] for entry in listed(capsys, *words)["strategies"]]


@pytest.mark.parametrize("learner", ["linear", "committee(members=100)", "scratch"])
def test_for_a_learner_keeps_what_it_fits_and_says_why_not_the_rest(learner, capsys):
    document = listed(capsys, "--for", learner)
    kept = [entry["name"] for entry in document["strategies"]]
    provider = learners.build(learner)
    assert kept == [name for name in CARDS if not unmet(BUILT[name], provider)]
    assert sorted([*kept, *document["left_out"]]) == sorted(CARDS)
    assert all(document["left_out"].values())
    assert ("bald" in kept) == (learner == "committee(members=100)")  # scratch has no dropout unless asked for
    assert "max_herding" in kept


def test_what_cannot_be_told_without_a_learner_is_not_told(capsys):
    assert "left_out" not in listed(capsys)
    assert names(capsys) == list(CARDS)


def test_cold_family_regime_and_need_restrict_and_add_up(capsys):
    assert names(capsys, "--cold") == [name for name in CARDS if starts(BUILT[name])]
    assert names(capsys, "--family", "Coverage") == [n for n, c in CARDS.items() if c.component.family == "coverage"]
    assert names(capsys, "--regime", "vl") == [n for n, c in CARDS.items() if "VL" in c.component.regimes]
    probs = [n for n in CARDS if "Probs" in {type(need).__name__ for need in needs_of(BUILT[n])}]
    assert names(capsys, "--need", "probs") == probs
    both = names(capsys, "--for", "linear", "--cold", "--family", "coverage", "--regime", "L", "--need", "features")
    assert both == [
        n for n, c in CARDS.items()
        if c.component.family == "coverage" and "L" in c.component.regimes and starts(BUILT[n])
        and "Features" in {type(need).__name__ for need in needs_of(BUILT[n])}
    ]  # fmt: skip
    assert "k_medoids" in both


def test_entries_say_family_regimes_and_whether_they_start_cold(capsys):
    entries = {entry["name"]: entry for entry in listed(capsys)["strategies"]}
    assert entries["margin"]["family"] == "uncertainty"
    assert entries["margin"]["regimes"] == ["M", "H"]
    assert entries["margin"]["cold"] is False
    assert entries["typiclust"]["cold"] is True
    assert entries["typiclust"]["settings"]["neighbours"] == "int = 20"
    assert entries["stochastic"]["settings"]["base"] == "Scoring = margin"
    assert main(["learners", "--json"]) == 0
    assert "family" not in json.loads(capsys.readouterr().out)["learners"][0]


def test_the_table_has_every_name_under_its_family_and_counts_what_it_left_out(capsys):
    assert main(["strategies", "--for", "linear"]) == 0
    said = capsys.readouterr()
    lines = [line.strip() for line in said.out.splitlines()]
    assert "uncertainty" in lines
    kept = [name for name in CARDS if not unmet(BUILT[name], learners.build("linear"))]
    first_words = [line.split()[0] for line in lines if line]
    assert [name for name in CARDS if name in first_words] == kept
    assert f"{len(CARDS) - len(kept)} left out" in said.err
    assert "--why" in said.err
    assert "bald:" not in said.err


def test_why_gives_one_line_for_each(capsys):
    assert main(["strategies", "--for", "linear", "--family", "committee", "--why"]) == 0
    said = capsys.readouterr().err.splitlines()
    lines = {line.partition(":")[0]: line for line in said if ":" in line}
    out = [
        n for n, c in CARDS.items() if c.component.family == "committee" and unmet(BUILT[n], learners.build("linear"))
    ]
    assert [name for name in out if name not in lines] == []
    assert "there are no draws" in lines["bald"]
    assert said[-1].startswith(f"{len(out)} left out")


def test_nothing_left_is_said(capsys):
    assert main(["strategies", "--family", "uncertainty", "--cold", "--need", "draws"]) == 0
    assert "No strategy" in capsys.readouterr().err


def test_filters_that_would_do_nothing_are_refused(capsys):
    assert main(["strategies", "--why"]) == 2
    assert "--for linear --why" in " ".join(capsys.readouterr().err.split())
    assert main(["strategies", "badge", "--for", "linear"]) == 2
    assert "leave 'badge' out" in " ".join(capsys.readouterr().err.split())


def test_nothing_is_said_to_be_left_out_where_nothing_is(capsys):
    assert main(["strategies", "--for", "linear", "--cold", "--family", "coverage"]) == 0
    assert capsys.readouterr().err == ""


def test_an_explanation_flows_and_has_no_markup(capsys, monkeypatch):
    monkeypatch.setattr(out, "_width", 60)
    for card in CARDS.values():
        assert main(["strategies", card.name]) == 0
        rule = re.split(r"\n(?:settings\n|presets\n|family: )", capsys.readouterr().out)[0]
        assert "`" not in rule
        doc = inspect.getdoc(card.component).replace("`", "").replace("::\n", ":\n")
        assert rule.split()[1:] == doc.split() or card.aliases  # aliases follow the name
        for words in ADVICE:
            assert not re.search(rf"\S *{words}: ", rule), f"{card.name}: {words} begins within a line"


def test_sections_and_examples_keep_their_lines():
    doc = """Does ``this``
    and that.

    Example::

        { a = 1 }
        { b = 2 }

    Attributes:
        one: the first, which is a
            long story.
        two: the second.
    """
    assert _flowing(inspect.cleandoc(doc), 30) == (
        "Does this and that.\n\nExample:\n\n    { a = 1 }\n    { b = 2 }\n\n"
        "Attributes:\n    one: the first, which is a\n        long story.\n    two: the second."
    )


@pytest.mark.parametrize(
    ("option", "word", "advice"),
    [("--family", "coverge", "coverage"), ("--regime", "X", "VL"), ("--need", "prob", "probs"),
     ("--for", "linaer", "linear")],
)  # fmt: skip
def test_unknown_words_get_advice(option, word, advice, capsys):
    assert main(["strategies", option, word, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "UnknownNameError"
    assert advice in error["message"]


def test_every_need_can_be_asked_for(capsys):
    for kind in Need.__subclasses__():
        if kind.__module__.startswith("querist.evidence"):
            assert main(["strategies", "--need", kind.__name__, "--json"]) == 0
            capsys.readouterr()


@pytest.mark.parametrize("name", ["scratch", "warm", "finetune", "linear_aug"])
def test_the_page_of_a_deep_learner_explains_every_setting(name, capsys):
    """Those it has from its recipe as well: nobody should have to read the source for them."""
    assert main(["learners", name]) == 0
    text = capsys.readouterr().out
    own, _, listed_settings = text.partition("settings\n")
    for field in dataclasses.fields(learners.card(name).component):
        meaning = re.search(rf"^  {field.name}: .*(\n'.*|\n=.*)*\n      \S", listed_settings, re.MULTILINE)
        assert meaning or re.search(rf"^    {field.name}: ", own, re.MULTILINE), field.name
