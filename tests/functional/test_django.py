"""The Django example, run by Django against an emulated S3, and the fixture that Django's `loaddata` takes.

Django ships no types, so none are checked here.
"""
# mypy: ignore-errors

from __future__ import annotations

import importlib.util
import io
import sys
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.management import call_command
from django.db import connection, models
from django.test import RequestFactory
from tests.functional.finished import Console, ended, results, say, talk

from titlecard import manifests
from titlecard.domain.batch import RowState
from titlecard_console.installation import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.functional.world import World

NAME = "tests.functional.django_admin"
"""The module name of the example, as part of an app of the site."""


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """Return the example in its own site, with an in-memory database."""
    apps = ["admin", "auth", "contenttypes", "messages"]
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["tests.functional", *(f"django.contrib.{app}" for app in apps)],
        SECRET_KEY="of-the-tests",  # noqa: S106 -- of no site
        USE_TZ=True,
    )
    django.setup()
    spec = importlib.util.spec_from_file_location(NAME, ROOT / "events" / "django_admin.py")
    example = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with connection.schema_editor() as schema:
        schema.create_model(example.Video)
    return example


@pytest.fixture
def site(example: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the example with an empty table, connected to a stack."""
    monkeypatch.setattr(example, "BUCKET", world.bucket)
    example.Video.objects.all().delete()
    return example


def act(site: ModuleType, action: str) -> str:
    """Run an admin action for all videos; return the admin's message."""
    request = RequestFactory().post("/")
    request._messages = CookieStorage(request)  # noqa: SLF001 -- what the middleware does
    modeladmin = site.admin.site.get_model_admin(site.Video)
    getattr(site, action)(modeladmin, request, site.Video.objects.order_by("id"))
    (message,) = request._messages  # noqa: SLF001 -- likewise
    return str(message)


def given(site: ModuleType, *videos: str) -> None:
    for video in videos:
        site.Video.objects.create(id=video, raw_title=f"{video}: raw title", description="As uploaded.")


def talks(site: ModuleType) -> list[tuple[str, str, list[str]]]:
    return list(site.Video.objects.order_by("id").values_list("id", "title", "presenters"))


def finish(world: World, **rows: Any) -> None:  # noqa: ANN401 -- talks and states
    batch = ended(world, rows, project="pycon")
    results(world).publish(batch, lambda: True)


def test_talks_that_the_local_tier_is_sure_of_are_cleaned_in_the_sites_process(site: ModuleType) -> None:
    titles = ["PyCon 2019 - Ada Byron - Linkers in practice", "PyCon 2019 - Grace Hopper - Loaders at scale", "???"]
    for number, title in enumerate(titles):
        site.Video.objects.create(id=str(number), raw_title=title)
    assert act(site, "clean") == "2 of 3 talks were cleaned; send the others to Titlecard."
    assert talks(site) == [
        ("0", "Linkers in practice", ["Ada Byron"]),
        ("1", "Loaders at scale", ["Grace Hopper"]),
        ("2", "", []),
    ]


def test_a_queryset_is_uploaded_as_a_manifest(site: ModuleType, world: World) -> None:
    given(site, "a", "b")
    assert act(site, "send") == "2 videos are on their way."
    (found,) = world.s3.list_objects_v2(Bucket=world.bucket, Prefix="uploads/pycon/")["Contents"]
    body = world.s3.get_object(Bucket=world.bucket, Key=found["Key"])["Body"].read()
    limits = manifests.ReadingLimits(row_max_bytes=100_000, total_max_bytes=100_000, max_ratio=100)
    rows = list(manifests.read(io.BytesIO(body), limits))
    assert [(row.video.id, row.video.title, row.video.description) for row in rows] == [
        ("a", "a: raw title", "As uploaded."),
        ("b", "b: raw title", "As uploaded."),
    ]


def test_results_are_applied_except_those_that_need_review(site: ModuleType, world: World) -> None:
    given(site, "a", "b", "c")
    finish(world, a=talk("Linkers", "Ada Byron"), b=talk("Loaders", review="low_confidence"), c=RowState.DEAD)
    assert act(site, "apply") == "1 talks were applied."
    assert talks(site) == [("a", "Linkers", ["Ada Byron"]), ("b", "", []), ("c", "", [])]


def test_a_persons_answer_is_applied(site: ModuleType, world: World) -> None:
    given(site, "a")
    batch = ended(world, {"a": talk("Linkers", review="low_confidence")}, project="pycon")
    say(world, "a", "By hand", "Ada Byron", project="pycon")
    results(world).publish(batch, lambda: True)
    act(site, "apply")
    assert talks(site) == [("a", "By hand", ["Ada Byron"])]


@pytest.mark.usefixtures("site")
def test_a_fixture_is_loaded_by_django(world: World, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401 -- pytest's
    batch = ended(world, {"a": talk("Linkers", "Ada Byron", review="low_confidence"), "b": talk()})
    loaded = talk_model()
    with connection.schema_editor() as schema:
        schema.create_model(loaded)
    file = tmp_path / "talks.json"
    words = ("--format", "django-fixture", "--model", "functional.talk", "--output", str(file))
    Console(world, monkeypatch).said("export", "--batch", batch.id, *words)
    call_command("loaddata", str(file), verbosity=0)
    fields = ("id", "title", "presenters", "tier", "review")
    assert list(loaded.objects.order_by("id").values_list(*fields)) == [
        ("a", "Linkers", ["Ada Byron"], "local", "low_confidence"),
        ("b", "Compilers", ["Grace Hopper"], "local", ""),
    ]


def talk_model() -> type[models.Model]:
    """Return a model for talks, as a site would define it."""
    fields = {
        "id": models.CharField(primary_key=True, max_length=512),
        "title": models.TextField(),
        "presenters": models.JSONField(),
        "tier": models.CharField(max_length=16),
        "confidence": models.FloatField(),
        "review": models.TextField(blank=True),
    }
    return type("Talk", (models.Model,), {"__module__": NAME, **fields})
