"""`infra/adopt.py`: what it says if CloudFormation does not import the resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

import adopt

if TYPE_CHECKING:
    from pathlib import Path

ASKED = ("StackName", "ChangeSetName", "ChangeSetType", "TemplateBody", "ResourcesToImport")


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["adopt.py", "titlecard", "--catalog", "wrong", "--ledger", "ledger", "--bucket", "bucket"]
    )


def test_an_import_that_failed_is_explained_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    formation = boto3.client("cloudformation", region_name="eu-west-1")
    monkeypatch.setattr(boto3, "client", lambda _: formation)
    names: list[str] = []

    def note(params: dict[str, Any], **_: object) -> None:
        names.append(params["ChangeSetName"])

    formation.meta.events.register("before-parameter-build.cloudformation.CreateChangeSet", note)
    with Stubber(formation) as stub:
        for _ in range(2):
            failed = {"Status": "FAILED", "StatusReason": "The table wrong does not exist."}
            stub.add_response("create_change_set", {}, dict.fromkeys(ASKED, ANY))
            stub.add_response("describe_change_set", failed, {"StackName": "titlecard", "ChangeSetName": ANY})
            assert adopt.main() == 1
            assert capsys.readouterr().err == "The resources could not be imported: The table wrong does not exist.\n"
    assert len(set(names)) == 2


def test_a_missing_region_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "nothing"))
    assert adopt.main() == 1
    assert "The resources could not be imported: No AWS region is set." in capsys.readouterr().err
