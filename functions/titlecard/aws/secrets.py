"""The projects' keys for the model: one secret for each project, never logged.

A key is the plain text of the secret `<prefix><project>` in Secrets Manager. Locally, all projects share one key from
the environment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import ClientError

from titlecard.aws import timeouts
from titlecard.aws.errors import KeyUnreadable

if TYPE_CHECKING:
    from pydantic import SecretStr

FRESH_SECONDS = 300
"""How long a key, or its absence, is cached in memory, in seconds."""

UNREADABLE_SECONDS = 30
"""How long an unreadable key is not read again, in seconds: otherwise a worker would wait for each of its rows."""

_NO_SECRET = {"ResourceNotFoundException", "InvalidRequestException"}
"""The error codes of a secret that does not exist or is marked for deletion (GetSecretValue reference)."""


class ProjectKeys:
    """The projects' keys.

    Args:
        prefix: the part of a secret's name before the project.
        local: the key of every project if there is no Secrets Manager, else None.
    """

    def __init__(self, prefix: str, *, local: SecretStr | None) -> None:
        self._prefix = prefix
        self._local = local.get_secret_value() if local else None
        self._secrets = SecretsProvider(boto_config=timeouts.SECRETS)
        self._keyless: dict[str, float] = {}
        self._unreadable: dict[str, tuple[float, str]] = {}

    def of(self, project: str, *, fresh: bool = False) -> str | None:
        """Return a project's key, None if it has none; without a key only the local tier answers.

        Args:
            fresh: whether to ask Secrets Manager and ignore the cache.

        Raises:
            KeyUnreadable: Secrets Manager did not answer or denied access.
        """
        if self._local:
            return self._local
        if not fresh and time.monotonic() < self._keyless.get(project, 0):
            return None
        until, said = self._unreadable.get(project, (0.0, ""))
        if time.monotonic() < until:
            raise KeyUnreadable(said)
        try:
            secret = self._secrets.get(f"{self._prefix}{project}", max_age=FRESH_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            cause = error.__context__  # Powertools wraps the original exception
            if isinstance(cause, ClientError) and cause.response["Error"].get("Code") in _NO_SECRET:
                self._keyless[project] = time.monotonic() + FRESH_SECONDS
                return None
            message = f"the key of {project} could not be read from Secrets Manager: {type(cause).__name__}"
            self._unreadable[project] = (time.monotonic() + UNREADABLE_SECONDS, message)
            raise KeyUnreadable(message) from error
        return str(secret).strip() or None
