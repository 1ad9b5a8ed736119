"""Colours of figures and page, for light and dark paper.

Arms: eight hues, then the same hues with another dash, so that 24 arms look different; the reference is always grey.
The hues were chosen by search: at least 3:1 against their paper, and any two of them, or one of them and the grey, at
least 0.09 apart in OKLab as seen with full colour vision, protanopia, deuteranopia and tritanopia (0.15 with full
colour vision). The test of this file measures that again.
"""

from typing import Literal

from querist.analysis.judge import Verdict

Paper = Literal["light", "dark"]
PAPERS: tuple[Paper, ...] = ("light", "dark")

BACKGROUND: dict[Paper, str] = {"light": "#ffffff", "dark": "#16181d"}
REFERENCE: dict[Paper, str] = {"light": "#8a8f98", "dark": "#8f959e"}
HUES: dict[Paper, tuple[str, ...]] = {
    "light": ("#2e3e9e", "#ff4e4a", "#009a11", "#834fe7", "#19707e", "#9a483f", "#5e2450", "#314000"),
    "dark": ("#4392fa", "#f3a99e", "#a1fce0", "#ae30a0", "#e1f60e", "#cb0031", "#6c4ddd", "#50cbf5"),
}
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2))

VERDICT_SHAPES: dict[Verdict, str] = {
    "better": "triangle-up", "worse": "triangle-down", "equivalent": "square", "undecided": "circle",
    "withheld": "cross",
}  # fmt: skip
VERDICT_COLOURS: dict[Paper, dict[Verdict, str]] = {
    "light": {
        "better": "#0b62b0", "worse": "#b23c00", "equivalent": "#3f6b57", "undecided": "#6a7079", "withheld": "#6a7079",
    },
    "dark": {
        "better": "#7ab8ff", "worse": "#ff9f66", "equivalent": "#93cdb2", "undecided": "#a3aab4", "withheld": "#a3aab4",
    },
}  # fmt: skip
INK: dict[Paper, str] = {"light": "#1b1f24", "dark": "#e6e8eb"}
MUTED: dict[Paper, str] = {"light": "#59616b", "dark": "#a3aab4"}
LINE: dict[Paper, str] = {"light": "#e3e6ea", "dark": "#2c3038"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def arm_colours(count: int, paper: Paper) -> list[str]:
    """Return the colours of the reference and `count` - 1 other arms."""
    hues = HUES[paper]
    return [REFERENCE[paper], *(hues[i % len(hues)] for i in range(count - 1))]


def arm_dashes(count: int) -> list[list[int]]:
    """Return the dashes of the reference and `count` - 1 other arms: solid until the hues are used up."""
    hues = len(HUES["light"])
    return [list(DASHES[0]), *(list(DASHES[i // hues % len(DASHES)]) for i in range(count - 1))]


def theme(paper: Paper, arms: int) -> dict[str, object]:
    """Return the Vega-Lite configuration of every figure; what differs between papers is here and in no figure."""
    text = {"labelColor": MUTED[paper], "titleColor": MUTED[paper], "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            **text, "titleFontWeight": "normal", "gridColor": LINE[paper], "domain": False, "tickColor": LINE[paper],
            "labelPadding": 6, "titlePadding": 10, "labelFlush": False,
        },
        "axisX": {"grid": False, "ticks": True},
        "axisY": {"ticks": False},
        "legend": {
            **text, "labelLimit": 260, "symbolStrokeWidth": 2.5, "symbolSize": 160, "orient": "bottom", "columns": 4,
        },
        "title": {"color": INK[paper], "anchor": "start", "fontSize": 13, "fontWeight": "normal"},
        "range": {"category": arm_colours(arms, paper)},
        "style": {
            "rope": {"color": MUTED[paper], "fillOpacity": 0.13 if paper == "light" else 0.2},
            "zero": {"color": MUTED[paper], "strokeWidth": 1},
            "cloud": {"color": REFERENCE[paper], "strokeWidth": 0.8, "strokeOpacity": 0.45},
            **{f"verdict-{v}": {"color": c} for v, c in VERDICT_COLOURS[paper].items()},
        },
    }  # fmt: skip
