"""Shortcuts past work that moto, botocore and Typer repeat, which took more than half the time of these tests.

No answer changes. The copy of a table that moto makes before each transaction, to restore the table if it fails, shares
the table's items; an update changes a copy of its item.
"""

from __future__ import annotations

import copy
import functools
import string
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from botocore import endpoint
from botocore.auth import SigV4Auth
from botocore.compat import ensure_bytes
from botocore.regions import EndpointRulesetResolver
from botocore.useragent import UserAgentString
from moto import backend_index
from moto.core import responses
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.serialize import AttributePicker, BaseJSONSerializer
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes
from moto.dynamodb.parsing.ast_nodes import Node  # type: ignore[attr-defined]
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined]
from moto.dynamodb.parsing.validators import DepthFirstTraverser  # type: ignore[attr-defined]
from moto.dynamodb.responses import DynamoHandler
from moto.moto_api._internal.moto_random import MotoRandom
from moto.sqs import models as queues
from moto.sqs.responses import SQSResponse
from tests import botocore_costs
from typer import testing
from typer.main import get_command

if TYPE_CHECKING:
    import pytest
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest
    from botocore.endpoint_provider import RuleSetEndpoint
    from botocore.model import OperationModel
    from moto.core.common_types import TYPE_RESPONSE
    from moto.core.request import Request
    from moto.core.serialize import AttributePickerContext

_KINDS = {"B", "BOOL", "BS", "L", "M", "N", "NS", "NULL", "S", "SS"}
"""The members of DynamoDB's AttributeValue. A value has one of them, and moto looks for each under six names."""

_SCALARS = {"BOOL", "N", "NULL", "S"}
"""The kinds of AttributeValue whose JSON is moto's own dictionary."""

_HANDLERS = {"AmazonSQS": SQSResponse, "DynamoDB_20120810": DynamoHandler}
"""moto's handlers of the services whose requests are JSON, by the beginning of the header `X-Amz-Target`."""

_POST = {"method": "POST", "path": "/", "values": {}}

_add_signature = SigV4Auth.add_auth
_process_request = BotocoreStubber.process_request
_pick = AttributePicker.__call__
_serialize = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001 -- moto has no public name for it
_lex = ConditionExpressionParser._lex_condition_expression  # noqa: SLF001 -- as above
_resolve = EndpointRulesetResolver.construct_endpoint
_node_types = DepthFirstTraverser.nodes_to_be_processed
_update = DynamoDBBackend.update_item
_found_endpoints: WeakKeyDictionary[EndpointRulesetResolver, RuleSetEndpoint] = WeakKeyDictionary()
_found_instances: dict[tuple[type, type | tuple[type, ...]], bool] = {}
_found_node_types: dict[type, tuple[type, ...]] = {}


def save(patch: pytest.MonkeyPatch) -> None:
    """Install the shortcuts until the patches are undone."""
    patch.setattr(Table, "__deepcopy__", _copied, raising=False)
    patch.setattr(DynamoDBBackend, "update_item", _update_copy)
    patch.setattr(AttributePicker, "__call__", _pick_kind)
    patch.setattr(BaseJSONSerializer, "_serialize_type_structure", _serialize_scalar)
    parsed = functools.cache(UpdateExpressionParser.make)  # its users change a copy
    patch.setattr(UpdateExpressionParser, "make", parsed)
    patch.setattr(ConditionExpressionParser, "_lex_condition_expression", _lexed)
    patch.setattr(Node, "__deepcopy__", _copied_node, raising=False)
    patch.setattr(ast_nodes, "isinstance", _is_instance, raising=False)  # of abstract classes, millions of times
    patch.setattr(DepthFirstTraverser, "nodes_to_be_processed", _types_to_be_processed)
    patch.setattr(BotocoreStubber, "process_request", _hand_over)
    asked_first = sorted(backend_index.backend_url_patterns, key=lambda it: it[0] != "s3")
    patch.setattr(backend_index, "backend_url_patterns", asked_first)
    patch.setattr(SigV4Auth, "add_auth", _add_no_signature)
    patch.setattr(SigV4Auth, "canonical_request", lambda _auth, _request: "")  # nobody checks a signature
    patch.setattr(SigV4Auth, "signature", lambda _auth, _text, _request: "0" * 64)
    patch.setattr(EndpointRulesetResolver, "construct_endpoint", _resolve_once)
    patch.setattr(endpoint, "uuid", SimpleNamespace(uuid4=lambda: "the name of a call"))
    patch.setattr(responses, "method_names_from_class", functools.cache(method_names_from_class))
    named = functools.cache(camelcase_to_underscores)
    for module in responses, queues:
        patch.setattr(module, "camelcase_to_underscores", named)
    patch.setattr(MotoRandom, "get_random_string", _random_string)
    patch.setattr(UserAgentString, "to_string", lambda _self: "tests")
    botocore_costs.save(patch)
    patch.setattr(testing, "_get_command", functools.cache(get_command))


def _hand_over(stubber: BotocoreStubber, request: AWSPreparedRequest) -> TYPE_RESPONSE | None:
    """Hand a request of JSON over to its handler; moto looks for this by URL and makes a WSGI environment first."""
    headers = {name: ensure_bytes(request.headers.get(name, "")).decode() for name in ("X-Amz-Target", "Content-Type")}
    service, _, _ = headers["X-Amz-Target"].partition(".")
    if service not in _HANDLERS:
        return _process_request(stubber, request)
    handler = _HANDLERS[service]()
    handler.headers, handler.querystring, handler.uri_match = headers, {}, {}
    handler.uri, handler.path, handler.method = request.url, "/", "POST"
    handler.region, handler.partition = "us-east-1", "aws"
    handler.access_key, handler.current_account = "AKIAEXAMPLE", DEFAULT_ACCOUNT_ID
    handler.response_headers = {"server": "amazon.com"}
    read = SimpleNamespace(headers=headers, content_type=headers["Content-Type"], data=request.body, **_POST)
    handler.parse_parameters(cast("Request", read))
    return handler.call_action()


def _add_no_signature(auth: SigV4Auth, request: AWSRequest) -> None:
    if type(auth) is not SigV4Auth or auth.credentials is None:  # S3's handler refuses strangers
        _add_signature(auth, request)


def _pick_kind(picker: AttributePicker, context: AttributePickerContext) -> Any:  # noqa: ANN401 -- as moto's
    if context.key in _KINDS and isinstance(context.obj, dict):
        return context.obj.get(context.key)
    return _pick(picker, context)


def _serialize_scalar(
    serializer: BaseJSONSerializer,
    serialized: dict[str, Any],
    value: Any,  # noqa: ANN401 -- as moto's
    shape: Any,  # noqa: ANN401 -- as moto's
    key: str,
) -> None:
    if (
        key
        and shape.name == "AttributeValue"
        and isinstance(value, dict)
        and len(value) == 1
        and value.keys() <= _SCALARS
    ):
        serialized[key] = value
    else:
        _serialize(serializer, serialized, value, shape, key)


def _lexed(parser: ConditionExpressionParser) -> deque[Any]:
    return deque(_tokens(parser.condition_expression))  # its user takes them out


@functools.cache
def _tokens(expression: str) -> tuple[Any, ...]:
    return tuple(_lex(ConditionExpressionParser(expression, None, None)))


def _resolve_once(
    resolver: EndpointRulesetResolver,
    operation_model: OperationModel,
    call_args: dict[str, Any] | None,
    request_context: dict[str, Any],
) -> RuleSetEndpoint:
    if operation_model.service_model.service_name not in {"dynamodb", "sqs"}:  # S3's endpoint depends on the bucket
        return _resolve(resolver, operation_model, call_args, request_context)
    if resolver not in _found_endpoints:
        _found_endpoints[resolver] = _resolve(resolver, operation_model, call_args, request_context)
    return _found_endpoints[resolver]


def _is_instance(node: object, kinds: type | tuple[type, ...]) -> bool:
    key = type(node), kinds
    if key not in _found_instances:
        _found_instances[key] = isinstance(node, kinds)
    return _found_instances[key]


def _types_to_be_processed(traverser: DepthFirstTraverser) -> tuple[type, ...]:
    kind = type(traverser)
    if kind not in _found_node_types:
        _found_node_types[kind] = _node_types(traverser)
    return _found_node_types[kind]


def _random_string(random: MotoRandom, length: int = 20, include_digits: bool = True, lower_case: bool = False) -> str:
    letters = string.ascii_letters + (string.digits if include_digits else "")
    drawn = "".join(random.choices(letters, k=length))
    return drawn.lower() if lower_case else drawn


def _copied_node(node: Any, _memo: object) -> Any:  # noqa: ANN401 -- moto's nodes have no types
    other = copy.copy(node)
    if node.children:
        other.children = [_copied_node(it, _memo) if isinstance(it, Node) else it for it in node.children]
        for child in other.children:
            if isinstance(child, Node):
                child.parent = other
    return other


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
