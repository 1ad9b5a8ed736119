"""Figures: the numbers drawn, the colours that mean something, and that they draw at all."""

import json

import pytest
import vl_convert

from querist.analysis.bands import difference_curves, mean_curves
from querist.report.figures import arms_in_order, difference_figure, forest, learning_curves
from querist.report.palette import PAPERS, VERDICT_COLOURS, theme


@pytest.fixture(scope="module")
def found(make):
    return make().regimes[0].comparison


def layers(chart, mark):
    return [layer for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == mark]


def rows(layer):
    return layer["data"]["values"]


def drawn(chart, arms):
    """The SVG of a chart, drawn without a browser and without a network."""
    spec = {**chart.properties(width=600).to_dict(), "config": theme("light", arms)}
    return vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])


def test_learning_curves_draw_the_means_and_bands_in_percent(found):
    (line,) = [layer for layer in layers(learning_curves(found), "line") if "style" not in layer["mark"]]
    expected = mean_curves(found.curves)
    assert len(rows(line)) == len(expected) == 7 * 4
    for row, (_, mean) in zip(rows(line), expected.iterrows(), strict=True):
        assert (row["arm"], row["n_labels"]) == (mean["arm"], mean["n_labels"])
        assert [row[k] for k in ("mean", "lower", "upper")] == pytest.approx(
            [100 * mean[k] for k in ("mean", "lower", "upper")], abs=1e-5
        )
    assert line["encoding"]["x"]["field"] == "n_labels"
    assert line["encoding"]["y"]["title"] == "accuracy, %"


def test_single_runs_of_the_reference_are_drawn_and_no_others(found):
    (cloud,) = [layer for layer in layers(learning_curves(found), "line") if layer["mark"].get("style") == "cloud"]
    assert len({row["run"] for row in rows(cloud)}) == 10
    curve = next(curve for run, curve in found.curves.items() if run.arm == "random" and run.pool == 3)
    assert [row["value"] for row in rows(cloud) if row["run"] == "3/0"] == pytest.approx(100 * curve.value, abs=1e-5)


def test_difference_figure_draws_points_and_leaves_the_reference_out(found):
    (line,) = layers(difference_figure(found), "line")
    expected = difference_curves(found.curves, "random")
    assert [row["difference"] for row in rows(line)] == pytest.approx(100 * expected["difference"], abs=1e-5)
    assert "random" not in {row["arm"] for row in rows(line)}
    (stripe,) = layers(difference_figure(found), "rect")
    assert rows(stripe) == [{"from": -0.5, "to": 0.5, "zero": 0}]


@pytest.mark.parametrize("figure", [learning_curves, difference_figure])
def test_the_reference_is_grey_and_every_arm_keeps_its_colour(found, figure):
    arms = arms_in_order(found)
    assert arms[0] == "random"
    domains = [layer["encoding"]["color"]["scale"]["domain"] for layer in figure(found).to_dict()["layer"]
               if "color" in layer["encoding"]]  # fmt: skip
    assert domains
    assert all(domain == arms for domain in domains)
    assert "scheme" not in json.dumps(figure(found).to_dict())


@pytest.mark.parametrize("log", [False, True])
def test_budget_axis_is_true_to_the_budget(found, log):
    for layer in learning_curves(found, log=log).to_dict()["layer"]:
        x = layer["encoding"]["x"]
        assert x["type"] == "quantitative"
        assert x["scale"].get("type", "linear") == ("log" if log else "linear")
        assert x["axis"]["values"] == [10, 20, 40, 80]


def test_forest_is_sorted_and_marked_by_verdict(found):
    chart = forest(found)
    points = layers(chart, "point")
    shown = {row["arm"]: (row, layer["mark"]) for layer in points for row in rows(layer)}
    assert set(shown) == {row.arm for row in found.arms} - {"random"}
    for arm, (row, mark) in shown.items():
        verdict = found[arm]
        assert mark["style"] == f"verdict-{verdict.verdict}"
        assert row["difference"] == pytest.approx(100 * verdict.difference, abs=1e-5)
        assert (row["lower"], row["upper"]) == pytest.approx((100 * verdict.lower, 100 * verdict.upper), abs=1e-5)
    order = points[0]["encoding"]["y"]["sort"]
    assert order == sorted(order, key=lambda arm: -found[arm].difference)


def test_forest_of_a_metric_that_should_be_low_starts_with_the_lowest(make):
    nll = make({"random": 0.0, "good": -0.1, "bad": 0.1}, metric="nll").regimes[0].comparison
    (first, _) = layers(forest(nll), "point")[0]["encoding"]["y"]["sort"]
    assert first == "good"
    assert rows(layers(forest(nll), "rect")[0])[0]["to"] == 0.005


def test_arms_without_an_interval_are_not_in_the_forest(make):
    one = make(pools=1).regimes[0].comparison
    assert layers(forest(one), "point") == []
    (line,) = [layer for layer in layers(learning_curves(one), "line") if "style" not in layer["mark"]]
    assert {row["lower"] for row in rows(line)} == {None}


@pytest.mark.parametrize("figure", [learning_curves, difference_figure, forest])
def test_figures_draw_and_name_every_arm(found, hostile, figure):
    svg = drawn(figure(found), len(found.arms))
    for arm in arms_in_order(found)[1:]:
        assert (arm if arm != hostile else "alert(") in svg
    assert "<script" not in svg


def test_figures_draw_without_a_legend_and_when_names_are_expressions(make):
    gains = {"random": 0.0, 'x" || true || "': 0.01, "it's": 0.02}
    found = make(gains).regimes[0].comparison
    for figure in (learning_curves, difference_figure):
        spec = figure(found, legend=False).to_dict()
        assert {p["name"] for p in spec["params"]} == {"hover", "chosen"}
        assert drawn(figure(found, legend=False, log=True), 3).startswith("<svg")
    renamed = make({'ran"dom': 0.0, "margin": 0.03})
    with pytest.raises(ValueError, match="Add 'random'"):
        _ = renamed.regimes[0].comparison


def test_same_results_give_the_same_specification(make):
    first, second = (learning_curves(make().regimes[0].comparison).to_json() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("paper", PAPERS)
def test_theme_reaches_the_picture(found, paper):
    spec = {**forest(found).properties(width=600).to_dict(), "config": theme(paper, len(found.arms))}
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    assert VERDICT_COLOURS[paper]["better"] in svg
    assert VERDICT_COLOURS[paper]["worse"] in svg
