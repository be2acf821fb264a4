"""The projects' keys: from Secrets Manager, or the local cloud's own key; never a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.exceptions import EndpointConnectionError
from pydantic import SecretStr
from tests.functional.world import Cut

from titlecard.aws.errors import KeyUnreadable
from titlecard.aws.secrets import FRESH_SECONDS, UNREADABLE_SECONDS, ProjectKeys

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from tests.functional.world import World

PREFIX = "titlecard/stack/"


@pytest.fixture
def secrets(world: World) -> SecretsManagerClient:  # noqa: ARG001 -- the world holds them
    return boto3.client("secretsmanager")


@pytest.fixture
def project(world: World) -> str:
    """Return a name that no other test's secret has."""
    return world.bucket


def test_a_project_has_the_key_of_its_secret(secrets: SecretsManagerClient, project: str) -> None:
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-of-the-project\n")
    assert ProjectKeys(PREFIX, local=None).of(project) == "sk-of-the-project"


def test_a_project_without_a_secret_has_no_key(project: str) -> None:
    assert ProjectKeys(PREFIX, local=None).of(project) is None


def test_an_empty_secret_is_no_key(secrets: SecretsManagerClient, project: str) -> None:
    secrets.create_secret(Name=PREFIX + project, SecretString=" \n")
    assert ProjectKeys(PREFIX, local=None).of(project) is None


def test_one_projects_key_is_never_anothers(secrets: SecretsManagerClient, project: str) -> None:
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-of-the-project")
    assert ProjectKeys(PREFIX, local=None).of(project + "-2") is None


def test_the_local_key_serves_every_project_without_a_call(world: World, project: str) -> None:
    before = len(world.wire.calls)
    assert ProjectKeys(PREFIX, local=SecretStr("sk-local")).of(project) == "sk-local"
    assert len(world.wire.calls) == before


def test_a_key_is_cached_for_a_while(world: World, secrets: SecretsManagerClient, project: str) -> None:
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-of-the-project")
    keys = ProjectKeys(PREFIX, local=None)
    keys.of(project)
    before = len(world.wire.calls)
    assert keys.of(project) == "sk-of-the-project"
    assert len(world.wire.calls) == before


def test_a_missing_key_is_cached_for_a_while(world: World, project: str) -> None:
    keys = ProjectKeys(PREFIX, local=None)
    keys.of(project)
    before = len(world.wire.calls)
    assert keys.of(project) is None
    assert len(world.wire.calls) == before


def test_a_key_that_was_added_is_found_after_a_while(
    secrets: SecretsManagerClient, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ProjectKeys(PREFIX, local=None)
    moment = 1_000.0
    monkeypatch.setattr("titlecard.aws.secrets.time.monotonic", lambda: moment)
    assert keys.of(project) is None
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-of-the-project")
    moment += FRESH_SECONDS + 1
    assert keys.of(project) == "sk-of-the-project"


def test_a_fresh_read_ignores_the_cached_key(secrets: SecretsManagerClient, project: str) -> None:
    keys = ProjectKeys(PREFIX, local=None)
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-wrong")
    assert keys.of(project) == "sk-wrong"
    secrets.put_secret_value(SecretId=PREFIX + project, SecretString="sk-right")
    assert (keys.of(project), keys.of(project, fresh=True), keys.of(project)) == ("sk-wrong", "sk-right", "sk-right")


def test_a_fresh_read_ignores_a_cached_missing_key(secrets: SecretsManagerClient, project: str) -> None:
    keys = ProjectKeys(PREFIX, local=None)
    assert keys.of(project) is None
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-of-the-project")
    assert keys.of(project, fresh=True) == "sk-of-the-project"


def test_an_unreadable_secret_does_not_count_as_missing(world: World, project: str) -> None:
    keys = ProjectKeys(PREFIX, local=None)
    world.wire.cut(Cut.OUTAGE)
    with pytest.raises(KeyUnreadable):
        keys.of(project)


def test_a_key_that_could_not_be_read_is_not_read_again_for_each_row(
    world: World, secrets: SecretsManagerClient, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1_000.0
    monkeypatch.setattr("titlecard.aws.secrets.time.monotonic", lambda: moment)
    secrets.create_secret(Name=PREFIX + project, SecretString="sk-of-the-project")
    keys = ProjectKeys(PREFIX, local=None)
    with monkeypatch.context() as patch:
        patch.setattr(SecretsProvider, "_get", _no_answer)
        with pytest.raises(KeyUnreadable):
            keys.of(project)
    before = len(world.wire.calls)
    for fresh in (False, True):
        with pytest.raises(KeyUnreadable, match=project):
            keys.of(project, fresh=fresh)
    assert len(world.wire.calls) == before
    moment += UNREADABLE_SECONDS
    assert keys.of(project) == "sk-of-the-project"


def _no_answer(*_: object) -> None:
    raise EndpointConnectionError(endpoint_url="secretsmanager")
