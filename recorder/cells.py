"""Text in a cell of CSV, which may be opened by a spreadsheet."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(text: str) -> str:
    """Return text that a spreadsheet shows and does not run.

    What would be a formula gets an apostrophe in front, which a spreadsheet hides; numbers stay.

    >>> cell("=cmd|' /C calc'!A0"), cell("-1.5"), cell("maze")
    ("'=cmd|' /C calc'!A0", '-1.5', 'maze')
    """
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
