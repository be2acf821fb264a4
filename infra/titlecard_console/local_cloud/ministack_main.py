"""Runs MiniStack in this process; started by `ministack.py` with MiniStack's own interpreter.

That interpreter has no packages. MiniStack's packages are on the path of this process alone, so that the functions,
which MiniStack starts with the same interpreter, have only the standard library and their artefact.

`_mend` corrects MiniStack 1.5.33 where it differs from AWS in a way that affects the stack or its tests; each function
that it calls describes the fault. `calls.jsonl`, in this process's working folder, lists every kind of call under IAM:
the caller, the action, the resource, and whether it was allowed.

Standard input controls this process. For a line with a function's name, it writes the number of the function's running
invocations to standard output. When standard input ends, it kills itself and everything that it started.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import re
import signal
import sys
import tempfile
import threading
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

COLLECTED_AFTER = (100_000, 20, 100)
"""Thresholds that make garbage collection rarer than the default (see the `gc` module): this process holds the tables
as millions of small objects, and each full collection delays every request."""

WAKE_GAP_SECONDS = 0.005
"""Seconds that MiniStack's event sources sleep after a useless wake-up, instead of 0.05. Every write to a table with a
stream wakes them, and the next batch of messages waits until they have slept."""


PACKAGES_OF = ".packages"
"""The file in an artefact that holds the path of the folder with its packages."""


def main() -> None:
    """Serve until standard input ends."""
    sys.path.append(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # MiniStack's output goes to its log
    app = importlib.import_module("ministack.app")  # its packages are on the path only now
    gc.set_threshold(*COLLECTED_AFTER)
    functions = importlib.import_module("ministack.services.lambda_svc")
    functions._ESM_IDLE_WAKE_GAP_SECONDS = WAKE_GAP_SECONDS  # type: ignore[attr-defined] # noqa: SLF001 -- no setting
    _unpack_once()
    _transform_once(Path(sys.argv[1]).with_name("transformed.json"))
    _mend()
    threading.Thread(target=_follow, args=(answers,), daemon=True).start()
    sys.argv = ["ministack"]
    app.main()


def _unpack_once() -> None:
    """Make all workers of a function share one copy of its code, with its packages linked into place.

    MiniStack unpacks an artefact for each worker, and the parser's has thousands of files. As in AWS, where the code is
    on a read-only disk, no function writes to its code.
    """
    unpack, one_at_a_time = zipfile.ZipFile.extractall, threading.Lock()
    copies: dict[frozenset[tuple[str, int]], Path] = {}

    def share(packed: zipfile.ZipFile, path: str) -> None:
        content = frozenset((entry.filename, entry.CRC) for entry in packed.infolist())
        with one_at_a_time:
            if content not in copies:
                copy = Path(tempfile.mkdtemp(prefix="code-"))
                unpack(packed, copy)
                link_packages(copy)
                copies[content] = copy
        Path(path).rmdir()
        Path(path).symlink_to(copies[content])

    functions = importlib.import_module("ministack.core.lambda_runtime")
    functions.zipfile.ZipFile.extractall = share


def _transform_once(kept: Path) -> None:
    """Keep the last template that CreateStack has transformed, in the file `kept`.

    The SAM transform takes half a second of a cloud's start, mostly to import samtranslator. Its result depends only on
    the template: MiniStack gives it no parameters, and every local cloud is in the same region.
    """
    handlers = importlib.import_module("ministack.services.cloudformation.handlers")
    transform = handlers._apply_transforms  # noqa: SLF001 -- there is no other place

    def transformed(template: dict[str, Any], *parameters: Any) -> Any:  # noqa: ANN401 -- as MiniStack's
        given = hashlib.sha256(json.dumps(template).encode()).hexdigest()
        with suppress(OSError, ValueError, KeyError):  # no file yet, or one that a power failure has damaged
            known = json.loads(kept.read_text(encoding="utf-8"))
            if known["given"] == given:
                return known["result"]
        result = transform(template, *parameters)
        if type(result) is dict:  # a failure is a subclass
            with suppress(OSError):
                scratch = kept.with_suffix(f".{os.getpid()}")
                scratch.write_text(json.dumps({"given": given, "result": result}), encoding="utf-8")
                scratch.replace(kept)
        return result

    handlers._apply_transforms = transformed  # type: ignore[attr-defined] # noqa: SLF001


def _mend() -> None:
    """Make MiniStack behave as AWS does where Titlecard depends on it."""
    _keep_concurrency_a_number()
    _take_loopback_for_encrypted()
    _take_metric_math()
    _tell_leading_keys()
    _check_inserts()
    _record_calls(Path("calls.jsonl"))


def _keep_concurrency_a_number() -> None:
    """Fault: an event source mapping's `MaximumConcurrency` that is a `Ref` to a parameter stays a string.

    The poller compares it with a number and fails with a TypeError. AWS converts it to a number.
    """
    functions = importlib.import_module("ministack.services.lambda_svc")
    limit_of = functions._sqs_esm_concurrency  # noqa: SLF001 -- there is no other place

    def limit(source: dict[str, Any], *rest: Any) -> Any:  # noqa: ANN401 -- as MiniStack's
        scaling = source.get("ScalingConfig") or {}
        if "MaximumConcurrency" in scaling:
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        return limit_of(source, *rest)

    functions._sqs_esm_concurrency = limit  # type: ignore[attr-defined] # noqa: SLF001


def _take_loopback_for_encrypted() -> None:
    """Treat a connection within this machine as encrypted.

    MiniStack is right not to, but the bucket's policy would then refuse every call.
    """
    app = importlib.import_module("ministack.app")
    pin = app.pin_request_origin
    app.pin_request_origin = lambda source, _encrypted: pin(source, True)  # type: ignore[attr-defined] # noqa: FBT003 -- its


def _take_metric_math() -> None:
    """Fault: an AWS::CloudWatch::Alarm with `Metrics` fails its stack.

    MiniStack evaluates no metric here, so such an alarm is stored with its threshold alone.
    """
    formation = importlib.import_module("ministack.services.cloudformation.provisioners")
    record_of = formation._cw_metric_alarm_record  # noqa: SLF001 -- there is no other place

    def record(name: str, properties: dict[str, Any]) -> Any:  # noqa: ANN401 -- as MiniStack's
        if properties.get("Metrics"):
            rest = {key: value for key, value in properties.items() if key != "Metrics"}
            properties = {**rest, "MetricName": "MetricMath", "Namespace": "Titlecard"}
        return record_of(name, properties)

    formation._cw_metric_alarm_record = record  # type: ignore[attr-defined] # noqa: SLF001


def _tell_leading_keys() -> None:
    """Fault: the condition key `dynamodb:LeadingKeys` is never set.

    A statement with a `ForAllValues` condition on it therefore allows every key.
    """
    actions = importlib.import_module("ministack.core.iam_actions")
    context_of = actions.dynamodb_service_context

    def context(body: bytes) -> dict[str, Any]:
        keys = sorted(set(_partition_keys(json.loads(body or b"{}"))))
        found: dict[str, Any] = context_of(body)
        return found | ({"dynamodb:LeadingKeys": keys} if keys else {})

    actions.dynamodb_service_context = context  # type: ignore[attr-defined]


def _partition_keys(request: dict[str, Any]) -> list[str]:
    """Return the partition keys that a DynamoDB request names; every table here calls its partition key `pk`."""
    wanted = [request.get("Key"), request.get("Item")]
    for tables in (request.get("RequestItems") or {}).values():
        wanted += tables.get("Keys", []) if isinstance(tables, dict) else []
    for write in request.get("TransactItems") or ():
        wanted += [part.get("Key", part.get("Item")) for part in write.values()]
    keys = [str(it["pk"].get("S", "")) for it in wanted if it and "pk" in it]
    condition = str(request.get("KeyConditionExpression", ""))
    if condition.startswith("pk = :pk"):
        keys.append(str(request["ExpressionAttributeValues"][":pk"].get("S", "")))
    return keys


def _folder_of(resource: str) -> str:
    """Return a resource's ARN; for an S3 object, the ARN of its folder."""
    bucket, slash, key = resource.partition("/")
    return f"{bucket}/{key.split('/')[0]}/*" if slash and ":s3:" in bucket else resource


def _record_calls(file: Path) -> None:
    """Record every kind of call the first time it is made."""
    evaluator = importlib.import_module("ministack.core.iam_evaluator")
    enforce, evaluate = evaluator.enforce, evaluator.evaluate
    seen: set[str] = set()
    caller = threading.local()

    def evaluated(context: Any, *policies: Any) -> Any:  # noqa: ANN401 -- as MiniStack's
        caller.arn = context.principal_arn
        return evaluate(context, *policies)

    def recorded(key: str, action: str, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 -- as MiniStack's
        caller.arn = None  # stays None for the root user, who may do everything
        denied = enforce(key, action, *rest, **named)
        if caller.arn:
            keys = (named.get("service_context") or {}).get("dynamodb:LeadingKeys", [])
            call = {
                "caller": caller.arn,
                "action": action,
                "resource": _folder_of(str(named.get("resource_arn", "*"))),
                "keys": sorted({it.split("#")[0] + ("#" if "#" in it else "") for it in keys}),
                "allowed": denied is None,
            }
            line = json.dumps(call)
            if line not in seen:
                seen.add(line)
                with file.open("a", encoding="utf-8") as calls:
                    calls.write(line + "\n")
        return denied

    evaluator.enforce, evaluator.evaluate = recorded, evaluated  # type: ignore[attr-defined]


def link_packages(code: Path) -> None:
    """Link the packages that an artefact names beside its code, so that imports find both in one folder."""
    named = code / PACKAGES_OF
    if named.exists():
        for package in Path(named.read_text(encoding="utf-8")).iterdir():
            (code / package.name).symlink_to(package)


def _check_inserts() -> None:
    """Authorize the statements of a BatchExecuteStatement as AWS does: an INSERT by dynamodb:PartiQLInsert.

    MiniStack requires the permission "dynamodb:BatchExecuteStatement", which does not exist (service authorization
    reference, "Actions defined by Amazon DynamoDB"), and requires it on every table.
    """
    actions = importlib.import_module("ministack.core.iam_actions")
    known = actions.dynamodb_transaction_checks

    def checks(action: str, body: bytes, region: str, account: str) -> list[tuple[str, str]]:
        if action != "dynamodb:BatchExecuteStatement":
            return list(known(action, body, region, account))
        statements = [statement["Statement"] for statement in json.loads(body)["Statements"]]
        tables = {found[1] for it in statements if (found := re.match(r'INSERT INTO "([^"]+)"', it))}
        return [("dynamodb:PartiQLInsert", f"arn:aws:dynamodb:{region}:{account}:table/{it}") for it in sorted(tables)]

    setattr(actions, "dynamodb_transaction_checks", checks)  # noqa: B010 -- a module of another interpreter


def _follow(answers: TextIO) -> None:
    functions = importlib.import_module("ministack.services.lambda_svc")
    for line in sys.stdin:
        _, under_way = functions.executions_in_flight()
        print(
            sum(count for key, count in under_way.items() if key.endswith(f":{line.strip()}")), file=answers, flush=True
        )
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
