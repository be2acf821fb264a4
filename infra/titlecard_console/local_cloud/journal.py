"""The journal: the table items that the next local cloud starts from, on disk.

It keeps the items about videos (talks, attempts, charges) and about money (each project's charges by month, its budget,
its pause) in a file of JSON lines. While a cloud runs, the file only grows: one line per change, on the disk before
`append` returns. The last line about a key counts, so a line may come twice. A line that a crash truncated is the last
one and is dropped. `load` rewrites the file without superseded lines.

The changes come from the tables' streams, which only the local cloud enables; in AWS, point-in-time recovery serves the
same purpose.

    {"table": "CatalogTable", "key": {"pk": {"S": "video#..."}, "sk": {"S": "fp#..."}}, "item": {... or null: removed}}
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.table import BatchWriter

from titlecard_console.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from titlecard_console.local_cloud.cloud import Cloud

KEPT = ("video#", "project#", "budgets", "pauses")
"""The partition-key prefixes of the items to keep, in the catalog and in the ledger."""

TABLES = ("CatalogTable", "LedgerTable")
"""The tables in the order in which they are read."""


@dataclass(frozen=True)
class Change:
    """An item in DynamoDB's typed form, or None if it was removed; `table` is the table's logical id."""

    table: str
    key: Mapping[str, Any]
    item: dict[str, Any] | None


class Journal:
    """The file of one state directory. Only the cloud that holds the directory's lock may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Change]:
        """Return the kept items, one change for each key; rewrite the file with nothing else.

        Raises:
            CloudError: a line other than the last cannot be read.
        """
        if not self._path.exists():
            return []
        latest: dict[tuple[str, str], Change] = {}
        *lines, _cut_short = self._path.read_bytes().split(b"\n")  # a complete line ends with a newline
        for number, line in enumerate(lines, 1):
            try:
                change = Change(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise CloudError(f"{self._path}, line {number}: {error}; move the file away to start again") from error
            latest[change.table, json.dumps(change.key, sort_keys=True)] = change
        changes = [change for change in latest.values() if change.item is not None]
        new_file = self._path.with_suffix(".new")
        new_file.unlink(missing_ok=True)
        _write(new_file, changes)
        new_file.replace(self._path)
        return changes

    def append(self, changes: Iterable[Change]) -> None:
        """Append changes; they are on the disk when this returns."""
        _write(self._path, changes)


class JournaledTables:
    """The tables of a local cloud, restored from a journal and recorded in it."""

    def __init__(self, cloud: Cloud, journal: Journal) -> None:
        self._database = cloud.client("dynamodb")
        self._streams = cloud.client("dynamodbstreams")
        self._streams.meta.events.register("before-parse.dynamodb-streams.GetRecords", _as_sent)
        self._journal = journal
        self._tables = {table: cloud.outputs[table] for table in TABLES}
        self._iterators: dict[str, str] = {}

    def restore(self) -> None:
        """Put the journal's items into the tables, then start to follow the tables' streams."""
        changes = self._journal.load()
        for table, name in self._tables.items():
            with BatchWriter(name, self._database) as items:
                for change in changes:
                    if change.table == table and change.item is not None:
                        items.put_item(_without_its_cloud(change.item))
            self._iterators[table] = self._follow(name)

    def record(self) -> None:
        """Append every change since the last call to the journal; for each item, only its last change.

        The positions in the streams advance only once the changes are on the disk. If that fails, the next call reads
        the same changes again. The charges are read last and written first, so that no crash leaves an answer without
        its charge.

        Raises:
            OSError: the file cannot be written; the disk is full, for example.
        """
        latest: dict[tuple[str, str], Change] = {}
        iterators = dict(self._iterators)
        for change in self._changes(iterators):
            latest[change.table, str(change.key)] = change
        if latest:
            self._journal.append(sorted(latest.values(), key=lambda change: TABLES.index(change.table), reverse=True))
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
        """Yield the changes after the iterators; move the iterators to the ends of the streams."""
        for table, iterator in list(iterators.items()):
            page: dict[str, Any] = {"NextShardIterator": iterator, "Records": [None]}
            while page["Records"]:
                page = self._streams.get_records(ShardIterator=page["NextShardIterator"])
                for record in page["Records"]:
                    image = record["dynamodb"]
                    if image["Keys"]["pk"]["S"].startswith(KEPT):
                        yield Change(table, image["Keys"], image.get("NewImage"))
            iterators[table] = page["NextShardIterator"]


def _without_its_cloud(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item without what held only in the cloud that wrote it, whose clock may have been wrong.

    Every upload is newer than those to earlier clouds, and no worker of an earlier cloud has a lease.
    """
    kept = {name: value for name, value in item.items() if name != "lease_until"}
    return kept | {"order": {"S": ""}} if "order" in item else kept


def _as_sent(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Take records as they are sent: parsing every attribute in botocore takes most of the supervisor's time."""
    if response_dict["status_code"] == HTTPStatus.OK:
        customized_response_dict |= json.loads(response_dict["body"])
        response_dict["body"] = b"{}"


def _write(path: Path, changes: Iterable[Change]) -> None:
    """Append lines: all of them, or none if the disk is full, since a part of one would spoil the next."""
    left = memoryview("".join(json.dumps(asdict(change)) + "\n" for change in changes).encode())
    with path.open("ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(start)
            raise
