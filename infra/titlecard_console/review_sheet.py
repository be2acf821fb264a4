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
from titlecard.manifests.ids import spreadsheet_fault
from titlecard_console.errors import CommandError
from titlecard_console.export import harmless
from titlecard_console.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from titlecard.domain.video import Talk
    from titlecard_console.results import Flagged

COLUMNS = ("project", "id", "raw_title", "title", "presenters", "reason", "confidence", "seen")
"""The person may change `title` and `presenters`. `seen` holds a digest of the talk at the time of writing, the project
and the id; the other columns are only for people, since spreadsheets turn an id into a number."""

_READ = ("title", "presenters", "seen")

_LETTERS = str.maketrans("0123456789", "ghijklmnop")
"""The letters that replace the digits of a digest, since a spreadsheet takes `12e34` for a number."""

_SEPARATORS = (",", ";", "\t")
"""The separators of columns: a comma, Excel's semicolon in some languages, the tab of Excel's Unicode text."""

BETWEEN_NAMES = ";"
"""The separator between presenters in a cell."""


@dataclass(frozen=True)
class SheetRow:
    """A row as the person left it; `line` is its line number in the file, from 1."""

    line: int
    project: str
    video: str
    digest: str
    title: str
    presenters: str


@dataclass(frozen=True)
class Correction:
    """A person's change to a talk."""

    row: SheetRow
    before: tuple[str, tuple[str, ...]]
    title: str
    presenters: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """The project and the id of the video."""
        return self.row.project, self.row.video


def digest(talk: Talk) -> str:
    """Return a digest of a talk's title and presenters, in letters."""
    content = json.dumps([talk.title, list(talk.presenters)], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16].translate(_LETTERS)


def write(project_of: dict[str, str], flagged: Iterable[Flagged], sink: IO[str]) -> int:
    """Write talks as CSV, with a byte order mark, by which spreadsheets recognise UTF-8; return their number.

    Args:
        project_of: the project of each batch.
    """
    sink.write("\ufeff")
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    number = 0
    for it in flagged:
        number += 1
        project = project_of[it.result.batch]
        writer.writerow(
            [
                project,
                harmless(it.result.row.video),
                harmless(normalise(it.video.title) if it.video else ""),
                harmless(it.talk.title),
                harmless(names_cell(it.talk)),
                it.talk.review or "",
                f"{it.talk.confidence:.2f}",
                f"{digest(it.talk)} {project} {it.result.row.video}",
            ]
        )
    return number


def read(path: Path) -> list[SheetRow]:
    """Return the rows of a sheet, from any table that a spreadsheet saves as text; blank rows are left out.

    Raises:
        CommandError: the file is not CSV in UTF-8, or a column that is read is missing.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
        csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a title may be longer than csv's limit
        separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        names = [name.strip().casefold() for name in next(reader, [])]
        if missing := [column for column in _READ if column not in names]:
            raise CommandError(
                f"{path} lacks the columns {', '.join(missing)}: write the file with `titlecard review --output`, "
                "change titles and presenters, and save it as CSV."
            )
        rows = [(reader.line_num, dict(zip(names, map(_plain, cells), strict=False))) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path} is not CSV in UTF-8: save it as CSV UTF-8.") from error
    return [_row(line, cells) for line, cells in rows]


def _row(line: int, cells: Mapping[str, str]) -> SheetRow:
    known, project, video, *_ = [*cells.get("seen", "").split(" ", 2), "", "", ""]
    return SheetRow(line, project, video, known, cells.get("title", ""), cells.get("presenters", ""))


def changed(row: SheetRow, talk: Talk | None) -> Correction | None:
    """Return a person's change to the stored talk; None if the row agrees with it.

    Raises:
        CommandError: there is no talk, it has changed since the sheet was written, or the row has no title, one that is
            too long, or one that a spreadsheet has replaced.
    """
    if not row.video:
        raise CommandError(f"line {row.line}: the column seen was changed, so the talk is unknown.")
    if talk is None:
        raise CommandError(f"line {row.line}: the project {row.project!r} has no talk {row.video!r}.")
    title, presenters = as_edited(talk, row.title, row.presenters)
    if (title, presenters) == (talk.title, talk.presenters):
        return None
    if digest(talk) != row.digest:
        raise CommandError(f"line {row.line}: {row.video} has changed since the file was written. It was left alone.")
    if not title:
        raise CommandError(f"line {row.line}: {row.video} has no title. It was left unchanged.")
    for text in {title, *presenters} - {talk.title, *talk.presenters}:
        if fault := spreadsheet_fault(text):
            raise CommandError(f"line {row.line}: {row.video} was left unchanged. “{text:.40}” is {fault}.")
    try:
        check_length(row.video, title, presenters)
    except AnswerTooLong as error:
        raise CommandError(f"line {row.line}: {error}") from error
    return Correction(row, (talk.title, talk.presenters), title, presenters)


def check_same(correction: Correction, first: Correction) -> None:
    """Check that a row agrees with an earlier one about the same talk.

    Raises:
        CommandError: they make different changes.
    """
    if (correction.title, correction.presenters) != (first.title, first.presenters):
        line, video = correction.row.line, correction.row.video
        raise CommandError(f"line {line}: line {first.row.line} changes {video} differently, and is applied instead.")


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
        names = tuple(name for name in map(tidy, _split(presenters)) if name)
    return right, names


def _split(presenters: str) -> list[str]:
    """Split a cell into names, also at commas if each part between them has several words."""
    parts = presenters.split(",")
    if BETWEEN_NAMES not in presenters and all(" " in tidy(part) for part in parts):
        return parts
    return presenters.split(BETWEEN_NAMES)


def tidy(typed: str) -> str:
    """Return a title or a name that a person typed, in one line, with single spaces."""
    return " ".join(normalise(typed).split())


def _plain(cell: str) -> str:
    """Remove the apostrophe that keeps a spreadsheet from reading a cell as a formula."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell
