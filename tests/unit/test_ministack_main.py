"""The launcher of MiniStack: the transformed template that it keeps between clouds."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from titlecard_console.local_cloud import ministack_main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_template_is_transformed_once_and_a_damaged_copy_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    transformed: list[Any] = []

    def transform(template: dict[str, Any], _parameters: object) -> dict[str, Any]:
        transformed.append(template)
        return {"Resources": template}

    handlers: Any = SimpleNamespace(_apply_transforms=transform)
    monkeypatch.setitem(sys.modules, "ministack.services.cloudformation.handlers", handlers)
    kept = tmp_path / "transformed.json"
    ministack_main._transform_once(kept)  # noqa: SLF001 -- MiniStack's own modules are not here
    one, other = {"A": "a"}, {"A": "b"}
    for template in (one, one, other, other):
        assert handlers._apply_transforms(template, []) == {"Resources": template}  # noqa: SLF001 -- as above
    assert transformed == [one, other]
    kept.write_text('{"given": ', encoding="utf-8")
    assert handlers._apply_transforms(other, []) == {"Resources": other}  # noqa: SLF001 -- as above
    assert transformed == [one, other, other]
