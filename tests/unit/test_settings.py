"""Settings: nothing starts unless all of them are given."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from titlecard.domain.video import Policy
from titlecard.settings import IngestSettings, ParserSettings, SweeperSettings

Settings = type[IngestSettings | ParserSettings | SweeperSettings]
ALL: list[Settings] = [IngestSettings, ParserSettings, SweeperSettings]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set every environment variable that any function reads."""
    for settings in ALL:
        for name in settings.model_fields:
            monkeypatch.setenv(name.upper(), "1")
    monkeypatch.setenv("TIER_POLICY", "auto")


@pytest.mark.parametrize(
    ("settings", "name"),
    [(settings, name) for settings in ALL for name, field in settings.model_fields.items() if field.is_required()],
)
def test_a_setting_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str) -> None:
    monkeypatch.delenv(name.upper())
    with pytest.raises(ValidationError, match=name):
        settings()


def test_no_number_has_a_default() -> None:
    defaults = {name for it in ALL for name, field in it.model_fields.items() if not field.is_required()}
    assert defaults <= {"openai_api_key", "openai_base_url", "price_factor"}


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (IngestSettings, "BATCH_REQUEST_LIMIT", "-1"),
        (IngestSettings, "ROW_MAX_BYTES", "0"),
        (IngestSettings, "MANIFEST_MAX_BYTES", "plenty"),
        (ParserSettings, "ATTEMPT_CAP", "0"),
        (ParserSettings, "REQUEST_DEADLINE_SECONDS", "1.5"),
        (ParserSettings, "TIER_POLICY", "sometimes"),
        (SweeperSettings, "AUDIT_ROUNDS", ""),
    ],
)
def test_an_invalid_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        settings()


def test_a_batch_limit_of_zero_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_REQUEST_LIMIT", "0")
    assert IngestSettings().batch_request_limit == 0


def test_the_policy_is_one_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIER_POLICY", "model")
    assert ParserSettings().tier_policy is Policy.MODEL


def test_a_key_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    assert "0123456789" not in repr(ParserSettings())


def test_in_aws_there_is_no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ParserSettings().openai_api_key is None


@pytest.mark.parametrize(("value", "factor"), [("", None), ("1.1", Decimal("1.1")), ("0", Decimal(0))])
def test_an_empty_price_factor_is_none(monkeypatch: pytest.MonkeyPatch, value: str, factor: Decimal | None) -> None:
    monkeypatch.setenv("PRICE_FACTOR", value)
    assert ParserSettings().price_factor == factor
