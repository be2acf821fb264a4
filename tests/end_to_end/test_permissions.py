"""Least privilege: the shipped policies allow every call of a run, and the run uses every right that they give.

The local cloud enforces IAM and records every kind of call (`calls.jsonl`). One run does everything that the stack can
do: good and bad uploads, faults of the provider, lost messages, a deleted manifest, the audit, results, and the
console's commands by an operator who has only the operators' policy. The tests compare its calls with the deployed
policies.
"""

from __future__ import annotations

import fnmatch
import json
import os
import termios
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

import pytest
from tests.end_to_end.conftest import SECONDS
from tests.end_to_end.person import Operator
from tests.end_to_end.stack import Stack, running, until

from titlecard.domain.batch import BatchState, RowState
from titlecard_console.local_cloud import template
from titlecard_console.local_cloud.deploy import STACK
from titlecard_console.review_session import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.end_to_end.witness import Witness

    from titlecard.domain.batch import Upload

ROLES = ("IngestRole", "ParserRole", "SweeperRole")
TITLES = ("Pickles are for Delis, not Software", "Fast Python, Slow Python", "The Mighty Dictionary", "Beyond PEP 8")

CANARY, CANARY_KEY = "A canary sang in the coal mine.", "sk-proj-canary-0123456789"
"""Texts that no log may contain: a description and a key."""

UNUSED_HERE = {
    (
        "IngestRole",
        "ReceiveAndContinue",
        "sqs:SendMessage",
    ): "a manifest of several invocations",
    ("SweeperRole", "LetIngestContinue", "sqs:SendMessage"): "a batch that ingest left, after IngestVisibilitySeconds",
    ("SweeperRole", "WriteResults", "s3:AbortMultipartUpload"): "two sweepers that begin the same results",
    **{
        (role, "WriteItsLog", f"logs:{action}"): "Lambda calls it itself, and the local cloud does not"
        for role in ("IngestRole", "ParserRole", "SweeperRole")
        for action in ("CreateLogStream", "PutLogEvents")
    },
    **{
        (role, sid, f"sqs:{action}"): "Lambda's poller calls it, and MiniStack's is not under IAM"
        for role, sid in (("IngestRole", "ReceiveAndContinue"), ("ParserRole", "ReceiveMessages"))
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    },
    **{
        (policy, "SeeMissingObjects", "s3:ListBucket"): "nothing calls it: S3 asks for it when an object is gone"
        for policy in ("IngestRole", "SweeperRole", "OperatorPolicy")
    },
    ("IngestRole", "ReceiveAndContinue", "sqs:ChangeMessageVisibility"): "an upload that could not be taken",
    ("IngestRole", "FinishBatches", "lambda:InvokeFunction"): "a batch whose rows end before ingest does",
    ("ParserRole", "ReceiveMessages", "sqs:ChangeMessageVisibility"): "a request that is tried again; here one is all",
    ("IngestRole", "ReadUploads", "s3:GetObject"): "an upload without a version, where somebody suspends versioning",
    ("SweeperRole", "ReadTheLedger", "dynamodb:BatchGetItem"): "a deferred row whose date has come",
    ("OperatorPolicy", "ReadTheBucket", "s3:GetObjectVersion"): "a manifest that a redrive reads again",
    ("OperatorPolicy", "SetAndRemoveTheProjectsKeys", "secretsmanager:PutSecretValue"): "a second key of a project",
    ("OperatorPolicy", "SetAndRemoveTheProjectsKeys", "secretsmanager:RestoreSecret"): "a key after a removed one",
    ("OperatorPolicy", "RunTheSweeper", "lambda:InvokeFunction"): "for people, by the alarm SweeperSilent",
    ("OperatorPolicy", "ReadTheLogs", "logs:FilterLogEvents"): "the log of a worker that was killed",
}
"""Rights that a run of this length cannot use, with the case that needs each; `tests/functional` has these cases."""


@dataclass(frozen=True)
class Call:
    """A kind of call under IAM."""

    caller: str
    action: str
    resource: str
    keys: tuple[str, ...]
    allowed: bool

    def __str__(self) -> str:
        """Describe the call; if it is denied, describe the missing permission."""
        keys = f" of the items {', '.join(self.keys)}" if self.keys else ""
        return f"{self.caller} needs {self.action} on {self.resource}{keys}"


@dataclass(frozen=True)
class Statement:
    """A statement of a deployed policy."""

    policy: str
    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    keys: tuple[str, ...]

    def allows(self, call: Call) -> bool:
        """Return whether it allows a call, by our own evaluation, independent of MiniStack's."""
        return (
            call.caller == self.policy
            and any(fnmatch.fnmatchcase(call.action, it) for it in self.actions)
            and any(fnmatch.fnmatchcase(call.resource, it) for it in self.resources)
            and (not self.keys or all(any(fnmatch.fnmatchcase(key, it) for it in self.keys) for key in call.keys))
        )


@dataclass(frozen=True)
class Recorded:
    """The calls of a run, and the policies that it ran under."""

    stack: Stack
    calls: frozenset[Call]
    statements: tuple[Statement, ...]
    log: str
    """The logs of all functions, at level DEBUG."""


def shipped_statements() -> list[tuple[str, str]]:
    """Return the statements in template.yaml, by policy and Sid."""
    found = [
        ("OperatorPolicy", template.load().document["Resources"]["OperatorPolicy"]["Properties"]["PolicyDocument"])
    ]
    for role in ROLES:
        (policy,) = template.load().document["Resources"][role]["Properties"]["Policies"]
        found.append((role, policy["PolicyDocument"]))
    return [(name, statement["Sid"]) for name, document in found for statement in document["Statement"]]


@pytest.fixture(scope="module")
def recorded(artefacts: Path, tmp_path_factory: pytest.TempPathFactory, provider: Witness) -> Iterator[Recorded]:
    """Do a run and return its calls."""
    state = tmp_path_factory.mktemp("permissions")
    parameters = SECONDS | {
        "TierPolicy": "model",
        "OpenAIBaseUrl": provider.base_url,
        "ParserTimeoutSeconds": "20",
        "RequestDeadlineSeconds": "5",
        "VisibilitySeconds": "120",
        "AuditAfterSeconds": "8",
        "AuditRounds": "100",
        "AttemptCap": "1",
        "LogLevel": "DEBUG",
    }
    with running(state, parameters, artefacts) as stack:
        _work(stack, provider, Operator.of(stack.cloud), tmp_path_factory.mktemp("operator"))
        yield Recorded(stack, frozenset(_calls(stack, state)), tuple(_statements(stack)), _log(state))


def test_every_call_is_allowed(recorded: Recorded) -> None:
    assert sorted(str(call) for call in recorded.calls if not call.allowed) == []


def test_every_call_is_allowed_by_a_statement(recorded: Recorded) -> None:
    """MiniStack's verdict and our own evaluation of the policies agree."""
    unexplained = [it for it in recorded.calls if not any(statement.allows(it) for statement in recorded.statements)]
    assert sorted(map(str, unexplained)) == []


@pytest.mark.parametrize(("policy", "sid"), shipped_statements())
def test_every_permission_that_a_statement_grants_is_used(recorded: Recorded, policy: str, sid: str) -> None:
    (statement,) = [it for it in recorded.statements if (it.policy, it.sid) == (policy, sid)]
    used = {it.action for it in recorded.calls if statement.allows(it)}
    unused = {
        action
        for action in statement.actions
        if not any(fnmatch.fnmatchcase(it, action) for it in used) and (policy, sid, action) not in UNUSED_HERE
    }
    assert unused == set(), f"{policy}: nothing needs {', '.join(sorted(unused))} of the statement {sid}"


@pytest.mark.parametrize(("policy", "sid"), shipped_statements())
def test_without_a_statement_calls_are_denied(recorded: Recorded, policy: str, sid: str) -> None:
    """Every statement is needed: each one alone allows something that the run uses."""
    others = [it for it in recorded.statements if (it.policy, it.sid) != (policy, sid)]
    missing = [str(it) for it in recorded.calls if not any(statement.allows(it) for statement in others)]
    excused = any((policy, sid) == key[:2] for key in UNUSED_HERE)
    assert excused or any(it.startswith(f"{policy} needs ") for it in missing), f"{policy} works without {sid}"


@pytest.mark.parametrize("partition", ["budgets", "pauses"])
def test_the_parser_cannot_write_a_budget_or_a_pause(recorded: Recorded, partition: str) -> None:
    assert not _may(recorded, "ParserRole", "dynamodb:UpdateItem", "LedgerTable", partition)
    assert not _may(recorded, "ParserRole", "dynamodb:PutItem", "LedgerTable", partition)
    assert _may(recorded, "ParserRole", "dynamodb:UpdateItem", "LedgerTable", "project#p")


@pytest.mark.parametrize("action", ["GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"])
def test_ingest_cannot_touch_the_ledger(recorded: Recorded, action: str) -> None:
    assert not _may(recorded, "IngestRole", f"dynamodb:{action}", "LedgerTable", "budgets")


@pytest.mark.parametrize("role", ["IngestRole", "SweeperRole", "OperatorPolicy"])
def test_only_the_parser_can_read_a_key(recorded: Recorded, role: str) -> None:
    statements = [it for it in recorded.statements if it.policy == role]
    assert not any(
        fnmatch.fnmatchcase("secretsmanager:GetSecretValue", it) for statement in statements for it in statement.actions
    )


# -------------------------------------------------------------------------------------------------------- the logs


@pytest.mark.parametrize("canary", [CANARY, CANARY_KEY, TITLES[0]])
def test_no_log_holds_a_strangers_text_or_a_key(recorded: Recorded, canary: str) -> None:
    assert '"level":"INFO"' in recorded.log
    assert canary not in recorded.log


@pytest.mark.parametrize("event", ["attempt", "deferred", "died", "upload refused"])
def test_each_event_of_a_row_or_an_upload_is_one_complete_line(recorded: Recorded, event: str) -> None:
    lines = [json.loads(line) for line in recorded.log.splitlines() if f'"message":"{event}"' in line]
    assert lines
    assert all({"batch", "reason"} <= set(line) for line in lines if line.get("reason") != "undecodable")
    if event in {"attempt", "deferred"}:
        assert all({"row", "video", "bound"} <= set(line) for line in lines)
    if event == "attempt":
        assert all({"attempt", "charge"} <= set(line) for line in lines)


# -------------------------------------------------------------------------------------------------------- the run


def _work(stack: Stack, provider: Witness, operator: Operator, folder: Path) -> None:
    def ran(*command: str | Path, text: str = "") -> str:
        done = operator.ran(*command, text=text)
        assert done.code in {0, 3}, (command, done)
        return done.data

    good_rows = folder / "good.jsonl"
    ran("key", "set", "asks", text=f"{CANARY_KEY}\n")
    ran("budget", "set", "asks", "--monthly", "50usd")
    good_rows.write_bytes(_rows("good", 4))
    ran("upload", good_rows, "--project", "asks", "--yes")
    good = until(lambda: stack.batches("asks"), "there is a batch")[0]
    until(lambda: stack.catalog.batch(good).counted(RowState.PARSED) == 4, "it is parsed")
    ran("watch", good)
    for command in ("export --batch", "rejects", "limit"):
        ran(*command.split(), good)
    ran("show", "good-0", "--project", "asks")
    ran("review", "set", "good-0", "--project", "asks", "--presenter", "Alex Gaynor")
    for command in ("batches", "spend", "doctor", "review --project asks", "budget show"):
        ran(*command.split())
    ran("estimate", good_rows)

    stack.put("asks/bad.jsonl", b"no manifest")
    with stack.held("IngestFunction"):
        gone = stack.put("asks/gone.jsonl", _rows("gone", 1))
        s3 = stack.cloud.client("s3")
        s3.delete_object(Bucket=gone.bucket, Key=gone.key, VersionId=gone.version)
    provider.fail("refusal", "refusal", "server_error", "rate_limit", "unauthorized")
    faulty = stack.put("asks/faulty.jsonl", _rows("faulty", 5))
    until(lambda: stack.waiting("WorkDeadLetterQueueUrl") >= 1, "a video is dead")
    ran("dlq")
    ran("dlq", "show", stack.dead_letters()[0].video)
    until(lambda: len(ran("review", "--json").splitlines()) >= 2, "two talks need review")
    _accept_and_undo(operator)
    ran("pause", "asks")
    ran("resume", "asks")
    ran("dlq", "redrive", "--all", "--yes")
    ran("cancel", faulty.batch, "--yes")

    with stack.held("ParserFunction"):
        lost, orphaned = (
            stack.put("asks/lost.jsonl", _rows("lost", 2)),
            stack.put("asks/orphaned.jsonl", _rows("orphan", 2)),
        )
        for upload in (lost, orphaned):
            _wait_until_sent(stack, upload)
        stack.lose("WorkQueueUrl")
        s3.delete_object(Bucket=orphaned.bucket, Key=orphaned.key, VersionId=orphaned.version)
    stack.finished(lost)
    stack.finished(orphaned)
    stack.send("WorkQueueUrl", "no message of ours")
    until(lambda: stack.waiting("WorkDeadLetterQueueUrl") >= 1, "it is among the dead letters")
    ran("dlq", "discard", "--cause", "undecodable", "--copy", folder / "copy.jsonl", "--yes")
    ran("key", "remove", "asks", "--yes")


def _accept_and_undo(operator: Operator) -> None:
    """Accept a talk in `review --interactive`, which needs a terminal, undo the answer, and quit."""
    ours, theirs = os.openpty()
    said = ""
    with operator.started("review", "--interactive", stdin=theirs, stdout=DEVNULL) as console:
        assert console.stderr
        for key in b"auq":
            while KEYS not in said:
                said += (read := os.read(console.stderr.fileno(), 4096)).decode()
                assert read, said
            # The console discards what was typed before it waits for a key: it switches the line mode off.
            until(lambda: not termios.tcgetattr(ours)[3] & termios.ICANON, "it waits for a key")
            os.write(ours, bytes([key]))
            said = ""
        said = console.stderr.read()
        assert console.wait() == 0, said
        assert "0 talks answered" in said
    os.close(ours)
    os.close(theirs)


def _wait_until_sent(stack: Stack, upload: Upload) -> None:
    until(lambda: (batch := stack.batch(upload)) and batch.state is BatchState.OPEN, "its rows are sent")


def _rows(start: str, number: int) -> bytes:
    titles = [f"{TITLES[i % len(TITLES)]} - Alex Gaynor ({start})" for i in range(number)]
    rows = [{"id": f"{start}-{i}", "title": title, "description": CANARY} for i, title in enumerate(titles)]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


# ------------------------------------------------------------------------------------------------ what was recorded


def _calls(stack: Stack, state: Path) -> Iterator[Call]:
    names = {physical: logical for logical, physical in _resources(stack).items()}
    for line in (state / "run" / "calls.jsonl").read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        who = call["caller"].split("/")[1]
        caller = "OperatorPolicy" if call["caller"].endswith("user/operator") else names[who]
        if caller in {*ROLES, "OperatorPolicy"}:
            yield Call(caller, call["action"], call["resource"], tuple(call["keys"]), call["allowed"])


def _statements(stack: Stack) -> Iterator[Statement]:
    iam, resources = stack.cloud.client("iam"), _resources(stack)
    for role in ROLES:
        (name,) = iam.list_role_policies(RoleName=resources[role])["PolicyNames"]
        document = iam.get_role_policy(RoleName=resources[role], PolicyName=name)["PolicyDocument"]
        yield from (_statement(role, it) for it in document["Statement"])
    arn = stack.outputs["OperatorPolicy"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    yield from (_statement("OperatorPolicy", it) for it in document["Statement"])


def _statement(policy: str, statement: Mapping[str, Any]) -> Statement:
    conditions = [keys for operator in statement.get("Condition", {}).values() for keys in operator.values()]
    return Statement(
        policy,
        statement["Sid"],
        _listed(statement["Action"]),
        _listed(statement["Resource"]),
        tuple(key for keys in conditions for key in _listed(keys)),
    )


def _may(recorded: Recorded, role: str, action: str, table: str, key: str) -> bool:
    resources = _resources(recorded.stack)
    region, account = recorded.stack.cloud.region, recorded.stack.outputs["OperatorPolicy"].split(":")[4]
    call = Call(role, action, f"arn:aws:dynamodb:{region}:{account}:table/{resources[table]}", (key,), allowed=True)
    return any(statement.allows(call) for statement in recorded.statements)


def _resources(stack: Stack) -> dict[str, str]:
    """Return the physical names of the stack's resources, by their logical ids."""
    pages = stack.cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    found = [it for page in pages for it in page["StackResourceSummaries"]]
    return {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in found}


def _log(state: Path) -> str:
    return (state / "log" / "ministack.log").read_text(encoding="utf-8", errors="replace")


def _listed(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
