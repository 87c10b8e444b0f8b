"""Records made by their types alone, every text in them the same: what a page is given to show when it is tested."""

from typing import Any, TypeVar

import msgspec
from msgspec import inspect as kinds

T = TypeVar("T")


def sampled(kind: type[T], text: str = "x", number: int = 1) -> T:
    """Return a record in which each text is `text` and each number `number`; a word is the first that it may be."""
    made = _value(kinds.type_info(kind), text, number)
    return msgspec.convert(made, kind) if not isinstance(made, msgspec.Struct) else made  # type: ignore[return-value]


def _value(of: kinds.Type, text: str, number: int) -> Any:
    match of:
        case kinds.StructType():
            return of.cls(**{field.name: _value(field.type, text, number) for field in of.fields})
        case kinds.TupleType():
            return tuple(_value(item, text, number) for item in of.item_types)
        case kinds.VarTupleType():
            return (_value(of.item_type, text, number),)
        case kinds.DictType():
            return {_value(of.key_type, text, number): _value(of.value_type, text, number)}
        case kinds.UnionType():
            return _value(next(each for each in of.types if not isinstance(each, kinds.NoneType)), text, number)
        case kinds.LiteralType():
            return of.values[0]
        case kinds.EnumType():
            return next(iter(of.cls))
    plain: dict[type[kinds.Type], Any] = {kinds.StrType: text, kinds.IntType: number, kinds.BoolType: True}
    return plain.get(type(of), number / 2)
