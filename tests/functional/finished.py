"""Batches whose rows have ended, for tests of results; and a console that runs commands as a person types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from tests.functional.world import PROJECT, TEMPLATE, World
from typer.testing import CliRunner

from titlecard.aws.dynamodb.catalog import RowEnd
from titlecard.aws.dynamodb.catalog.results import BatchResults
from titlecard.aws.dynamodb.catalog.reviews import Reviews
from titlecard.aws.dynamodb.catalog.upload_progress import UploadProgressTable
from titlecard.domain.batch import RowState
from titlecard.domain.video import Talk, Video
from titlecard.pipeline.publish import ResultPublisher
from titlecard_console import stacks
from titlecard_console.cli import app

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest
    from typer.testing import Result as Said

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.batch import Message
    from titlecard.pipeline.publish import EventBus

MARK = "f" * 32


def exports(world: World) -> BatchResults:
    return BatchResults(world.db, world.names["CatalogTable"])


def reviews(world: World) -> Reviews:
    return Reviews(world.db, world.names["CatalogTable"])


def results(world: World, bus: EventBus | None = None) -> ResultPublisher:
    """Return the publisher of results, built as its handler builds it."""
    progress = UploadProgressTable(world.db, world.names["CatalogTable"])
    return ResultPublisher(results=exports(world), progress=progress, s3=world.s3, events=bus or Listener())


def talk(title: str = "Compilers", *presenters: str, **more: Any) -> Talk:  # noqa: ANN401 -- fields of a talk
    return Talk(title=title, presenters=presenters or ("Grace Hopper",), confidence=0.97, **more)


def ended(
    world: World,
    talks: Mapping[str, Talk | RowState],
    *,
    name: str = "talks.jsonl",
    project: str = PROJECT,
    mark: str = MARK,
) -> Batch:
    """Make a batch whose rows have ended, by the ids of their videos: with a talk, or in a state without one."""
    videos = [
        Video(id=video, title=f"{video}: raw title", description="As uploaded.", url=f"https://example.org/{video}")
        for video in talks
    ]
    batch, messages = world.batch(*videos, name=name, project=project)
    end(world, batch, messages, list(talks.values()), mark=mark)
    return world.catalog.batch(batch.id)


def end(
    world: World, batch: Batch, messages: Sequence[Message], ends: Sequence[Talk | RowState], *, mark: str = MARK
) -> None:
    """End a batch's rows."""
    endings = []
    for message, it in zip(messages, ends, strict=True):
        if isinstance(it, Talk):
            ending = RowEnd(message, batch.upload.order, mark, RowState.PARSED, it.tier, it)
        else:
            ending = RowEnd(message, batch.upload.order, mark, it, reason="told by the test")
        endings.append(ending)
    world.catalog.end_and_count(endings, now=world.clock())


def say(world: World, video: str, title: str, *presenters: str, project: str = PROJECT) -> None:
    """Record a person's answer."""
    reviews(world).answer(project, video, title, presenters, by="ada", fingerprint=MARK, now=world.clock())


def file_of(world: World, batch: Batch) -> list[dict[str, Any]]:
    """Return the lines of a batch's results."""
    body = world.s3.get_object(Bucket=world.bucket, Key=f"results/{batch.project}/{batch.id}.jsonl")["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


class Listener:
    """An event bus that records the events that go over it."""

    def __init__(self) -> None:
        self._events = boto3.client("events")
        self._heard: list[dict[str, Any]] = []

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803 -- boto3's
        """Put events on the bus."""
        done: Mapping[str, Any] = self._events.put_events(Entries=Entries)
        self._heard += [json.loads(it["Detail"]) for it in Entries if (it["Source"], it["DetailType"]) == _WANTED]
        return done

    def heard(self) -> list[dict[str, Any]]:
        """Return the details of the events since the last call."""
        heard, self._heard = self._heard, []
        return heard


_WANTED = ("titlecard", "Titlecard batch finished")


class Console:
    """The commands, run on a world instead of a stack."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs = {name: world.names[name] for name in ("CatalogTable", "LedgerTable", "UploadsBucket")}
        self.parameters = TEMPLATE.values({})
        monkeypatch.setattr(stacks, "find", lambda *_: self)

    def client(self, service: Any, **config: Any) -> Any:  # noqa: ANN401 -- as `Where`
        """Return a client of the world."""
        return boto3.client(service, config=Config(**config))

    def type(self, *words: str) -> Said:
        """Run a command; return its output and its exit code."""
        return CliRunner().invoke(app, words)

    def said(self, *words: str) -> str:
        """Run a command that succeeds; return its standard output."""
        done = self.type(*words)
        assert done.exit_code == 0, (done.output, done.exception)
        return str(done.stdout)

    def objects(self, *words: str) -> list[dict[str, Any]]:
        """Run a command that succeeds; return the objects of its JSON Lines."""
        return [json.loads(line) for line in self.said(*words).splitlines()]
