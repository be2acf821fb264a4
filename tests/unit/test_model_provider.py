"""The loopback provider as a separate process, as the emulated cloud's functions use it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from titlecard.domain.money import PriceList
from titlecard.domain.video import Video
from titlecard.extraction import LocalParse
from titlecard.llm import ModelTier
from titlecard.llm.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@contextmanager
def process() -> Iterator[dict[str, str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.provider"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            yield json.loads(child.stdout.readline())
        finally:
            child.terminate()


def control(url: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data)) as response:  # noqa: S310 - loopback
        return json.load(response)


def test_another_process_sets_its_faults_and_reads_its_bill() -> None:
    with process() as urls:
        control(f"{urls['control_url']}/faults", {"sequence": ["server_error"], "by_text": {}, "delay": 0})
        with closing(
            ModelTier("gpt-6-luna", max_output_tokens=400, prices=PriceList.packaged(), base_url=urls["base_url"])
        ) as tier:
            request = tier.prepare(
                Video(id="1", title="A Talk"), LocalParse("A Talk", (), 0.1, sure=False, source="nobody"), ""
            )
            with pytest.raises(Retry):
                tier.ask(request, key="sk-test", deadline_seconds=30)
            tier.ask(request, key="sk-test", deadline_seconds=30)
        bill = control(f"{urls['control_url']}/bill")
    assert [post["fault"] for post in bill["posts"]] == ["server_error", "ok"]
    assert bill["input_tokens"] == sum(post["input_tokens"] for post in bill["posts"])
