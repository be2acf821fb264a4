"""The uploads that a message of the notification queue reports, whichever service forwarded it.

S3 notifies the queue directly, through SNS, or through EventBridge. Each wraps the notification in its own way.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from titlecard.aws.errors import UnknownNotification
from titlecard.domain.batch import Upload, upload_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WRAPPINGS_MAX = 4
"""The most wrappings that are opened; the path from EventBridge through SNS to SQS makes two."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which JSON can express and UTF-8 cannot."""


def uploads(body: Any) -> Iterator[Upload]:  # noqa: ANN401 -- any JSON value
    """Yield the uploads that a message's body reports: none for S3's test notification or an empty folder's marker.

    Raises:
        UnknownNotification: the body is not an S3 notification.
    """
    for _ in range(_WRAPPINGS_MAX):
        match body:
            case {"Type": "Notification", "Message": str() as message}:  # SNS, unless raw delivery is on
                body = _parsed(message)
            case {"continue": {"bucket": _, "key": _, "version": _, "order": _} as upload} if (
                type(body.get("rounds", 0)) is int
            ):
                yield _checked(Upload.of(upload))
                return
            case {"Records": list() as records}:
                for record in records:
                    yield from _of_record(record)
                return
            case {"source": "aws.s3", "detail-type": "Object Created", "detail": dict() as detail}:
                yield from _of_event(detail, _text(body.get("time", ""), "time"))
                return
            case {"source": "aws.s3", "detail-type": "Object Created"}:
                break
            case {"source": "aws.s3", "detail-type": str() as kind} if kind.startswith("Object "):  # "Object Deleted"
                return
            case {"Event": "s3:TestEvent"}:
                return
            case _:
                break
    raise UnknownNotification("The message is not S3's notification of an upload.")


def _of_record(record: Any) -> Iterator[Upload]:  # noqa: ANN401 -- any JSON value
    """Yield the uploads of S3's own record, whose key is URL-encoded, or of SNS's record in its Lambda form."""
    match record:
        case {"Sns": {"Message": str() as message}}:
            yield from uploads(_parsed(message))
        case {"body": str() as message}:  # SQS's record, by a function that forwards it
            yield from uploads(_parsed(message))
        case {"eventName": str() as event} if not event.removeprefix("s3:").startswith("ObjectCreated:"):
            return
        case {"s3": {"bucket": {"name": str() as bucket}, "object": {"key": str() as key} as thing}}:
            order = upload_order(_text(record.get("eventTime", ""), "eventTime"), _sequencer(thing))
            yield from _upload(
                bucket, unquote_plus(key), _text(thing.get("versionId") or "", "versionId"), order, thing
            )
        case _:
            raise UnknownNotification("A record of the message does not come from S3.")


def _of_event(detail: Any, time: str) -> Iterator[Upload]:  # noqa: ANN401 -- any JSON value
    """Yield an EventBridge event's upload; the key is plain (S3 user guide, "EventBridge event message structure")."""
    match detail:
        case {"bucket": {"name": str() as bucket}, "object": {"key": str() as key} as thing}:
            order = upload_order(time, _sequencer(thing))
            yield from _upload(bucket, key, _text(thing.get("version-id") or "", "version-id"), order, thing)
        case _:
            raise UnknownNotification("The event does not name an object of S3.")


def _upload(bucket: str, key: str, version: str, order: str, thing: Mapping[str, Any]) -> Iterator[Upload]:
    if not key.endswith("/") or thing.get("size"):
        etag = _text(thing.get("eTag") or thing.get("etag") or "", "ETag")  # S3's and EventBridge's spelling
        yield _checked(Upload(bucket=bucket, key=key, version=version, order=order, etag=etag))


def _sequencer(thing: Mapping[str, Any]) -> str:
    return _text(thing.get("sequencer", ""), "sequencer")


def _checked(upload: Upload) -> Upload:
    """Return an upload if each of its fields can be stored."""
    for name, value in asdict(upload).items():
        _text(value, name)
    return upload


def _text(value: object, name: str) -> str:
    """Return a field of a notification.

    Raises:
        UnknownNotification: the field is not text that a table can hold.
    """
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise UnknownNotification(f"The {name} of the notification is not text.")
    return value


def _parsed(message: str) -> Any:  # noqa: ANN401 -- any JSON value
    try:
        return json.loads(message)
    except ValueError as error:
        raise UnknownNotification("The forwarded message is not JSON.") from error
