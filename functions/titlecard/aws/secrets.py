"""The projects' keys for the model: one secret each, and never in a log.

A key is the secret `<prefix><project>` of Secrets Manager, as plain text. Locally one key serves, from the environment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import ClientError

from titlecard.aws.errors import KeyUnreadable

if TYPE_CHECKING:
    from pydantic import SecretStr

FRESH_SECONDS = 300
"""For how long a key, or that there is none, is taken from memory."""


_NO_SECRET = {"ResourceNotFoundException", "InvalidRequestException"}
"""There is no secret, or it is marked for deletion (GetSecretValue reference)."""


class ProjectKeys:
    """Knows the projects' keys.

    Args:
        prefix: what stands before the project in a secret's name.
        local: the key of every project, where there is no Secrets Manager to ask.
    """

    def __init__(self, prefix: str, *, local: SecretStr | None) -> None:
        self._prefix = prefix
        self._local = local.get_secret_value() if local else None
        self._secrets = SecretsProvider()
        self._keyless: dict[str, float] = {}

    def of(self, project: str, *, fresh: bool = False) -> str | None:
        """A project's key, None where it has none: then the local tier alone answers.

        Args:
            fresh: ask Secrets Manager, whatever is in memory.

        Raises:
            KeyUnreadable: Secrets Manager did not answer, or did not allow it.
        """
        if self._local:
            return self._local
        if not fresh and time.monotonic() < self._keyless.get(project, 0):
            return None
        try:
            secret = self._secrets.get(f"{self._prefix}{project}", max_age=FRESH_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            cause = error.__context__  # Powertools wraps whatever was raised
            if isinstance(cause, ClientError) and cause.response["Error"].get("Code") in _NO_SECRET:
                self._keyless[project] = time.monotonic() + FRESH_SECONDS
                return None
            message = f"the key of {project} could not be read from Secrets Manager: {type(cause).__name__}"
            raise KeyUnreadable(message) from error
        return str(secret).strip() or None
