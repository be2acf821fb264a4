"""The functions' settings from their environment, validated once, at cold start.

Only template.yaml holds the numbers: a missing setting is an error and has no default.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from titlecard.domain.money import Total
from titlecard.domain.video import Policy
from titlecard.manifests import ReadingLimits

REDELIVERY_SPARE_SECONDS = 60
"""Seconds after its visibility timeout in which a notification may still be redelivered; later it counts as lost."""

_Positive = Annotated[int, Field(gt=0)]
_Count = Annotated[int, Field(ge=0)]


def _nothing_for_empty(value: object) -> object:
    """Return None for an empty variable, which stands for an empty parameter."""
    return None if value == "" else value


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    catalog_table: str
    work_queue_url: str


class _ManifestSettings(_Settings):
    manifest_max_bytes: _Positive
    manifest_max_ratio: _Positive
    row_max_bytes: _Positive

    @property
    def reading_limits(self) -> ReadingLimits:
        """The limits within which a manifest is read."""
        return ReadingLimits(
            row_max_bytes=self.row_max_bytes,
            total_max_bytes=self.manifest_max_bytes,
            max_ratio=self.manifest_max_ratio,
        )


class IngestSettings(_ManifestSettings):
    """The settings of the ingest function; sizes in bytes."""

    ingest_queue_url: str
    sweeper_function: str
    survey_sample_rows: _Positive
    ingest_continuations: _Positive
    batch_request_limit: _Count
    batch_token_limit: _Count
    batch_micro_usd_limit: _Count

    @property
    def batch_limits(self) -> Total:
        """The most that a batch may be charged, unless its upload sets a lower limit."""
        return Total(self.batch_request_limit, self.batch_token_limit, self.batch_micro_usd_limit)


class ParserSettings(_Settings):
    """The settings of the parser function; times in seconds, sizes in bytes."""

    ledger_table: str
    work_dead_letter_queue_url: str
    sweeper_function: str
    max_receive_count: _Positive
    visibility_seconds: _Positive
    attempt_cap: _Positive
    request_deadline_seconds: _Positive
    settle_margin_seconds: _Positive
    retry_backoff_seconds: _Positive
    breaker_threshold: _Positive
    tier_policy: Policy
    model: str
    service_tier: str
    max_output_tokens: _Positive
    openai_base_url: str = ""
    price_factor: Annotated[Annotated[Decimal, Field(ge=0)] | None, BeforeValidator(_nothing_for_empty)] = None
    """The endpoint's prices as a multiple of the list prices; None, or an empty variable, if its prices are known."""
    key_secret_prefix: str
    openai_api_key: SecretStr | None = None
    """The key of all projects in the local cloud; in AWS each project has its own key in Secrets Manager."""


class SweeperSettings(_ManifestSettings):
    """The settings of the sweeper function; times in seconds, sizes in bytes."""

    ledger_table: str
    ingest_queue_url: str
    work_dead_letter_queue_url: str
    ingest_visibility_seconds: _Positive
    sweeper_limit: _Positive
    audit_after_seconds: _Positive
    audit_rounds: _Positive

    @property
    def ingest_restart_seconds(self) -> int:
        """Seconds without progress after which ingest is restarted; until then the queue may redeliver its message."""
        return max(self.audit_after_seconds, self.ingest_visibility_seconds + REDELIVERY_SPARE_SECONDS)
