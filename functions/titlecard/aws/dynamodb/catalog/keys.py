"""The keys of the catalog's items, and the names of the agenda's lists.

No partition may become hot. DynamoDB gives one partition key of a table or an index 1,000 write units a second
(developer guide, "Partitions and data distribution"), and does not split a partition in time if its keys are written in
ascending order. So the rows of a large batch, and each agenda list of rows, are spread over `SHARDS` partitions.

A row's number alone determines its shard. The first `UNSHARDED_ROWS` rows of every batch are in shard 0, so one query
reads a small batch; `SHARDS` queries, merged by number, read a larger one. Open and closed batches have one list each,
since each batch writes to them only once or twice.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.values import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titlecard.domain.batch import Message

SHARDS = 16
"""The number of partitions that rows are spread over; `tests/unit/test_partitions.py` derives their throughput."""

UNSHARDED_ROWS = 1_000
"""The number of a batch's rows that are in its first shard: one second of writes to one partition key."""

TALLIES = 4
"""The number of tallies that the workers of a batch are spread over."""

REDRIVEN = "redriven"
"""The tally of what operators change: it subtracts redriven dead rows, and adds rows that were queued and discarded."""

OPEN, CLOSED = "open", "closed"
"""The agenda's lists of batches. The due date on both is the batch's creation, so their order never changes."""

UNSENT = "unsent"
"""The agenda's list of rows with a grant whose message has not been sent: few, since an operator grants each."""

NO_PROJECT = ""
"""The project under which rows that need no money are deferred, so that no project's budget holds them back."""

_LAST_ROW = 10**12 - 1
"""The highest row number whose key still sorts in numeric order."""


def batch_key(batch: str) -> dict[str, str]:
    """Return the key of a batch."""
    return {"pk": f"batch#{batch}", "sk": "batch"}


def survey_key(batch: str) -> dict[str, str]:
    """Return the key of a batch's survey."""
    return {"pk": f"batch#{batch}", "sk": "survey"}


def upload_progress_key(batch: str) -> dict[str, str]:
    """Return the key of the upload progress of a batch's results."""
    return {"pk": f"batch#{batch}", "sk": "results"}


def row_count_key(batch: str, tally: str) -> dict[str, str]:
    """Return the key of one of a batch's tallies. Each has its own partition: every parser invocation adds to one."""
    return {"pk": f"tally#{batch}#{tally}", "sk": "tally"}


def row_count_keys(batch: str) -> list[dict[str, str]]:
    """Return the keys of all of a batch's tallies."""
    return [row_count_key(batch, tally) for tally in (*map(str, range(TALLIES)), REDRIVEN)]


def row_key(batch: str, row: int) -> dict[str, str]:
    """Return the key of a row; keys of one shard sort by row number."""
    return {"pk": rows_partition(batch, row_shard(row)), "sk": f"row#{row:012d}"}


def rows_partition(batch: str, shard: int) -> str:
    """Return the partition key of a shard of a batch's rows."""
    return f"rows#{batch}#{shard:02d}"


def row_shard(row: int) -> int:
    """Return the shard of a row."""
    return 0 if row <= UNSHARDED_ROWS else row % SHARDS


def row_shards(last_row: int) -> range:
    """Return the shards of the rows up to `last_row`."""
    return range(SHARDS if last_row > UNSHARDED_ROWS else 1)


def row_range(batch: str, shard: int, after: int) -> tuple[str, str, str]:
    """Return the partition key and the first and last sort key of a shard's rows after row `after`."""
    first, last = (f"row#{number:012d}" for number in (after + 1, _LAST_ROW))
    return rows_partition(batch, shard), first, last


def batch_of_row(item: Mapping[str, Any]) -> str:
    """Return the batch of a row's item."""
    return str(item["pk"]).split("#")[1]


def number_of_row(item: Mapping[str, Any]) -> int:
    """Return the row number of a row's item."""
    return int(str(item["sk"]).removeprefix("row#"))


def video_partition(project: str, video: str) -> str:
    """Return the partition key of all of a video's items."""
    return f"video#{project}#{video}"


def current_key(project: str, video: str) -> dict[str, str]:
    """Return the key of a video's pointer to its current fingerprint."""
    return {"pk": video_partition(project, video), "sk": "current"}


def review_key(project: str, video: str) -> dict[str, str]:
    """Return the key of a person's answer for a video."""
    return {"pk": video_partition(project, video), "sk": "person"}


def video_record_key(project: str, video: str, fingerprint: str) -> dict[str, str]:
    """Return the key of a video's record under one fingerprint."""
    return {"pk": video_partition(project, video), "sk": f"fp#{fingerprint}"}


def current_of(message: Message) -> dict[str, str]:
    """Return the key of the pointer of a message's video."""
    return current_key(message.project, message.video.id)


def video_record_of(message: Message, fingerprint: str) -> dict[str, str]:
    """Return the key of the record of a message's video under one fingerprint."""
    return video_record_key(message.project, message.video.id, fingerprint)


def sweep_key() -> dict[str, str]:
    """Return the key of the sweeper's lease."""
    return {"pk": "sweeper", "sk": "lease"}


# ---------------------------------------------------------------------------------------------------- the agenda


def dated_list(project: str, batch: str, row: int) -> str:
    """Return the list of a row that is deferred to a date."""
    return f"deferred#{project}#{_spread(batch, row):02d}"


def dated_lists(project: str) -> list[str]:
    """Return all lists of a project's rows that are deferred to a date."""
    return [f"deferred#{project}#{shard:02d}" for shard in range(SHARDS)]


def waiting_list(batch: str, row: int) -> str:
    """Return the list of a row that waits for a person."""
    return f"waiting#{batch}#{row_shard(row):02d}"


def waiting_lists(batch: str, last_row: int) -> list[str]:
    """Return all lists of a batch's rows that wait for a person."""
    return [f"waiting#{batch}#{shard:02d}" for shard in row_shards(last_row)]


def waiting_date(micro_usd: int) -> str:
    """Return the due date of a row that waits for a person; it sorts by the micro-dollars that the row needs."""
    return f"{NEVER}#{micro_usd:015d}"


def dead_list(batch: str, row: int) -> str:
    """Return the list of a dead row."""
    return f"dead#{_spread(batch, row):02d}"


def dead_lists() -> list[str]:
    """Return all lists of dead rows."""
    return [f"dead#{shard:02d}" for shard in range(SHARDS)]


def _spread(batch: str, row: int) -> int:
    """Return a row's shard on a list that batches share; it spreads small batches over all shards."""
    return (zlib.crc32(batch.encode()) + row_shard(row)) % SHARDS
