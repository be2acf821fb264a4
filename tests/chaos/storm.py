"""The storm inside the functions: calls to AWS that are throttled, lost, delayed or repeated, and sudden deaths.

The faults are injected below botocore, at its HTTP session, so that botocore's own retries and timeouts are tested too.
The code is appended to each function's entry point; production code does not change.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tests.end_to_end.poison import poisoned

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = {
    "IngestFunction": "ingest/app.py",
    "ParserFunction": "parser/app.py",
    "SweeperFunction": "sweeper/app.py",
}
"""The functions in the storm, with the file of each that the code is appended to."""


@dataclass(frozen=True)
class Weather:
    """The probability of each fault, for each call to AWS."""

    throttled: float = 0.0
    cancelled: float = 0.0
    """A transaction is cancelled by a conflict."""
    request_lost: float = 0.0
    answer_lost: float = 0.0
    slow: float = 0.0
    sent_twice: float = 0.0
    """A call that sends messages is sent twice."""
    partly_refused: float = 0.0
    """A call that sends several messages or publishes events is partly refused."""
    killed_before: float = 0.0
    killed_after: float = 0.0


CALM = Weather()
STORM = Weather(
    throttled=0.04,
    cancelled=0.03,
    request_lost=0.01,
    answer_lost=0.015,
    slow=0.02,
    sent_twice=0.15,
    partly_refused=0.03,
    killed_before=0.003,
    killed_after=0.003,
)

_CODE = """

import json as _json
import os as _os
import random as _random
import signal as _signal
import time as _time

from botocore import httpsession as _httpsession
from botocore.awsrequest import AWSResponse as _AWSResponse
from botocore.exceptions import ConnectTimeoutError as _ConnectTimeout
from botocore.exceptions import ReadTimeoutError as _ReadTimeout

_WEATHER, _NOTES = "{weather}", "{notes}"
_really_send = _httpsession.URLLib3Session.send


class _Raw:
    def __init__(self, body):
        self._body = body

    def stream(self, *_args, **_kwargs):
        yield self._body


def _happens(what, weather, operation):
    if _random.random() >= weather.get(what, 0.0):
        return False
    with open(_NOTES, "a") as notes:
        notes.write(f"{what} {operation}\\n")
    return True


def _answer(request, status, kind, **body):
    headers = {"content-type": "application/x-amz-json-1.0"}
    content = _json.dumps({"__type": kind, "message": "thrown by the storm", **body}).encode()
    return _AWSResponse(request.url, status, headers, _Raw(content))


def _throttled(request, service):
    if service == "s3":
        content = b"<Error><Code>SlowDown</Code><Message>thrown by the storm</Message></Error>"
        return _AWSResponse(request.url, 503, {"content-type": "application/xml"}, _Raw(content))
    kinds = {"sqs": "com.amazonaws.sqs#RequestThrottled", "dynamodb": "com.amazonaws.dynamodb#ThrottlingException"}
    return _answer(request, 400, kinds.get(service, "ThrottlingException"))


def _cancelled(request):
    writes = _json.loads(request.body)["TransactItems"]
    reasons = [{"Code": "TransactionConflict"}, *({"Code": "None"} for _ in writes[1:])]
    return _answer(request, 400, "com.amazonaws.dynamodb#TransactionCanceledException", CancellationReasons=reasons)


def _stormy(self, request):
    target = request.headers.get("X-Amz-Target", b"")
    target = target.decode() if isinstance(target, bytes) else target
    operation = target.rpartition(".")[2] or request.method
    service = "dynamodb" if target.startswith("DynamoDB") else "sqs" if "SQS" in target else ""
    service = service or ("events" if "Events" in target else "s3")
    try:
        with open(_WEATHER) as file:
            weather = _json.load(file)
    except (OSError, ValueError):
        return _really_send(self, request)
    where = f"{service}.{operation}"
    if _happens("killed_before", weather, where):
        _os.kill(_os.getpid(), _signal.SIGKILL)
    if _happens("throttled", weather, where):
        return _throttled(request, service)
    if operation == "TransactWriteItems" and _happens("cancelled", weather, where):
        return _cancelled(request)
    if _happens("request_lost", weather, where):
        raise _ConnectTimeout(endpoint_url=request.url)
    if _happens("slow", weather, where):
        _time.sleep(_random.uniform(0.5, 3.0))
    if operation in ("SendMessage", "SendMessageBatch") and _happens("sent_twice", weather, where):
        _really_send(self, request)
    response = _really_send(self, request)
    if _happens("killed_after", weather, where):
        _os.kill(_os.getpid(), _signal.SIGKILL)
    if _happens("answer_lost", weather, where):
        raise _ReadTimeout(endpoint_url=request.url)
    if operation == "SendMessageBatch" and response.status_code == 200 and _happens("partly_refused", weather, where):
        body = _json.loads(response.content)
        if body.get("Successful"):  # its answer is lost in this entry: it is sent, and sent again
            entry = body["Successful"].pop()
            failed = {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "thrown"}
            body.setdefault("Failed", []).append(failed)
            return _AWSResponse(request.url, 200, response.headers, _Raw(_json.dumps(body).encode()))
    return response


_httpsession.URLLib3Session.send = _stormy
"""


class Storm:
    """The weather of a stack's functions, and a record of the faults that they met.

    Args:
        folder: the folder of the weather and the records.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._weather = folder / "weather.json"
        self._notes = folder / "notes.txt"
        self.turn(CALM)

    def artefacts(self, built: Path) -> Path:
        """Copy the functions' artefacts and add the storm to the copy."""
        code = _CODE.replace("{weather}", str(self._weather)).replace("{notes}", str(self._notes))
        for function, entry in ENTRIES.items():
            poisoned(built, self._folder / "artefacts", function, entry, code)
        return self._folder / "artefacts"

    def turn(self, weather: Weather) -> None:
        """Change the weather, also for running functions."""
        anew = self._weather.with_suffix(".new")
        anew.write_text(json.dumps(asdict(weather)), encoding="utf-8")
        anew.replace(self._weather)

    def met(self) -> Counter[str]:
        """Count the faults by fault and operation."""
        if not self._notes.exists():
            return Counter()
        return Counter(self._notes.read_text(encoding="utf-8").splitlines())
