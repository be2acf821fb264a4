"""`titlecard review`: list the talks that need a person, and record that person's corrections."""

from __future__ import annotations

import getpass
import re
import shlex
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path  # noqa: TC003 -- Typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from titlecard.aws.dynamodb.catalog import stamp
from titlecard.aws.dynamodb.catalog.reviews import VideoSummary, check_length
from titlecard.domain.text import one_line
from titlecard.pipeline.lines import of_result
from titlecard_console import review_session, review_sheet, stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError, ExitCode
from titlecard_console.output import confirm, open_output, pluralize, print_json, printable, printable_names, say
from titlecard_console.results import ResultReader
from titlecard_console.review_session import comparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from titlecard.aws.dynamodb.catalog.reviews import Reviews
    from titlecard_console.results import Flagged
    from titlecard_console.review_sheet import Correction
    from titlecard_console.stacks import Stack

_SEPARATOR = re.compile(r"(\s[-\u2013\u2014/\u2022\u00b7~]+\s|\s?[|\uff5c]\s?|:\s|\s?[(\[]|[)\]]\s?)")
"""The separators between the parts of a title: dashes, bars, bullets, colons and brackets."""

review = typer.Typer(name="review")

VideoId = Annotated[str, typer.Argument(metavar="ID", help="The video's id, as in its manifest.")]


@review.callback(invoke_without_command=True)
def list_talks(
    context: typer.Context,
    *,
    batch: options.OneBatch = None,
    project: options.OneProject = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Show one talk at a time; keys accept, edit, skip or undo.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Write them as CSV, to change in a spreadsheet.",
            dir_okay=False,
            callback=options.in_existing_folder,
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            "--apply",
            metavar="FILE",
            parser=options.input_path,
            help="Apply what was changed in such a CSV file; - is standard input.",
        ),
    ] = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """List the talks that need review; accept or correct them.

    `titlecard review --project pycon --interactive`

    `titlecard review --project pycon --output review.csv`, then `titlecard review --apply review.csv`

    `titlecard review accept dQw4w9WgXcQ --project pycon`

    `titlecard review set dQw4w9WgXcQ --presenter "Raymond Hettinger"`

    Titles with the same layout are listed together, because they often share an error. The reasons are: low_confidence
    (no tier was sure), ungrounded (the model used words that are not in the video's text), tiers_disagree (the model
    and a confident local tier named different people), presenters_disagree (the text and the row's own presenters name
    different people), garbled (the text was decoded wrongly or had lost characters before it was uploaded), and for a
    model's answer that could not be used: refused (the model declined), truncated, wrong_schema, bad_request and
    context_too_long. No later upload or parse overwrites a person's answer. The newest ten answers for each video are
    kept.

    Exit code 3: some rows of a CSV file could not be applied.
    """
    if context.invoked_subcommand:
        options.refuse_misplaced(context)
        return
    if (interactive, as_json, output is not None, apply is not None).count(True) > 1:
        raise CommandError("Choose one of --interactive, --json, --output and --apply.")
    stack = stacks.find(stack_name, state)
    results = ResultReader(stack)
    if apply:
        _apply(stack, results, apply, yes=yes)
        return
    batches = results.batches(batch, project) if batch or project else results.all_batches()
    project_of = {it.id: it.project for it in batches}
    if output:
        _write(project_of, _grouped(results.flagged(batches)), output, yes=yes)
        return
    if interactive:
        review_session.run(results.reviews, project_of, _grouped(results.flagged(batches)), by=_who(stack))
        return
    found = 0
    for layout, group in _by_layout(results.flagged(batches)):
        found += len(group)
        if not as_json and len(group) > 1:
            typer.echo(f"{len(group):,} titles of the layout {layout}\n")
        for flagged in group:
            if as_json:
                print_json(_content(flagged) | {"layout": layout})
            else:
                typer.echo(comparison(flagged))
    say(f"{pluralize(found, 'talk')} to review." if found else "No talk needs review.")


def _write(project_of: dict[str, str], flagged: Iterable[Flagged], path: Path, *, yes: bool) -> None:
    """Write a sheet; ask before it replaces a file, in which a person may have worked."""
    if path.is_file() and not yes and not confirm(f"{path} may hold changes that are not applied yet. Replace it?"):
        raise typer.Abort
    with open_output(path) as sink:
        number = review_sheet.write(project_of, flagged, sink)
    remedy = f"Change titles and presenters, then: titlecard review --apply {shlex.quote(str(path))}"
    say(f"{path}: {pluralize(number, 'talk')}. {remedy}")


def _apply(stack: Stack, results: ResultReader, path: Path, *, yes: bool) -> None:
    """Show what a sheet changes, ask, and write it; skip talks that have changed since the sheet was written."""
    corrections, left = _corrections(results, path)
    for correction, _ in corrections:
        title, presenters = correction.before
        say(
            correction.row.video,
            f"  {printable(title)} · {printable_names(presenters)}",
            f"  → {printable(correction.title)} · {printable_names(correction.presenters)}",
        )
    written = 0
    if corrections and (yes or confirm(f"Apply {pluralize(len(corrections), 'change')}?")):
        who = _who(stack)
        for correction, summary in corrections:
            done = results.reviews.answer(
                *correction.key,
                correction.title,
                correction.presenters,
                by=who,
                fingerprint=summary.fingerprint,
                now=datetime.now(UTC),
                over=summary.answer,
            )
            if done is None:
                left += 1
                say(f"{correction.row.video} was answered by somebody else in the meantime. It was left unchanged.")
            written += done is not None
    say(f"{pluralize(written, 'change')} applied, {pluralize(left, 'row')} left because of a conflict or a mistake.")
    if left:
        raise typer.Exit(ExitCode.UNFINISHED)


def _corrections(results: ResultReader, path: Path) -> tuple[list[tuple[Correction, VideoSummary]], int]:
    """Return a sheet's corrections, each with its video's summary, and the number of rows that cannot be used."""
    corrections: dict[tuple[str, str], tuple[Correction, VideoSummary]] = {}
    left = 0
    for row in review_sheet.read(path):
        summary = results.reviews.summary(row.project, row.video)
        try:
            correction = review_sheet.changed(row, summary.talk)
            if correction:
                review_sheet.check_same(correction, corrections.setdefault(correction.key, (correction, summary))[0])
        except CommandError as trouble:
            left += 1
            say(f"{path}, {trouble}")
    return list(corrections.values()), left


@review.command()
def accept(
    videos: Annotated[list[str], typer.Argument(metavar="ID", help="The videos' ids, as in their manifest.")],
    *,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Accept talks as they are; later parses do not change them.

    `titlecard review accept dQw4w9WgXcQ --project pycon`

    `titlecard review accept dQw4w9WgXcQ 9bZkp7q19f0 --project pycon`
    """
    stack = stacks.find(stack_name, state)
    results = ResultReader(stack)
    summaries = {video: _summary(results, project, video) for video in videos}
    for video, summary in summaries.items():  # check all of them before the first write
        if summary.talk is None:
            remedy = f"`titlecard review set --project {project} --title TITLE -- {shlex.quote(video)}` gives it one"
            raise CommandError(f"{video} has no talk to accept: {remedy}.")
        check_length(video, summary.talk.title, summary.talk.presenters)
    by = _who(stack)
    for video, summary in summaries.items():
        if talk := summary.talk:
            title, names = talk.title, talk.presenters
            _answer(results.reviews, project, video, summary, title=title, presenters=names, by=by, as_json=as_json)


@review.command(name="set")
def correct(
    video: VideoId,
    *,
    title: Annotated[str | None, typer.Option(help="The clean title. Default: the present one.")] = None,
    presenter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A presenter; may be repeated. Default: the present ones.")
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="The talk has no presenter.")] = False,
    project: options.Project = "default",
    as_json: options.Json = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Correct a talk; later parses do not change it.

    `titlecard review set dQw4w9WgXcQ --title "Beyond PEP 8"`

    `titlecard review set dQw4w9WgXcQ --presenter "Raymond Hettinger"`

    `titlecard review set dQw4w9WgXcQ --nobody`
    """
    names = tuple(name for name in map(review_sheet.tidy, presenter or ()) if name)
    if nobody and names:
        raise CommandError("--nobody and --presenter contradict each other.")
    if title is None and not names and not nobody:
        raise CommandError("Give the correction: --title, --presenter or --nobody.")
    if title is not None and not review_sheet.tidy(title):
        raise CommandError("--title is empty: write the clean title, or leave the option out to keep the present one.")
    stack = stacks.find(stack_name, state)
    results = ResultReader(stack)
    summary = _summary(results, project, video)
    present = summary.talk
    right = review_sheet.tidy(title) if title else present.title if present else ""
    if not right:
        raise CommandError(f"{video} has no title yet: give it one with --title.")
    presenters = names or (() if nobody or not present else present.presenters)
    by = _who(stack)
    _answer(results.reviews, project, video, summary, title=right, presenters=presenters, by=by, as_json=as_json)


def _summary(results: ResultReader, project: str, video: str) -> VideoSummary:
    """Return what the catalog knows about a video."""
    summary = results.reviews.summary(project, video)
    if summary == VideoSummary() and next(results.rows_of(project, video), None) is None:
        raise CommandError(f"The project {project!r} has no video {video!r}: is --project right?")
    return summary  # empty for a video that became dead before its first attempt: it has only rows


def _answer(
    reviews: Reviews,
    project: str,
    video: str,
    summary: VideoSummary,
    *,
    title: str,
    presenters: Sequence[str],
    by: str,
    as_json: bool,
) -> None:
    """Store a person's answer and print it."""
    now = datetime.now(UTC)
    reviews.answer(project, video, title, presenters, by=by, fingerprint=summary.fingerprint, now=now)
    if as_json:
        content = {"id": video, "title": title, "presenters": list(presenters), "by": by, "at": stamp(now)}
        print_json(content)
    else:
        typer.echo(f"{video}: {printable(title)} · {printable_names(presenters)}")


def _who(stack: Stack) -> str:
    """Return the name of the person who answers, from AWS and this machine."""
    arn = stacks.caller(stack)
    with suppress(KeyError, OSError, ImportError):  # the machine has no user names
        return f"{getpass.getuser()} ({arn})"
    return arn


def _by_layout(flagged: Iterable[Flagged]) -> Iterator[tuple[str, list[Flagged]]]:
    """Yield the talks of each batch grouped by layout, the largest group first."""
    for _, talks in groupby(flagged, key=lambda it: it.result.batch):
        groups: dict[str, list[Flagged]] = defaultdict(list)
        for it in talks:
            groups[layout_of(it.video.title) if it.video else ""].append(it)
        yield from sorted(groups.items(), key=lambda group: -len(group[1]))


def _grouped(flagged: Iterable[Flagged]) -> Iterator[Flagged]:
    """Yield the talks of each batch, those with the same layout together."""
    return (it for _, group in _by_layout(flagged) for it in group)


def layout_of(title: str) -> str:
    """Return the separators of a title, with an ellipsis for each text between them: `… - … | …`."""
    pieces = _SEPARATOR.split(one_line(title))
    return "".join(piece if place % 2 else "…" * bool(piece.strip()) for place, piece in enumerate(pieces))


def _content(flagged: Flagged) -> dict[str, Any]:
    """Return a flagged talk for programs: its line, and the row as it was uploaded."""
    row, video = flagged.result.row.number, flagged.video
    return of_result(flagged.result) | {"row": row, "uploaded": video.model_dump() if video else None}
