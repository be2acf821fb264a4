"""The catalog's keys: where each of its items stands, and on which list of the agenda.

No partition may become hot. DynamoDB gives one partition key, of a table or of an index, 1,000 write units a second
(developer guide, "Partitions and data distribution"), and one that is written to in rising order is not split in time.
So the rows of a large batch, and every list of the agenda that rows stand on, are spread over `SHARDS` partitions.

The shard of a row follows from its number alone. The first `UNSHARDED_ROWS` rows of every batch are in shard 0, so a
small batch is read by one query; a larger one by `SHARDS` queries that are merged by number. Open and closed batches
are one list each: they are written to once or twice a batch.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.batch import Message

SHARDS = 16
"""Into how many partitions rows are spread; `tests/unit/test_partitions.py` works out how much that is."""

UNSHARDED_ROWS = 1_000
"""How many rows of a batch are in its first shard: a second's worth of writes to one partition key."""

TALLIES = 4
"""Over how many tallies the workers of a batch are spread."""

REDRIVEN = "redriven"
"""The tally that takes dead rows off a batch's counts, when a person has them tried again."""

OPEN, CLOSED = "open", "closed"
"""The agenda's lists of batches; on both, the date due is when a batch was made, so that their order never changes."""

UNSENT = "unsent"
"""The agenda's list of rows that were allowed another try and whose message has not been sent yet: a person's few."""

NEVER = "9999-12-31"
"""The date due of what waits for a person, and how every such date begins."""

NO_PROJECT = ""
"""Stands for the project of deferred rows that need no money, so that no project's account keeps them."""

_LAST_ROW = 10**12 - 1
"""The highest number of a row that sorts as it counts."""


def batch_key(batch: str) -> dict[str, str]:
    """Where a batch is."""
    return {"pk": f"batch#{batch}", "sk": "batch"}


def survey_key(batch: str) -> dict[str, str]:
    """Where it is written what the rows of a batch have in common."""
    return {"pk": f"batch#{batch}", "sk": "survey"}


def upload_progress_key(batch: str) -> dict[str, str]:
    """Where the progress of writing a batch's results is."""
    return {"pk": f"batch#{batch}", "sk": "results"}


def row_count_key(batch: str, tally: str) -> dict[str, str]:
    """Where one of a batch's tallies is, each in a partition of its own: every invocation of a parser adds to one."""
    return {"pk": f"tally#{batch}#{tally}", "sk": "tally"}


def row_count_keys(batch: str) -> list[dict[str, str]]:
    """Where all of a batch's tallies are."""
    return [row_count_key(batch, tally) for tally in (*map(str, range(TALLIES)), REDRIVEN)]


def row_key(batch: str, row: int) -> dict[str, str]:
    """Where a row of a batch is; numbers sort as they count."""
    return {"pk": rows_partition(batch, row_shard(row)), "sk": f"row#{row:012d}"}


def rows_partition(batch: str, shard: int) -> str:
    """The partition key of a shard of a batch's rows."""
    return f"rows#{batch}#{shard:02d}"


def row_shard(row: int) -> int:
    """The shard that a row is in."""
    return 0 if row <= UNSHARDED_ROWS else row % SHARDS


def row_shards(last_row: int) -> range:
    """The shards that the rows up to a number are in."""
    return range(SHARDS if last_row > UNSHARDED_ROWS else 1)


def row_range(batch: str, shard: int, after: int) -> tuple[str, str, str]:
    """The partition key, and the first and last sort key, of the rows of a shard behind row `after`."""
    first, last = (f"row#{number:012d}" for number in (after + 1, _LAST_ROW))
    return rows_partition(batch, shard), first, last


def batch_of_row(item: Mapping[str, Any]) -> str:
    """The batch that a row's item belongs to."""
    return str(item["pk"]).split("#")[1]


def number_of_row(item: Mapping[str, Any]) -> int:
    """The number of a row's item."""
    return int(str(item["sk"]).removeprefix("row#"))


def video_partition(project: str, video: str) -> str:
    """The partition key of all that is known of a video."""
    return f"video#{project}#{video}"


def current_key(project: str, video: str) -> dict[str, str]:
    """Where a video's pointer to its current fingerprint is."""
    return {"pk": video_partition(project, video), "sk": "current"}


def review_key(project: str, video: str) -> dict[str, str]:
    """Where a person's answer to a video is."""
    return {"pk": video_partition(project, video), "sk": "person"}


def video_record_key(project: str, video: str, fingerprint: str) -> dict[str, str]:
    """Where a video is under one fingerprint."""
    return {"pk": video_partition(project, video), "sk": f"fp#{fingerprint}"}


def current_of(message: Message) -> dict[str, str]:
    """Where the pointer of a message's video is."""
    return current_key(message.project, message.video.id)


def video_record_of(message: Message, fingerprint: str) -> dict[str, str]:
    """Where a message's video is under one fingerprint."""
    return video_record_key(message.project, message.video.id, fingerprint)


def sweep_key() -> dict[str, str]:
    """Where the sweeper's lease is."""
    return {"pk": "sweeper", "sk": "lease"}


# ---------------------------------------------------------------------------------------------------- the agenda


def dated_list(project: str, batch: str, row: int) -> str:
    """The list of the deferred rows of a project that have a date, on which a row stands."""
    return f"deferred#{project}#{_spread(batch, row):02d}"


def dated_lists(project: str) -> list[str]:
    """All lists of the deferred rows of a project that have a date."""
    return [f"deferred#{project}#{shard:02d}" for shard in range(SHARDS)]


def waiting_list(batch: str, row: int) -> str:
    """The list of the rows of a batch that wait for a person, on which a row stands."""
    return f"waiting#{batch}#{row_shard(row):02d}"


def waiting_lists(batch: str, last_row: int) -> list[str]:
    """All lists of the rows of a batch that wait for a person."""
    return [f"waiting#{batch}#{shard:02d}" for shard in row_shards(last_row)]


def waiting_date(micro_usd: int) -> str:
    """The date due of a row that waits for a person: those come first that need the least money."""
    return f"{NEVER}#{micro_usd:015d}"


def dead_list(batch: str, row: int) -> str:
    """The list of dead rows on which a row stands."""
    return f"dead#{_spread(batch, row):02d}"


def dead_lists() -> list[str]:
    """All lists of dead rows."""
    return [f"dead#{shard:02d}" for shard in range(SHARDS)]


def _spread(batch: str, row: int) -> int:
    """A shard for a row on a list that many batches share: small batches are not all in the first one."""
    return (zlib.crc32(batch.encode()) + row_shard(row)) % SHARDS
