"""`titlecard key`: each project's provider key, in Secrets Manager."""

from __future__ import annotations

from getpass import getpass
from pathlib import Path

import typer

from titlecard.domain.endpoints import may_be_key
from titlecard_console import stacks
from titlecard_console.commands import options
from titlecard_console.errors import CommandError
from titlecard_console.input_file import STANDARD_INPUT, read_bytes
from titlecard_console.output import can_ask, confirm, say

RECOVERY_DAYS = 7
"""Days in which a removed key can be restored: the shortest that Secrets Manager accepts (DeleteSecret reference)."""

CACHED_MINUTES = 5
"""Minutes for which a worker keeps using a key that it has read; see `titlecard.aws.secrets.FRESH_SECONDS`."""

key = typer.Typer(
    name="key",
    no_args_is_help=True,
    help="""Store and remove the projects' keys for the model.

`titlecard key set djangocon --stack titlecard < key.txt`

`titlecard key remove djangocon --stack titlecard`
""",
)


@key.command("set")
def set_key(
    project: options.ProjectName,
    *,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Store a project's key, from a prompt or standard input.

    `titlecard key set djangocon --stack titlecard < key.txt`

    A worker that has read the old key keeps using it for up to five minutes.
    """
    stack = stacks.find(stack_name, state)
    prompt = f"The key of {project}: "
    secret = getpass(prompt) if can_ask() else read_bytes(Path(STANDARD_INPUT)).decode(errors="replace")
    secret = secret.strip()
    if not may_be_key(secret):
        raise CommandError("That is not a key: it is empty, or has characters that no key has.")
    name = _secret_name(stack, project)
    secrets = stack.client("secretsmanager")
    try:
        secrets.create_secret(Name=name, SecretString=secret)
    except (secrets.exceptions.ResourceExistsException, secrets.exceptions.InvalidRequestException):
        if "DeletedDate" in secrets.describe_secret(SecretId=name):  # removed, but not yet deleted by Secrets Manager
            secrets.restore_secret(SecretId=name)
        secrets.put_secret_value(SecretId=name, SecretString=secret)
    say(f"The key of {project} is stored as {name}.")


@key.command("remove")
def remove_key(
    project: options.ProjectName,
    *,
    yes: options.Yes = False,
    stack_name: options.StackName = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Remove a project's key; afterwards only the local tier answers.

    `titlecard key remove djangocon --stack titlecard`

    Secrets Manager keeps the key for seven days; `titlecard key set` can replace it at any time. A worker that has read
    the key keeps using it for up to five minutes: `titlecard pause` stops a project at once. If somebody else has the
    key, also delete it at the provider.
    """
    stack = stacks.find(stack_name, state)
    name = _secret_name(stack, project)
    secrets = stack.client("secretsmanager")
    try:
        removed = "DeletedDate" in secrets.describe_secret(SecretId=name)
    except secrets.exceptions.ResourceNotFoundException:
        removed = True
    if removed:
        raise CommandError(f"{project} has no key: there is no secret {name}.")
    if not yes and not confirm(f"Remove the key of {project} ({name})?"):
        raise typer.Abort
    secrets.delete_secret(SecretId=name, RecoveryWindowInDays=RECOVERY_DAYS)
    say(f"The key of {project} is removed; workers stop using it within {CACHED_MINUTES} minutes.")


def _secret_name(stack: stacks.Stack, project: str) -> str:
    """Return the name of a project's secret, from the parser's own settings."""
    function = stack.outputs["ParserFunction"]
    configuration = stack.client("lambda").get_function_configuration(FunctionName=function)
    return f"{configuration['Environment']['Variables']['KEY_SECRET_PREFIX']}{project}"
