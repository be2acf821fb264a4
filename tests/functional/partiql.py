"""BatchExecuteStatement of INSERTs for moto, which does not accept parameters in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moto.dynamodb.models import DynamoDBBackend

_INSERT = re.compile(r"""INSERT INTO "(?P<table>[^"]+)" VALUE \{(?P<attributes>('\w+': \?(, )?)+)\}""")


def insert(backend: DynamoDBBackend, statements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put each item unless its key exists (DynamoDB developer guide, "PartiQL insert statements")."""
    answers: list[dict[str, Any]] = []
    for statement in statements:
        found = _INSERT.fullmatch(statement["Statement"])
        assert found, f"no INSERT of parameters: {statement['Statement']}"
        names = re.findall(r"'(\w+)'", found["attributes"])
        item = dict(zip(names, statement["Parameters"], strict=True))
        if backend.get_item(found["table"], {name: item[name] for name in ("pk", "sk")}) is not None:
            answers.append({"Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}})
            continue
        backend.put_item(found["table"], item)
        answers.append({"TableName": found["table"]})
    return answers
