"""Caches for work that moto, botocore and Typer repeat, which took more than half the time of these tests.

No answer changes. The copy of a table that moto makes before each transaction, to restore the table if it fails, shares
the table's items; an update changes a copy of its item.
"""

from __future__ import annotations

import copy
import functools
import string
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from botocore.loaders import JSONFileLoader, Loader
from botocore.useragent import UserAgentString
from moto.core import responses
from moto.core.serialize import AttributePicker
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.moto_api._internal.moto_random import MotoRandom
from moto.sqs import models as queues
from typer import testing
from typer.main import get_command

if TYPE_CHECKING:
    import pytest
    from moto.core.serialize import AttributePickerContext

_KINDS = {"B", "BOOL", "BS", "L", "M", "N", "NS", "NULL", "S", "SS"}
"""The members of DynamoDB's AttributeValue. A value has one of them, and moto looks for each under six names."""

_pick = AttributePicker.__call__
_update = DynamoDBBackend.update_item
_services = Loader.list_available_services
_found_services: dict[tuple[str, ...], list[str]] = {}


def save(patch: pytest.MonkeyPatch) -> None:
    """Install the caches until the patches are undone."""
    patch.setattr(Table, "__deepcopy__", _copied, raising=False)
    patch.setattr(DynamoDBBackend, "update_item", _update_copy)
    patch.setattr(AttributePicker, "__call__", _pick_kind)
    patch.setattr(responses, "method_names_from_class", functools.cache(method_names_from_class))
    named = functools.cache(camelcase_to_underscores)
    for module in responses, queues:
        patch.setattr(module, "camelcase_to_underscores", named)
    patch.setattr(MotoRandom, "get_random_string", _random_string)
    patch.setattr(UserAgentString, "to_string", lambda _self: "tests")
    read = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
    patch.setattr(JSONFileLoader, "load_file", lambda _self, path: read(path))
    patch.setattr(Loader, "list_available_services", _known_services)
    patch.setattr(testing, "_get_command", functools.cache(get_command))


def _pick_kind(picker: AttributePicker, context: AttributePickerContext) -> Any:  # noqa: ANN401 -- as moto's
    if context.key in _KINDS and isinstance(context.obj, dict):
        return context.obj.get(context.key)
    return _pick(picker, context)


def _random_string(random: MotoRandom, length: int = 20, include_digits: bool = True, lower_case: bool = False) -> str:
    letters = string.ascii_letters + (string.digits if include_digits else "")
    drawn = "".join(random.choices(letters, k=length))
    return drawn.lower() if lower_case else drawn


def _known_services(loader: Loader, type_name: str) -> list[str]:
    key = (*loader.search_paths, type_name)
    if key not in _found_services:
        _found_services[key] = _services(loader, type_name)
    return _found_services[key]


def _copied(table: Table, _memo: object) -> Table:
    other = copy.copy(table)
    other.items = defaultdict(dict, {partition: dict(items) for partition, items in table.items.items()})
    return other


def _update_copy(
    backend: DynamoDBBackend,
    table_name: str,
    key: dict[str, Any],
    *rest: Any,  # noqa: ANN401 -- as moto's
    **named: Any,  # noqa: ANN401 -- as moto's
) -> Any:  # noqa: ANN401 -- as moto's
    table = backend.get_table(table_name)
    partition, sort = backend.get_keys_value(table, key)
    if (item := table.get_item(partition, sort)) is not None:
        table.items[partition][sort] = copy.deepcopy(item)
    return _update(backend, table_name, key, *rest, **named)
