"""Settings as frozen dataclasses: read from nested mappings with every name and value checked, and documented.

A field's documentation is the string below it in the source. Ranges of numbers are part of their types: `Share`,
`Positive`, `NotNegative`, `Count` and others.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..errors import ArgumentError

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Allowed range of a number; `words` describe it in messages, after "must be"."""

    words: str
    low: float = -math.inf
    high: float = math.inf
    low_excluded: bool = False
    high_excluded: bool = False

    def __contains__(self, number: float) -> bool:
        if (self.low_excluded and number == self.low) or (self.high_excluded and number == self.high):
            return False
        return self.low <= number <= self.high


# Upper limits are far above what makes sense, and far below what a machine cannot hold or a float cannot represent.
Share = Annotated[float, Range("a number from 0 to 1", 0, 1)]
Positive = Annotated[float, Range("a positive number of at most a million", 0, 1e6, low_excluded=True)]
NotNegative = Annotated[float, Range("a number from 0 to a million", 0, 1e6)]
Momentum = Annotated[float, Range("a number from 0 to below 1", 0, 1, high_excluded=True)]
Count = Annotated[int, Range("a whole number from 1 to a billion", 1, 10**9)]
Batch = Annotated[int, Range("a whole number from 1 to 4096", 1, 4096)]
Frames = Annotated[int, Range("a whole number from 1 to 10,000", 1, 10_000)]
Width = Annotated[int, Range("a whole number from 1 to 4096", 1, 4096)]
Bases = Annotated[int, Range("a whole number from 1 to 1024", 1, 1024)]
Seed = Annotated[int, Range("a whole number from 0 to 4,294,967,295", 0, 2**32 - 1)]


def merged(layers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge nested mappings; later ones override earlier ones, key by key at every depth."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
            result[name] = merged([result[name], value]) if both else value
    return result


def read_settings(kind: type[T], values: Mapping[str, Any], renamed: Mapping[str, str] | None = None) -> T:
    """Read the settings of a dataclass from a nested mapping; missing ones have their defaults.

    Args:
        kind: a frozen dataclass, the types of whose fields are str, int, float, bool, Literal, tuple, dict of ints,
            the ranges of this module, or further dataclasses of this kind.
        values: name -> value, mappings for nested dataclasses. Numbers may be strings, as YAML reads 1e-4.
        renamed: dotted names of earlier versions -> current names, for error messages.

    Raises:
        ArgumentError: an unknown name at any depth, with the nearest known one; a missing or unusable value.
    """
    changes = _Reader(kind, renamed or {}).changes(kind, None, values, "")
    for setting in described(kind):
        if setting.default is dataclasses.MISSING and setting.name not in changes:
            raise ArgumentError(f"The setting {setting.name} is missing: {setting.doc}")
    return kind(**changes)


@dataclass(frozen=True)
class _Reader:
    root: type
    renamed: Mapping[str, str]

    def changes(self, kind: type, default: Any, values: object, path: str) -> dict[str, Any]:
        """Arguments of a dataclass. `default`: the settings that they modify; None: the defaults of the class."""
        if not isinstance(values, Mapping):
            raise ArgumentError(f"{path} must be a mapping of names to values, not {values!r}.")
        hints = get_type_hints(kind, include_extras=True)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        changes = {}
        for name, value in values.items():
            dotted = f"{path}.{name}" if path else str(name)
            if name not in fields:
                raise ArgumentError(self.unknown(dotted, value, list(fields)))
            if dataclasses.is_dataclass(hints[name]):
                nested: Any = getattr(default, name) if default is not None else fields[name].default
                changes[name] = dataclasses.replace(nested, **self.changes(hints[name], nested, value, dotted))
            else:
                changes[name] = convert(value, hints[name], dotted)
        return changes

    def unknown(self, dotted: str, value: object, known: list[str]) -> str:
        """The message for a setting that does not exist."""
        nested = [f"{dotted}.{name}" for name in value] if isinstance(value, Mapping) else []
        for name in (*nested, dotted):
            if name in self.renamed:
                return f'The setting "{name}" is called {self.renamed[name]} now.'
        path, _, name = dotted.rpartition(".")
        if near := difflib.get_close_matches(name, known, n=1):
            return f'There is no setting "{dotted}"; did you mean {path + "." if path else ""}{near[0]}?'
        elsewhere = {setting.name.rpartition(".")[2]: setting.name for setting in described(self.root)}
        if near := difflib.get_close_matches(name, elsewhere, n=1):
            return f'There is no setting "{dotted}"; did you mean {elsewhere[near[0]]}?'
        return f'There is no setting "{dotted}"; known {f"in {path} " if path else ""}are {", ".join(sorted(known))}.'


def convert(value: object, hint: Any, name: str) -> Any:
    """Convert a value to the type of its field. Raises ArgumentError with the setting's name and expected type."""
    allowed: Range | None = None
    if get_origin(hint) is Annotated:
        hint, allowed = get_args(hint)
    kind, parts = get_origin(hint) or hint, get_args(hint)
    words = allowed.words if allowed is not None else type_words(hint)
    wrong = ArgumentError(f"{name} must be {words}, not {value!r}.")
    if kind is Literal:
        # YAML reads a plain `no` as false.
        value = "no" if value is False and "no" in parts else value
        if value not in parts:
            raise wrong
        return value
    if kind is tuple:
        if not isinstance(value, (list, tuple)) or (... not in parts and len(value) != len(parts)):
            raise wrong
        types = [parts[0]] * len(value) if ... in parts else parts
        return tuple(convert(item, part, name) for item, part in zip(value, types, strict=True))
    if kind is dict:
        if not isinstance(value, Mapping):
            raise wrong
        return {convert(key, parts[0], name): convert(item, parts[1], name) for key, item in value.items()}
    if kind in (int, float):
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)  # type: ignore[arg-type]
            if not math.isfinite(number) or (kind is int and number != int(number)):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise wrong from None
        if allowed is not None and number not in allowed:
            raise wrong
        return kind(number)
    if not isinstance(value, kind):
        raise wrong
    return value


def type_words(hint: Any) -> str:
    """Describe a type in words: "a whole number", "a list of texts"."""
    if get_origin(hint) is Annotated:
        return str(get_args(hint)[1].words)
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if kind is tuple:
        plural = _plural(parts[0])
        return f"a list of {plural}" if ... in parts else f"a list of {len(parts)} {plural}"
    if kind is dict:
        return f"a mapping of {_plural(parts[0])} to {_plural(parts[1])}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]


def _plural(hint: Any) -> str:
    """Describe several values of a type in words: "whole numbers", "numbers, each a number from 0 to 1"."""
    if get_origin(hint) is not Annotated:
        return type_words(hint).removeprefix("a ") + "s"
    kind, allowed = get_args(hint)
    return f"{_plural(kind)}, each {allowed.words}"


def field_docs(kind: type) -> dict[str, str]:
    """Name -> documentation, on one line, of a dataclass's fields, including inherited ones."""
    docs: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in pairwise(definition.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                docs[field.target.id] = " ".join(str(text.value.value).split())
    return docs


@dataclass(frozen=True)
class Setting:
    """Description of a setting for help texts."""

    name: str
    """Dotted name."""
    type: str
    default: Any
    """`dataclasses.MISSING` if the setting is required."""
    doc: str


def described(kind: type, default: Any = None, path: str = "") -> Iterator[Setting]:
    """Describe all settings of a dataclass and of nested ones. `default`: an instance with their defaults."""
    hints, docs = get_type_hints(kind, include_extras=True), field_docs(kind)
    for field in dataclasses.fields(kind):
        value = getattr(default, field.name) if default is not None else field.default
        if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        if dataclasses.is_dataclass(hints[field.name]):
            yield from described(hints[field.name], value, f"{path}{field.name}.")
        else:
            yield Setting(f"{path}{field.name}", type_words(hints[field.name]), value, docs.get(field.name, ""))


def flattened(settings: Any, path: str = "") -> dict[str, Any]:
    """Values of a dataclass and of nested ones, by dotted name."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            values |= flattened(value, f"{path}{field.name}.")
        else:
            values[f"{path}{field.name}"] = value
    return values
