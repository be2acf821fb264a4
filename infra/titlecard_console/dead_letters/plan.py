"""What a person sees before a redrive: what is sent, the most that it costs, what is skipped, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from titlecard.aws.errors import LedgerItemInvalid
from titlecard.domain.money import Amount
from titlecard.domain.text import one_line
from titlecard_console.dead_letters.letter import DeadLetter, Kind
from titlecard_console.limits import limit_command
from titlecard_console.output import counted, format_charge, pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from titlecard_console.dead_letters.redrive import Redriver

LISTED_IDS = 10
"""The most ids of each cause that are listed."""


def plan(letters: Sequence[DeadLetter]) -> Iterator[str]:
    """Describe which dead letters a redrive sends, the most it can cost, and which it skips and why."""
    rows = [letter for letter in letters if letter.to_be_sent]
    asked = [letter for letter in rows if letter.worst.requests]
    if rows:
        worst = sum((letter.worst for letter in rows), Amount())
        videos = pluralize(len(rows), "video is", "videos are")
        yield f"{videos} sent again. At most {format_charge(worst)} can be charged, for {len(asked):,} of them:"
        yield from ids_by_cause(rows)
    closed = Counter(letter.closed for letter in rows if letter.closed)
    uploads = [letter for letter in letters if letter.kind is Kind.UPLOAD]
    whole = [letter for letter in letters if not letter.error]
    lost = [letter for letter in whole if letter.kind in (Kind.DEAD, Kind.STRAYED) and letter.video is None]
    counts = Counter(letter.kind for letter in whole)
    yield from counted(
        (len(rows) - len(asked) - closed.total(), "of them: the local tier answers, at no cost"),
        *((number, f"of them: ended without a request, since {why}") for why, number in closed.items()),
        (counts[Kind.ENDED], "not sent: the video has been parsed or waits, so only its dead letter is deleted"),
        (len(lost), "not sent: the message is lost, and the manifest was deleted or cannot be read"),
        (counts[Kind.UNREADABLE], "not sent: the message cannot be read; see `titlecard dlq show ID`, `dlq discard`"),
        (len(uploads), "sent to ingest again; the batch of an upload has its own limits"),
    )
    yield from (f"  {one_line(letter.reason)}" for letter in uploads)
    yield from errors(letters)


def plan_of_discard(letters: Sequence[DeadLetter]) -> Iterator[str]:
    """Describe which dead letters a discard deletes, and what happens to their rows."""
    yield f"{pluralize(len(letters), 'dead letter is', 'dead letters are')} deleted:"
    yield from ids_by_cause(letters)
    counts = Counter(letter.kind for letter in letters)
    yield from counted(
        (counts[Kind.STRAYED], "of them: the row has not ended, and is recorded as dead"),
        (counts[Kind.ENDED], "of them: the row has been parsed or waits, and stays as it is"),
        (counts[Kind.UPLOAD], "of them: an upload; if its batch has begun, only `titlecard cancel` ends it"),
    )


def ids_by_cause(letters: Iterable[DeadLetter]) -> Iterator[str]:
    """List the ids of dead letters, one line for each cause."""
    by_cause: dict[str, list[str]] = defaultdict(list)
    for letter in letters:
        by_cause[letter.cause].append(one_line(letter.id))
    for cause, ids in by_cause.items():
        more = f" and {len(ids) - LISTED_IDS:,} more" if len(ids) > LISTED_IDS else ""
        yield f"  {cause} ({len(ids):,}): {', '.join(ids[:LISTED_IDS])}{more}"


def limits_reached(redriver: Redriver, letters: Sequence[DeadLetter]) -> Iterator[str]:
    """Name the batches whose limits may be too low for a redrive, and the commands that raise them."""
    for batch, worst in redriver.worst_by_batch(letter for letter in letters if letter.to_be_sent):
        try:
            command = limit_command(batch, redriver.spent(batch) + worst)
        except LedgerItemInvalid as error:
            yield f"{batch.id}: {error}."
            continue
        if command:
            yield f"The limit of {batch.id} may be too low: if it is, some videos wait until `{command}`."


def errors(letters: Iterable[DeadLetter]) -> Iterator[str]:
    """Name what cannot be read, and how many dead letters cannot be sent for that reason."""
    for error, number in Counter(letter.error for letter in letters if letter.error).items():
        yield f"{pluralize(number, 'dead letter')} cannot be sent: {one_line(error)}."


def differences(letters: Sequence[DeadLetter]) -> list[str]:
    """Describe where the catalog and the queue differ."""
    bare = sum(letter.kind is Kind.DEAD and not letter.messages for letter in letters)
    counts = Counter(letter.kind for letter in letters)
    sentences = (
        (bare, "dead row", "without a message in the dead-letter queue: a redrive reads the row from its manifest"),
        (
            counts[Kind.STRAYED],
            "row",
            "that has not ended: SQS moved its message, or a redrive was killed before it sent it",
        ),
        (counts[Kind.ENDED], "letter", "of a row that has been parsed or waits: a redrive deletes it"),
    )
    found = [f"{pluralize(number, what)} {sentence}." for number, what, sentence in sentences if number]
    return [*found, *errors(letters)]
