"""The streams of the local cloud's tables: no change is skipped before its line is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from titlecard_console.local_cloud.journal import TABLES, Change, Journal, JournaledTables

if TYPE_CHECKING:
    from pathlib import Path

    from titlecard_console.local_cloud.cloud import Cloud


class StreamOfOneChange:
    """The calls of DynamoDB and its streams that are used; each table has one change after its first iterator."""

    outputs = {table: f"name-of-{table}" for table in TABLES}  # noqa: RUF012 -- never changed

    def __init__(self) -> None:
        self.meta = self
        self.events = self
        self.restored: list[dict[str, Any]] = []

    def client(self, _service: str) -> StreamOfOneChange:
        """Return the client of any service."""
        return self

    def register(self, *_: object) -> None:
        """Accept botocore's hook."""

    def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Put items into the tables."""
        self.restored += [put["PutRequest"]["Item"] for puts in RequestItems.values() for put in puts]
        return {"UnprocessedItems": {}}

    def update_table(self, *, TableName: str, **_: object) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Enable a table's stream."""
        return {"TableDescription": {"LatestStreamArn": TableName}}

    def describe_stream(self, **_: object) -> dict[str, Any]:
        """Return the one shard of a stream."""
        return {"StreamDescription": {"Shards": [{"ShardId": "0"}]}}

    def get_shard_iterator(self, *, StreamArn: str, **_: object) -> dict[str, str]:  # noqa: N803 -- boto3's
        """Return the position before the change."""
        return {"ShardIterator": f"{StreamArn} 0"}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """Return the change, or none after it."""
        table, place = ShardIterator.split()
        item = {"pk": {"S": f"video#{table}"}, "sk": {"S": "fp#1"}}
        records = [{"dynamodb": {"Keys": item, "NewImage": item}}] if place == "0" else []
        return {"Records": records, "NextShardIterator": f"{table} 1"}


class FullDisk(Journal):
    """A journal whose first writes fail."""

    full = True

    def append(self, changes: Any) -> None:  # noqa: ANN401 -- as the journal's
        """Append changes, or fail."""
        if self.full:
            raise OSError(28, "No space left on device")
        super().append(changes)


def test_changes_that_could_not_be_written_down_are_read_again(tmp_path: Path) -> None:
    journal = FullDisk(tmp_path / "talks.jsonl")
    streams = JournaledTables(cast("Cloud", StreamOfOneChange()), journal)
    streams.restore()
    with pytest.raises(OSError, match="No space left"):
        streams.record()
    journal.full = False
    streams.record()
    assert {change.table for change in Journal(tmp_path / "talks.jsonl").load()} == set(TABLES)


def test_changes_that_are_written_down_are_not_read_again(tmp_path: Path) -> None:
    written: list[list[Change]] = []
    journal = Journal(tmp_path / "talks.jsonl")
    streams = JournaledTables(cast("Cloud", StreamOfOneChange()), journal)
    streams.restore()
    streams.record()
    written.append(journal.load())
    streams.record()
    assert journal.load() == written[0]
    assert len((tmp_path / "talks.jsonl").read_text(encoding="utf-8").splitlines()) == len(TABLES)


def test_charges_are_written_before_the_answers_that_they_paid_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "talks.jsonl")
    streams = JournaledTables(cast("Cloud", StreamOfOneChange()), journal)
    streams.restore()
    streams.record()
    assert [change.table for change in journal.load()] == ["LedgerTable", "CatalogTable"]


def test_a_new_cloud_forgets_the_uploads_and_the_leases_of_earlier_ones(tmp_path: Path) -> None:
    key = {"pk": {"S": "video#p#1"}, "sk": {"S": "current"}}
    item = {**key, "order": {"S": "2036-01-01T00:00:00Z#1"}, "lease_until": {"S": "2036-01-01"}, "row": {"N": "1"}}
    journal = Journal(tmp_path / "talks.jsonl")
    journal.append([Change("CatalogTable", key, item)])
    streams = StreamOfOneChange()
    JournaledTables(cast("Cloud", streams), journal).restore()
    assert streams.restored == [{**key, "order": {"S": ""}, "row": {"N": "1"}}]
