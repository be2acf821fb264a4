"""The users of a local cloud: the command that started it waits for those that have joined it."""

from __future__ import annotations

import fcntl
import json
import threading
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import EndpointConnectionError

from titlecard.aws.errors import LedgerUnavailable
from titlecard_console.commands.up import local_cloud
from titlecard_console.errors import CloudError
from titlecard_console.local_cloud.cloud import Cloud, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 60

CLOUD = Cloud("http://127.0.0.1:9", "us-east-1", "key", "secret", logs="log", supervisor=1)

ERRORS = [EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), LedgerUnavailable("the ledger did not answer")]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Return the state of a running cloud."""
    state = State(tmp_path)
    with state.hold():
        state.announce(CLOUD)
        yield state


def test_a_killed_cloud_is_not_found_while_another_command_looks_for_it(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.announce(CLOUD)
    with (tmp_path / "lock").open("a") as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        assert state.cloud() is None


def test_a_cloud_of_another_version_is_named(state: State) -> None:
    (state.folder / "cloud.json").write_text(json.dumps({"endpoint_url": "http://127.0.0.1:9", "new": 1}))
    with pytest.raises(CloudError, match="Another version of Titlecard has started the local cloud"):
        state.cloud()


def test_a_cloud_waits_for_the_commands_that_have_joined_it(state: State) -> None:
    waits, left = threading.Event(), threading.Event()

    def leave() -> None:
        with state.leave(lambda _sentence: waits.set()):
            left.set()

    owner = threading.Thread(target=leave)
    with state.join(), state.join():
        owner.start()
        assert waits.wait(PATIENCE_SECONDS)
        assert not left.is_set()
    assert left.wait(PATIENCE_SECONDS)
    owner.join()


def test_a_cloud_without_other_users_is_left_at_once(state: State) -> None:
    said: list[str] = []
    with state.leave(said.append):
        assert said == []


def test_no_command_joins_a_cloud_that_is_stopping(state: State) -> None:
    with state.leave(print), pytest.raises(CloudError, match="is stopping"), state.join():
        pass


def test_no_command_joins_a_cloud_that_has_stopped(state: State) -> None:
    state.forget()
    with pytest.raises(CloudError, match="is stopping"), state.join():
        pass


@pytest.mark.parametrize("error", ERRORS)
def test_a_command_whose_cloud_has_stopped_says_so(state: State, error: Exception) -> None:
    def use() -> None:
        with local_cloud(state.folder, {}, state.cloud()):
            state.forget()
            raise error

    with pytest.raises(CloudError, match="The local cloud has stopped"):
        use()


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_a_cloud_that_is_up_stays_as_it_is(state: State, error: Exception) -> None:
    def use() -> None:
        with local_cloud(state.folder, {}, state.cloud()):
            raise error

    with pytest.raises(type(error)):
        use()
