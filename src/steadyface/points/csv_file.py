"""2D points in tables: a row a frame, as OpenFace writes, or a row a point."""

import csv
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .image_points import ImagePoints

_FRAME, _TIME, _POINT, _SUCCESS = "frame", ("time_s", "timestamp"), "point", "success"
# x0, x_0 and so on: OpenFace's X_0 is another thing, so case matters.
_NUMBERED = re.compile(r"(x|y|sigma)_?(\d+)")
_NAMED = re.compile(r"(.+)_(x|y|sigma)")


def read_csv(path):
    """Points of a table with a head line: `ImagePoints`.

    A row a frame: x0, y0, x1, y1, ... (or x_0 ...) or NAME_x, NAME_y for each point, and sigma0 or
    NAME_sigma; or a row a point: frame, point (number from 0 or name), x, y and sigma. Optional
    columns: frame, from 0; time_s or timestamp, seconds. A table with the column success is OpenFace's: its
    frames count from 1, and where success is 0 no point is seen. Empty cells and nan are points that are not
    seen; other columns are left alone. Columns are set apart by commas, semicolons or tabs. Raises
    InputError with the number of the line for anything else.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            separator = max(",;\t", key=head.count)
            columns = [c.strip() for c in next(csv.reader([head], delimiter=separator), [])]
            _check_head(path, columns)
            rows = csv.reader(file, delimiter=separator)
            if {_POINT, "x", "y"} <= set(columns):
                return _long(_read(path, columns, rows, {"x", "y", "sigma"}))
            parts = _parts(path, columns)
            return _wide(_read(path, columns, rows, set(parts.values())), parts)
    except OSError as e:
        raise InputError(f"cannot read {path}: {e.strerror or e}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path} is not a table of text: {e}") from e


@dataclass(frozen=True)
class _Table:
    """The rows of a table: columns: names of the (N, n) numbers, NaN where empty; line: (N,) number of each
    row in the file; labels: N entries of the column point, where there is one."""

    path: Path
    columns: dict[str, int]
    values: np.ndarray
    line: array
    labels: list[str]

    def numbers(self, *names):
        """Columns, (N, n)."""
        return self.values[:, [self.columns[name] for name in names]]

    def optional(self, *names):
        """The first of the columns that is there, (N,), or None."""
        name = next((n for n in names if n in self.columns), None)
        return None if name is None else self.values[:, self.columns[name]]

    def frames(self):
        """The column of frames, (N,) whole numbers, or None."""
        frames = self.optional(_FRAME)
        if frames is None:
            return None
        whole = np.isfinite(frames) & (frames >= 0) & (frames < 2**52)
        whole &= np.where(whole, frames, 0.5) % 1 == 0
        if not whole.all():
            row = int(np.argmin(whole))
            raise InputError(
                f"{self.path}, line {self.line[row]}: frame must be a whole number >= 0; got {frames[row]:g}"
            )
        return frames.astype(np.int64)


def _check_head(path, columns):
    if not any(columns):
        raise InputError(f"{path} is empty: a table of points needs a head line")
    repeated = {c for c in columns if c and columns.count(c) > 1}
    if repeated:
        raise InputError(f"{path}, line 1: the column {min(repeated)} is there twice")


def _read(path, columns, reader, wanted):
    """The `_Table` of the wanted columns and those of frames, times and success."""
    at = [i for i, c in enumerate(columns) if c in wanted | {_FRAME, *_TIME, _SUCCESS}]
    point = columns.index(_POINT) if _POINT in columns else None
    # Flat numbers, for a list of cells would take ten times the memory.
    values, lines, labels = array("d"), array("q"), []
    for row in reader:
        line = reader.line_num + 1
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            raise InputError(f"{path}, line {line}: {len(row)} cells where the head line has {len(columns)}")
        try:
            numbers = [float(row[i]) for i in at]
        except ValueError:
            numbers = [_number(path, line, columns[i], row[i].strip()) for i in at]
        values.extend(numbers)
        lines.append(line)
        if point is not None:
            labels.append(row[point].strip())
    if not lines:
        raise InputError(f"{path} has no row: a table of points needs one a frame or one a point")
    place = {columns[i]: n for n, i in enumerate(at)}
    return _Table(path, place, np.frombuffer(values).reshape(len(lines), -1), lines, labels)


def _number(path, line, column, text):
    try:
        return float(text) if text else np.nan
    except ValueError:
        raise InputError(
            f"{path}, line {line}: {column} must be a number or empty; got {text[:40]!r}"
        ) from None


def _parts(path, columns):
    """Columns of the points in a table with a row a frame: (name, x or y or sigma) to column."""
    for pattern, name, part in ((_NUMBERED, 2, 1), (_NAMED, 1, 2)):
        matches = [m for m in map(pattern.fullmatch, columns) if m]
        parts = {(m[name], m[part]): m[0] for m in matches}
        names = [n for n, axis in parts if axis == "x" and (n, "y") in parts]
        if not names:
            continue
        if pattern is _NUMBERED:
            names.sort(key=int)
            if [int(n) for n in names] != list(range(len(names))):
                raise InputError(
                    f"{path}, line 1: points must be numbered from 0 without gaps; got "
                    f"{', '.join(names)[:80]}"
                )
        kinds = ("x", "y", "sigma") if all((n, "sigma") in parts for n in names) else ("x", "y")
        return {(n, kind): parts[n, kind] for n in names for kind in kinds}
    raise InputError(
        f"{path}, line 1: no points in the columns {', '.join(columns)[:80]}; points are x0, y0, x1, y1, ... "
        "or NAME_x, NAME_y, or point, x, y in a row each"
    )


def _wide(table, parts):
    names = tuple(n for n, kind in parts if kind == "x")
    points = np.stack([table.numbers(*(parts[n, axis] for n in names)) for axis in "xy"], -1)
    told = (names[0], "sigma") in parts
    sigma = table.numbers(*(parts[n, "sigma"] for n in names)) if told else None
    frames, time_s = table.frames(), table.optional(*_TIME)
    success = table.optional(_SUCCESS)
    if success is not None:
        points[~(success > 0)] = np.nan
        if frames is not None:
            frames = frames - (frames.min() > 0)
    return _ordered(table, points, sigma, frames, time_s, names)


def _ordered(table, points, sigma, frames, time_s, names):
    """Rows of frames, in the order of their numbers."""
    if frames is None:
        order = np.arange(len(points))
    else:
        order = np.argsort(frames, kind="stable")
        twice = np.flatnonzero(np.diff(frames[order]) == 0)
        if len(twice):
            row = order[twice[0] + 1]
            raise InputError(
                f"{table.path}, line {table.line[row]}: frame {frames[row]} is there twice: give the rows of "
                "one face alone"
            )
        frames = frames[order]
    if time_s is not None:
        time_s = time_s[order]
        wrong = np.flatnonzero(~np.isfinite(time_s) | (np.diff(time_s, prepend=-np.inf) <= 0))
        if len(wrong):
            raise InputError(
                f"{table.path}, line {table.line[order[wrong[0]]]}: the time must increase from frame to "
                f"frame; got {time_s[wrong[0]]:g}"
            )
    return ImagePoints(points[order], None if sigma is None else sigma[order], frames, time_s, names=names)


def _long(table):
    path = table.path
    frames = table.frames()
    if frames is None:
        raise InputError(f"{path}, line 1: a table with a row a point needs the column {_FRAME}")
    named = table.labels
    if all(n.isdecimal() and len(n) < 10 for n in named):
        point = np.array([int(n) for n in named])
        # A wrong number would ask for a huge array.
        if point.max() > 10 * len(named):
            row = int(point.argmax())
            raise InputError(f"{path}, line {table.line[row]}: points are numbered from 0; got {point[row]}")
        names = tuple(map(str, range(point.max() + 1)))
    else:
        names = tuple(dict.fromkeys(named))
        number = {n: i for i, n in enumerate(names)}
        point = np.array([number[n] for n in named])
    numbers, first, row = np.unique(frames, return_index=True, return_inverse=True)
    if len(numbers) * len(names) > 1000 * len(frames):
        raise InputError(f"{path} has {len(frames)} rows for {len(numbers)} frames of {len(names)} points")
    order = np.lexsort((point, row))
    twice = (np.diff(row[order]) == 0) & (np.diff(point[order]) == 0)
    if twice.any():
        bad = order[np.flatnonzero(twice)[0] + 1]
        raise InputError(
            f"{path}, line {table.line[bad]}: point {named[bad]} of frame {frames[bad]} is there twice"
        )
    points = np.full((len(numbers), len(names), 2), np.nan)
    points[row, point] = table.numbers("x", "y")
    sigma, time_s = table.optional("sigma"), table.optional(*_TIME)
    spread = None
    if sigma is not None:
        spread = np.full(points.shape[:2], np.nan)
        spread[row, point] = sigma
    return ImagePoints(points, spread, numbers, None if time_s is None else time_s[first], names=names)
