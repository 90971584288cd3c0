"""Typed reading of JSON objects into dataclasses: the dataclass is the schema.

An unknown key, a missing one and a value of the wrong type are errors that name their place.
Plain code instead of a validation library: the manifest is the only schema here.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cspine_zoo.errors import ManifestError

T = TypeVar("T")

_JSON_NAME = {str: "a text", int: "an integer", float: "a number", bool: "true or false"}


def build(cls: type[T], value: object, where: str) -> T:
    """An instance of the dataclass ``cls`` from a JSON object.

    Fields without a default are required. A union of dataclasses is told apart by their
    literal ``kind``. What ``__post_init__`` refuses with a ValueError is refused here too.

    Args:
        cls: the dataclass that describes the object.
        value: the object, as the ``json`` module reads it.
        where: row and key of the object, for messages.

    Raises:
        ManifestError: the object is not what ``cls`` asks for; the reason names the key.
    """
    if not isinstance(value, Mapping):
        raise ManifestError("wrong_type", f"{where} must be an object, not {_shown(value)}.")
    hints = _hints(cls)  # type: ignore[arg-type]
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    _check_keys(value, {field.name: _is_required(field) for field in fields}, where)
    arguments = {
        field.name: _read(hints[field.name], value[field.name], f"{where}.{field.name}")
        for field in fields
        if field.name in value
    }
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ManifestError("wrong_value", f"{where}: {error}.") from error


def unbuild(instance: Any) -> dict[str, Any]:
    """The JSON object of a dataclass: what ``build`` reads back; defaults are left out."""
    return {
        field.name: _plain(getattr(instance, field.name))
        for field in dataclasses.fields(instance)
        if _is_required(field) or getattr(instance, field.name) != field.default
    }


def parse_json(text: str, where: str) -> Any:
    """JSON with what Python's reader lets pass refused: a key given twice, NaN, infinity.

    Raises:
        ManifestError: the text is not such JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestError("not_json", f"{where} is not valid JSON: {error}.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """Types of the fields; Python compiles the texts of the annotations anew at each call."""
    return get_type_hints(cls)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _check_keys(value: Mapping[str, object], required: dict[str, bool], where: str) -> None:
    for key in value:
        if key not in required:
            raise ManifestError("unknown_key", f"{where} has an unknown key {key!r}.")
    for key, needed in required.items():
        if needed and key not in value:
            raise ManifestError("missing_key", f"{where} lacks the key {key!r}.")


def _read(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin is Literal:
        return _read_choice(get_args(hint), value, where)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, where)
    if origin is tuple:
        return _read_tuple(get_args(hint), value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ManifestError("wrong_type", f"{where} must be an object, not {_shown(value)}.")
        return dict(value)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    return _read_scalar(hint, value, where)


def _read_scalar(hint: type[Any], value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # JSON writes 1 for 1.0
    if type(value) is not hint:
        raise ManifestError(
            "wrong_type", f"{where} must be {_JSON_NAME[hint]}, not {_shown(value)}."
        )
    return value


def _read_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in choices:
        known = ", ".join(str(choice) for choice in choices)
        raise ManifestError("wrong_value", f"{where} is {_shown(value)}; known: {known}.")
    return value


def _read_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    members = [option for option in options if option is not type(None)]
    if len(members) == 1:
        return _read(members[0], value, where)
    if not isinstance(value, Mapping) or "kind" not in value:
        raise ManifestError("missing_key", f"{where} lacks the key 'kind'.")
    by_kind = {get_args(_hints(member)["kind"])[0]: member for member in members}
    return build(
        by_kind[_read_choice(tuple(by_kind), value["kind"], f"{where}.kind")], value, where
    )


def _read_tuple(items: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ManifestError("wrong_type", f"{where} must be a list, not {_shown(value)}.")
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise ManifestError(
            "wrong_value", f"{where} must hold {len(items)} values, not {len(value)}."
        )
    return tuple(
        _read(hint, item, f"{where}[{index}]")
        for index, (hint, item) in enumerate(zip(items, value, strict=True))
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return unbuild(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
