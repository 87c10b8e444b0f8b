"""Records with every field set to something that is not its default, whatever fields they have."""

from itertools import count
from typing import Any, TypeVar

import msgspec
from msgspec import inspect as kinds
from msgspec import structs

T = TypeVar("T", bound=msgspec.Struct)
EMPTY: tuple[object, ...] = (None, (), {}, "", 0, False)


def filled(kind: type[T]) -> T:
    """Return a record in which each field, and each field within it, has a value of its own."""
    record = Filler().value(kind.__name__, kinds.type_info(kind))
    assert isinstance(record, kind)
    assert not left_out(record), f"nothing in {left_out(record)}"
    return record


def left_out(record: msgspec.Struct) -> list[str]:
    """Return the names of the fields that have their default, or hold nothing."""
    held = [(field, getattr(record, field.name)) for field in structs.fields(record)]
    return [field.name for field, value in held if value in EMPTY or value == field.default]


class Filler:
    """Makes values by type; numbers and texts are all different."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def value(self, name: str, of: kinds.Type) -> Any:
        """Return a value of a type; `name` goes into texts."""
        match of:
            case kinds.StructType():
                return of.cls(**{field.name: self.value(field.name, field.type) for field in of.fields})
            case kinds.TupleType():
                return tuple(self.value(name, item) for item in of.item_types)
            case kinds.VarTupleType():
                return self.value(name, of.item_type), self.value(name, of.item_type)
            case kinds.DictType():
                return {self.value(name, of.key_type): next(self._numbers)}
            case kinds.UnionType():
                return self.value(name, next(each for each in of.types if not isinstance(each, kinds.NoneType)))
            case kinds.EnumType():
                return list(of.cls)[-1]
        return self._plain(name, of)

    def _plain(self, name: str, of: kinds.Type) -> Any:
        number = next(self._numbers)
        plain = {kinds.BoolType: True, kinds.IntType: 10**15 + number, kinds.FloatType: number / 128}
        return f"{name} {number}" if isinstance(of, kinds.StrType) else plain[type(of)]
