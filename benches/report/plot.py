"""The plots of speed.py, as SVG for light and dark pages."""

from html import escape
from math import ceil
from typing import NamedTuple

WIDTH = 800
LINE = 22
BAR = 13

STYLE = """  <style>
    text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
    text { fill: #1f2328 }
    .group { font-weight: 600 }
    .faint { fill: #59636e }
    .number { font-variant-numeric: tabular-nums }
    .ours { fill: #4c9aff }
    .peer { fill: #afb8c1 }
    .whisker { stroke: #1f2328; fill: none }
    .one { stroke: #59636e; stroke-dasharray: 4 3 }
    .grid { stroke: #59636e; stroke-opacity: 0.2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .faint { fill: #9198a1 }
      .ours { fill: #1f6feb }
      .peer { fill: #57606a }
      .whisker { stroke: #e6edf3 }
      .one, .grid { stroke: #9198a1 }
    }
  </style>"""


class Bar(NamedTuple):
    label: str
    value: float
    low: float
    high: float
    is_peer: bool


def bars(title: str, description: str, line: str, groups: list[tuple[str, list[Bar]]]) -> str:
    """Bars from 0, each with a whisker from low to high; `line` labels the line at 1."""
    left, right, top = 380, 750, 30
    # One grid line for each half, with its number below.
    halves = ceil(2 * max(bar.high for _, group in groups for bar in group))
    unit = (right - left) / halves * 2
    one = left + unit

    shapes, y = [], top
    for at, kind, whose in ((0, "ours", "relatch"), (80, "peer", "others")):
        shapes += [rectangle(at, top - 5, BAR, kind), text(at + BAR + 5, top - 5, whose)]
    for heading, group in groups:
        y += LINE
        shapes.append(text(0, y, heading, "group"))
        for bar in group:
            y += LINE
            low, high, end = (left + unit * at for at in (bar.low, bar.high, bar.value))
            shapes.append(text(0, y, bar.label))
            shapes.append(rectangle(left, y, end - left, "peer" if bar.is_peer else "ours"))
            if bar.low < bar.high:
                middle = y - 4
                shapes.append(
                    f'<path class="whisker" d="M{low:.1f} {middle - 3}v6m0 -3H{high:.1f}m0 -3v6"/>'
                )
            x = max(high, end) + 5
            if x - 5 < one < x + 30:
                x = one + 5
            shapes.append(text(x, y, ratio(bar.value), "number"))
        y += LINE // 2

    ground = []
    for half in range(halves + 1):
        x = left + unit * half / 2
        ground.append(f'<path class="grid" d="M{x:.1f} {top}V{y}"/>')
        ground.append(text(x, y + 15, f"{half / 2:g}", "faint", "middle"))
    shapes.append(f'<path class="one" d="M{one:.1f} {top}V{y}"/>')
    shapes.append(text(one, top - 5, line, "faint", "middle"))
    return svg(title, description, y + 22, ground + shapes)


def stages(measured: list[tuple[str, float]], whole: float) -> str:
    """One bar per stage (label and nanoseconds), each starting where the last one ends."""
    left, right = 280, 690
    total = sum(ns for _, ns in measured)
    unit = (right - left) / max(total, whole)

    shapes, y, x = [], 0, float(left)
    for label, ns in measured:
        y += LINE
        shapes.append(text(0, y, label))
        shapes.append(rectangle(x, y, unit * ns, "ours"))
        x += unit * ns
        shapes.append(text(x + 5, y, f"{ns / total:.0%}, {duration(ns)}", "number"))
    y += LINE + LINE // 2
    shapes.append(text(0, y, "the whole of verify", "group"))
    shapes.append(rectangle(left, y, unit * whole, "peer"))
    shapes.append(text(left + unit * whole + 5, y, duration(whole), "number"))
    return svg(
        "Where the time of a verification goes",
        "One bar per stage, in order, with its share of the sum; then the whole. "
        "The table in benches/README.md has the same figures.",
        y + 12,
        shapes,
    )


def ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def duration(ns: float) -> str:
    return f"{ns / 1000:.1f} µs" if ns >= 999.5 else f"{ns:.0f} ns"


def svg(title: str, description: str, height: int, shapes: list[str]) -> str:
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-labelledby="title desc">'
    )
    head = [
        opening,
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="desc">{escape(description)}</desc>',
        STYLE,
    ]
    return "\n".join([*head, *(f"  {shape}" for shape in shapes), "</svg>", ""])


def rectangle(x: float, y: int, width: float, kind: str) -> str:
    top = y - 4 - BAR / 2
    return f'<rect class="{kind}" x="{x:.1f}" y="{top:g}" width="{width:.1f}" height="{BAR}"/>'


def text(x: float, y: int, content: str, kind: str = "", anchor: str = "start") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y}"{of_kind}{at}>{escape(content)}</text>'
