"""Rows, printed: a table for people, JSON or CSV for programs. Each comes as it is made."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
import numpy as np

from recorder.cells import cell
from recorder.inspection.widths import Want, fit

Row = Mapping[str, Any]
_PIPE_WIDTH = 400  # of a table that goes into a file or another program
_TABLE_ROWS = 500  # whose widths a table is laid out by; the next ones make another
_CELL = 60
_SAYS_NOTHING = 99  # a column of dashes is the first to be left out


@dataclass(frozen=True)
class Column:
    """A column of a table for people.

    Attributes:
        name: its key in the rows.
        title: what stands above it; the name where empty.
        show: text of a value; `text_of` where None.
        right: whether it is set to the right, as numbers are.
        least: characters that its text can be cut to where the terminal is narrow; numbers
            are never cut.
        yields: what cannot be shown in a narrow terminal is left out in this order, the
            greatest first; of equals, the last.
    """

    name: str
    title: str = ""
    show: Callable[[Any], str] | None = None
    right: bool = False
    least: int = 12
    yields: int = 0


def print_rows(
    rows: Iterable[Row],
    columns: Sequence[Column],
    *,
    as_json: bool,
    as_csv: bool,
    title: str | None = None,
) -> int:
    """Print rows and return how many there were.

    JSON is an array with a row a line; CSV has a line with the names first, those of
    `columns`. Both hold values as they are, whatever the table shows; only text that a
    spreadsheet would run is marked as text in CSV (`recorder.cells`).

    Raises:
        click.UsageError: both JSON and CSV are asked for.
    """
    check_forms(as_json, as_csv)
    if as_json:
        return _print_json(rows)
    if as_csv:
        return _print_csv(rows, [column.name for column in columns])
    return _print_table(rows, columns, title)


def check_forms(as_json: bool, as_csv: bool) -> None:
    """Refuse to print in two forms at once."""
    if as_json and as_csv:
        raise click.UsageError("expected --json or --csv, got both; choose one")


def print_json(value: Any) -> None:
    """Print one value as a line of JSON."""
    click.echo(dumps(value))


def dumps(value: Any) -> str:
    """Return strict JSON: NaN as null, infinities as texts, arrays as lists."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value as JSON has forms for."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return str(value).encode(errors="replace").decode()


def safe(text: str) -> str:
    """Return text that a terminal only shows: what would move or colour it is spelled out."""
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cs", "Cf", "Zl", "Zp") else repr(c)[1:-1]
        for c in text
    )


def text_of(value: Any) -> str:
    """Return a value as a person reads it in a cell."""
    match value:
        case None:
            return "-"
        case bool() | np.bool_():
            return "yes" if value else "no"
        case int() | np.integer():
            return f"{int(value):,}"
        case float() | np.floating():
            return "-" if value != value else f"{float(value):.6g}"
        case np.ndarray():
            return _short(np.array2string(value, precision=4, threshold=8, max_line_width=10_000))
        case tuple() | list() if all(isinstance(item, str) for item in value):
            return _short(safe(" ".join(value)))
        case dict() | tuple() | list():
            return _short(safe(dumps(value)))
    return _short(safe(str(value)))


def when(value: float | None) -> str:
    """Return unix seconds as local time."""
    if value is None:
        return "-"
    try:
        return datetime.fromtimestamp(value).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # the file may say anything
        return "-"


def size(value: int) -> str:
    """Return bytes with a unit, as disks are sold."""
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}" if unit != "B" else f"{value} B"
        number /= 1000
    return f"{number:.3g} TB"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 3]}..."


def _print_json(rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        click.echo(("[" if not count else ",\n") + dumps(row), nl=False)
        count += 1
    click.echo("]" if count else "[]")
    return count


def _print_csv(rows: Iterable[Row], names: Sequence[str]) -> int:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for row in rows:
        writer.writerow([_csv_cell(row.get(name)) for name in names])
        count += 1
        if buffer.tell() > 1 << 14:
            click.echo(buffer.getvalue(), nl=False)
            buffer.seek(0)
            buffer.truncate()
    click.echo(buffer.getvalue(), nl=False)
    return count


def _csv_cell(value: Any) -> Any:
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return cell(value) if isinstance(value, str) else value


def _print_table(rows: Iterable[Row], columns: Sequence[Column], title: str | None) -> int:
    count, batch = 0, []
    for row in rows:
        batch.append(row)
        if len(batch) == _TABLE_ROWS:
            click.echo(_table(batch, columns, title if not count else None), nl=False)
            count, batch = count + len(batch), []
    if batch or not count:
        click.echo(_table(batch, columns, title if not count else None), nl=False)
    return count + len(batch)


def _table(rows: Sequence[Row], columns: Sequence[Column], title: str | None) -> str:
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[(c.show or text_of)(row.get(c.name)) for row in rows] for c in columns]
    titles = [column.title or column.name for column in columns]
    wants = []
    for column, texts, over in zip(columns, cells, titles, strict=True):
        natural = max(map(cell_len, (over, *texts)))
        least = natural if column.right else min(natural, column.least)
        says = any(text != "-" for text in texts)
        wants.append(Want(natural, least, column.yields if says else _SAYS_NOTHING))
    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_terminal else _PIPE_WIDTH
    shown = fit(wants, width)

    table = Table(title=title, box=box.SIMPLE, pad_edge=False, title_justify="left")
    for index, chars in shown.items():
        table.add_column(
            titles[index],
            justify="right" if columns[index].right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=chars,
        )
    for place in range(len(rows)):
        table.add_row(*(Text(cells[index][place]) for index in shown))
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=on_terminal, legacy_windows=False)
    console.print(table)
    left_out = [
        over
        for index, over in enumerate(titles)
        if index not in shown and wants[index].yields != _SAYS_NOTHING
    ]
    if left_out:
        console.print(Text(f"No room here for: {', '.join(left_out)}."))
    lines = out.getvalue().split("\n")
    return "\n".join(line.rstrip() for line in lines)
