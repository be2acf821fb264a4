"""S3 in memory: a versioned bucket of manifests and reports."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulation.wire import Wire

S3_TRIES = 3
"""The tries per call of S3, fewer than boto3's five: three suffice to lose a call, repeat it and give up."""


class _Exceptions:
    ClientError = ClientError


class Client:
    """Replaces `boto3.client("s3")`."""

    exceptions = _Exceptions

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._objects: dict[tuple[str, str], tuple[bytes, dict[str, str], str]] = {}
        self._written: set[str] = set()

    def upload(self, key: str, version: str, content: bytes, metadata: dict[str, str], etag: str) -> None:
        """Upload as an owner does; in a bucket without versions, every version is "null"."""
        self._objects[key, version] = content, metadata, etag

    def remove(self, key: str, version: str, *, everything: bool) -> None:
        """Delete a manifest, or everything, which an owner should not do while a batch is open."""
        if everything:
            self._objects.clear()
        self._objects.pop((key, version), None)

    def get_object(self, *, Bucket: str, Key: str, VersionId: str = "", IfMatch: str = "") -> dict[str, Any]:  # noqa: N803, ARG002 -- boto3's
        """GetObject."""

        def get() -> dict[str, Any]:
            if (Key, VersionId) not in self._objects:
                raise ClientError({"Error": {"Code": "NoSuchVersion" if VersionId else "NoSuchKey"}}, "GetObject")
            content, metadata, etag = self._objects[Key, VersionId]
            if IfMatch not in {"", etag}:
                raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
            return {"Body": io.BytesIO(content), "ContentLength": len(content), "Metadata": metadata}

        return self._wire.call("s3", "get_object", get, about=Key, tries=S3_TRIES)

    def was_written(self, key: str) -> bool:
        """Return whether a function has written an object with this key, which an owner may have deleted since."""
        return key in self._written

    def put_object(self, *, Bucket: str, Key: str, Body: bytes | IO[bytes], ContentType: str = "") -> dict[str, Any]:  # noqa: N803, ARG002 -- boto3's
        """PutObject."""
        content = Body if isinstance(Body, bytes) else Body.read()

        def put() -> dict[str, Any]:
            self._objects[Key, ""] = content, {}, ""
            self._written.add(Key)
            return {}

        return self._wire.call("s3", "put_object", put, about=Key, tries=S3_TRIES)


class Bus:
    """Replaces `boto3.client("events")`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.told: list[str] = []

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:  # noqa: N803 -- boto3's
        """PutEvents: it may fail."""
        choices, me = self._wire.scheduler.choices, self._wire.scheduler.current.name

        def put() -> dict[str, Any]:
            if choices(f"{me} is not told", self._wire.chance):
                return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "Simulated", "ErrorMessage": ""}]}
            self.told += [entry["Detail"] for entry in Entries]
            return {"FailedEntryCount": 0, "Entries": [{}]}

        return self._wire.call("events", "put_events", put, about=Entries[0]["Detail"], tries=S3_TRIES)
