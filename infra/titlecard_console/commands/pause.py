"""`titlecard pause` and `resume`: stop requests to the model, and let them continue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from titlecard.aws.dynamodb.ledger import EVERY_PROJECT, Account, Breaker, UnreadableAccount
from titlecard.aws.errors import LedgerItemInvalid
from titlecard.domain.reasons import Hold, Reason, code_of
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import ExitCode
from titlecard_console.output import format_time, pluralize, say
from titlecard_console.projects import check_known, known_projects, listed, one_or_all
from titlecard_console.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titlecard.aws.dynamodb.ledger import Ledger

_FREED = {Hold.PAUSED, Hold.BREAKER_OPEN, Reason.ACCOUNT_FAULT}
"""The reasons for waiting that a resume removes: a pause or an open breaker."""


def pause(
    project: options.ProjectOrAll = None,
    *,
    every: options.All = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Stop a project's requests to the model.

    `titlecard pause djangocon`

    `titlecard pause --all --stack titlecard`

    Requests that are already under way end. Videos that need the model wait, and nothing is lost. Without this program:
    aws dynamodb put-item --table-name LEDGER --item '{"pk": {"S": "pauses"}, "sk": {"S": "PROJECT"}}'
    """
    name = one_or_all(project, every=every)
    stack, now = stacks.find(stack_name, state), datetime.now(UTC)
    ledger = stacks.ledger(stack)
    ledger.pause(name, now=now)
    if every:
        say("All projects are paused; `titlecard resume --all` lets them continue.")
        return
    say(f"{name} is paused; `titlecard resume {name}` lets it continue.")
    account = _accounts(ledger, name, now=now)[name]
    if isinstance(account, UnreadableAccount):
        say(f"{name} cannot continue even then: {account.error}.")
    elif account.budget is None and not ResultReader(stack).all_batches(name):
        others = [it for it in known_projects(stack) if it != name]  # read after the pause, which must not wait for it
        say(f"But nothing is known about {name}: is the name right? {listed(others)}")


def resume(
    project: options.ProjectOrAll = None,
    *,
    every: options.All = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Let a paused project continue, and close its breaker.

    `titlecard resume djangocon`

    `titlecard resume --all`

    A breaker stops requests after a fault of the account or the provider. Videos that wait for the pause or the breaker
    continue within two minutes.
    """
    name = one_or_all(project, every=every)
    stack, now = stacks.find(stack_name, state), datetime.now(UTC)
    ledger, catalog = stacks.ledger(stack), ResultReader(stack).catalog
    accounts = _accounts(ledger, name, now=now)
    if not every and accounts[name] == Account(name, None, None, Breaker()):
        check_known(stack, name)
    for account in accounts.values():
        ledger.unpause(account.project)
        if account.project != EVERY_PROJECT:
            ledger.close_breaker(account.project)
    sentences = [it for account in accounts.values() for it in _ended(account)]
    invalid = [it.project for it in accounts.values() if isinstance(it, UnreadableAccount)]
    errors = {it: error for it in invalid if (error := _error(ledger, it, now=now))}
    freed = 0
    for deferred in catalog.deferred_rows_of(accounts.keys() - errors):
        reason = code_of(deferred.row.reason)
        if reason in _FREED:
            freed += reason == Hold.PAUSED or catalog.make_due(deferred, now=now)
    if any(isinstance(it, Account) and it.all_paused for it in accounts.values()):
        sentences.append(f"{name} is still paused, with all other projects: `titlecard resume --all`.")
    elif freed:
        videos = pluralize(freed, "waiting video continues", "waiting videos continue")
        sentences.append(f"{videos} within two minutes.")
    sentences += [f"{it} continues." for it in invalid if it not in errors]
    sentences += [f"{it} cannot continue: {error}." for it, error in errors.items()]
    say(*sentences or ["No project was stopped." if every else f"{name} was not stopped."])
    if errors:
        raise typer.Exit(ExitCode.FAILED)


def _accounts(ledger: Ledger, name: str, *, now: datetime) -> dict[str, Account | UnreadableAccount]:
    """Return a project's account by name; for all projects, every account and the one that applies to all."""
    if name == EVERY_PROJECT:
        return {EVERY_PROJECT: Account(EVERY_PROJECT, None, None, Breaker())} | ledger.accounts()
    try:
        return {name: ledger.account(name, now=now)}
    except LedgerItemInvalid as error:
        return {name: UnreadableAccount(name, str(error))}


def _error(ledger: Ledger, project: str, *, now: datetime) -> str | None:
    """Return why an account that could not be read still cannot; None if closing its breaker has repaired it."""
    try:
        ledger.account(project, now=now)
    except LedgerItemInvalid as error:
        return str(error)
    return None


def _ended(account: Account | UnreadableAccount) -> Iterator[str]:
    """Name what ends when an account resumes: its pause, its breaker."""
    if isinstance(account, UnreadableAccount):
        return
    if account.paused and not account.all_paused:
        whose = "all projects" if account.project == EVERY_PROJECT else account.project
        began = f"; it began {format_time(account.paused_at)}" if account.paused_at else ""
        yield f"The pause of {whose} has ended{began}."
    if account.breaker.open:
        breaker = account.breaker
        yield f"The breaker of {account.project} is closed; it opened {format_time(breaker.since)}: {breaker.why}"
