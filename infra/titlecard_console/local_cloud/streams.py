"""Carries what is kept (`record.KEPT`) between a local cloud's tables and the record on disk.

The tables' streams are switched on for it, in the local cloud alone: in AWS, point-in-time recovery has this part.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from titlecard_console.local_cloud.journal import KEPT, Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard_console.local_cloud.cloud import Cloud
    from titlecard_console.local_cloud.journal import Journal

TABLES = ("CatalogTable", "LedgerTable")
ITEMS_PER_WRITE = 25
"""The most that one BatchWriteItem takes (DynamoDB API reference)."""


class Streams:
    """The tables of one cloud and the record of its state directory."""

    def __init__(self, cloud: Cloud, record: Journal) -> None:
        self._database = cloud.client("dynamodb")
        self._streams = cloud.client("dynamodbstreams")
        self._streams.meta.events.register("before-parse.dynamodb-streams.GetRecords", _as_sent)
        self._record = record
        self._tables = {table: cloud.outputs[table] for table in TABLES}
        self._iterators: dict[str, str] = {}

    def restore(self) -> None:
        """Put what is kept into the tables, then begin to follow them."""
        puts = [{"table": it.table, "item": it.item} for it in self._record.load()]
        for table, name in self._tables.items():
            mine = [{"PutRequest": {"Item": it["item"]}} for it in puts if it["table"] == table]
            for start in range(0, len(mine), ITEMS_PER_WRITE):
                unwritten = {name: mine[start : start + ITEMS_PER_WRITE]}
                while unwritten:
                    unwritten = self._database.batch_write_item(RequestItems=unwritten)["UnprocessedItems"]
            self._iterators[table] = self._follow(name)

    def write_down(self) -> None:
        """Write down every change since the last time; of several changes of an item, the last.

        The streams are followed from there only when the changes are on the disk. Where that fails (a full disk), the
        same changes are read again the next time.
        """
        latest: dict[tuple[str, str], Change] = {}
        iterators = dict(self._iterators)
        for change in self._changes(iterators):
            latest[change.table, str(change.key)] = change
        if latest:
            self._record.append(latest.values())
        self._iterators = iterators

    def _follow(self, name: str) -> str:
        specification = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        stream = self._database.update_table(TableName=name, StreamSpecification=specification)
        arn = stream["TableDescription"]["LatestStreamArn"]
        (shard,) = self._streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]  # MiniStack has one
        return str(
            self._streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
                "ShardIterator"
            ]
        )

    def _changes(self, iterators: dict[str, str]) -> Iterator[Change]:
        """The changes behind the iterators, which are moved to the streams' ends."""
        for table, iterator in list(iterators.items()):
            page: dict[str, Any] = {"NextShardIterator": iterator, "Records": [None]}
            while page["Records"]:
                page = self._streams.get_records(ShardIterator=page["NextShardIterator"])
                for record in page["Records"]:
                    image = record["dynamodb"]
                    if image["Keys"]["pk"]["S"].startswith(KEPT):
                        yield Change(table, image["Keys"], image.get("NewImage"))
            iterators[table] = page["NextShardIterator"]


def _as_sent(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Take records as they are sent: botocore's walk over every attribute costs the keeper most of its time."""
    if response_dict["status_code"] == HTTPStatus.OK:
        customized_response_dict |= json.loads(response_dict["body"])
        response_dict["body"] = b"{}"
