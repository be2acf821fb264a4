"""A review in a spreadsheet: writes the talks to review as CSV, and reads a person's changes."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from titlecard.aws.dynamodb.catalog.reviews import check_length
from titlecard.domain.errors import AnswerTooLong
from titlecard.domain.text import normalise
from titlecard_console.errors import CommandError
from titlecard_console.export import harmless
from titlecard_console.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from titlecard.domain.video import Talk
    from titlecard_console.results import Flagged

COLUMNS = ("project", "id", "raw_title", "title", "presenters", "reason", "confidence", "seen")
"""The person may change `title` and `presenters`. `seen` is a digest of the talk at the time of writing."""

_SEPARATORS = (",", ";", "\t")
"""The separators of columns: a comma, Excel's semicolon in some languages, the tab of Excel's Unicode text."""

BETWEEN_NAMES = ";"
"""The separator between presenters in a cell."""


@dataclass(frozen=True)
class Correction:
    """A row that a person changed; `line` is its line number in the file, from 1."""

    line: int
    project: str
    video: str
    before: tuple[str, tuple[str, ...]]
    title: str
    presenters: tuple[str, ...]


def digest(talk: Talk) -> str:
    """Return a digest of a talk's title and presenters."""
    content = json.dumps([talk.title, list(talk.presenters)], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def write(project_of: dict[str, str], flagged: Iterable[Flagged], sink: IO[str]) -> int:
    """Write talks as CSV; return their number.

    Args:
        project_of: the project of each batch.
    """
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    number = 0
    for it in flagged:
        number += 1
        writer.writerow(
            [
                project_of[it.result.batch],
                harmless(it.result.row.video),
                harmless(normalise(it.video.title) if it.video else ""),
                harmless(it.talk.title),
                harmless(names_cell(it.talk)),
                it.talk.review or "",
                f"{it.talk.confidence:.2f}",
                digest(it.talk),
            ]
        )
    return number


def read(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a sheet, with their line numbers, from any table that a spreadsheet saves as text.

    Raises:
        CommandError: the file is not CSV in UTF-8, or a column that `write` wrote is missing.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
        csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a title may be longer than csv's limit
        separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
            raise CommandError(
                f"{path} has no column {', '.join(missing)}: write the file with `titlecard review --output`, "
                "change titles and presenters, and save it as CSV."
            )
        return [(reader.line_num, {name: _plain(row[name] or "") for name in COLUMNS}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path} is not CSV in UTF-8: save it as CSV UTF-8.") from error


def changed(line: int, row: dict[str, str], talk: Talk | None) -> Correction | None:
    """Return a person's change to the stored talk; None if the row agrees with it.

    Raises:
        CommandError: there is no talk, it has changed since the sheet was written, or the row has no title or one that
            is too long.
    """
    if talk is None:
        raise CommandError(f"line {line}: the project {row['project']!r} has no talk {row['id']!r}.")
    title, presenters = as_edited(talk, row["title"], row["presenters"])
    if (title, presenters) == (talk.title, talk.presenters):
        return None
    if digest(talk) != row["seen"]:
        raise CommandError(f"line {line}: {row['id']} has changed since the file was written. It is left as it is.")
    if not title:
        raise CommandError(f"line {line}: {row['id']} has no title. It is left as it is.")
    try:
        check_length(row["id"], title, presenters)
    except AnswerTooLong as error:
        raise CommandError(f"line {line}: {error}") from error
    return Correction(line, row["project"], row["id"], (talk.title, talk.presenters), title, presenters)


def names_cell(talk: Talk) -> str:
    """Return a talk's presenters as one cell."""
    return f"{BETWEEN_NAMES} ".join(talk.presenters)


def as_edited(talk: Talk, title: str, presenters: str) -> tuple[str, tuple[str, ...]]:
    """Return the title and the presenters that a person gives in two cells; an unchanged cell keeps the talk's field.

    Texts that are equal when normalised count as unchanged: spreadsheets and terminals alter line ends, accents and
    invisible characters by themselves.
    """
    right, names = talk.title, talk.presenters
    if normalise(title) != normalise(right):
        right = tidy(title)
    if normalise(presenters) != normalise(names_cell(talk)):
        names = tuple(name for name in map(tidy, presenters.split(BETWEEN_NAMES)) if name)
    return right, names


def tidy(typed: str) -> str:
    """Return a title or a name that a person typed, in one line, with single spaces."""
    return " ".join(normalise(typed).split())


def _plain(cell: str) -> str:
    """Remove the apostrophe that keeps a spreadsheet from reading a cell as a formula."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell
