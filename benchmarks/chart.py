"""Bars as an SVG file: plain shapes and text, readable on a light page and on a dark one."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 760
_LABEL_WIDTH: Final = 205
_VALUE_WIDTH: Final = 190
_BAR_HEIGHT: Final = 26
_STEP: Final = 40
_TOP: Final = 64

# Middle tones, with a contrast of 4 and more against white and against a dark page's #0d1117.
_TEXT: Final = "#6e7781"
_ORDINARY: Final = "#8c959f"
_OURS: Final = "#2da44e"


@dataclass(frozen=True)
class Bar:
    """One bar: what it is of, how long it is, and what is written at its end."""

    label: str
    value: float
    note: str
    ours: bool


def bars(title: str, subtitle: str, rows: list[Bar]) -> str:
    """Draw horizontal bars from a common zero; the longest takes the full width."""
    height = _TOP + _STEP * len(rows)
    longest = max(row.value for row in rows)
    shapes = [_bar(row, _TOP + index * _STEP, longest) for index, row in enumerate(rows)]
    described = "; ".join(f"{row.label}: {row.note}" for row in rows)
    return "\n".join(
        [
            _opening(height),
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(described)}</desc>",
            _text(0, 20, title, size=17, weight="bold"),
            _text(0, 42, subtitle, size=13),
            *shapes,
            "</svg>\n",
        ]
    )


def _bar(row: Bar, top: int, longest: float) -> str:
    room = _WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
    width = max(2.0, room * row.value / longest)
    middle = top + _BAR_HEIGHT // 2 + 5
    weight = "bold" if row.ours else "normal"
    return "\n".join(
        [
            _text(_LABEL_WIDTH - 12, middle, row.label, size=14, weight=weight, anchor="end"),
            _rectangle(top, width, _OURS if row.ours else _ORDINARY),
            _text(_LABEL_WIDTH + width + 10, middle, row.note, size=14, weight=weight),
        ]
    )


def _opening(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
    )


def _rectangle(top: int, width: float, color: str) -> str:
    return (
        f'<rect x="{_LABEL_WIDTH}" y="{top}" width="{width:.1f}" height="{_BAR_HEIGHT}" '
        f'rx="3" fill="{color}"/>'
    )


def _text(
    x: float, y: float, words: str, *, size: int, weight: str = "normal", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{_TEXT}">{escape(words)}</text>'
    )
