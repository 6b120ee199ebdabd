"""Methods by name: image codecs and token compressors, and their parameters from text."""

import dataclasses
import json
import types
from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from freqq.errors import UserError
from freqq.image import ALIASES as CODEC_ALIASES
from freqq.image import CODECS
from freqq.names import unknown
from freqq.tokens import ALIASES as COMPRESSOR_ALIASES
from freqq.tokens import COMPRESSORS, compressor

if TYPE_CHECKING:
    from freqq.image.base import ImageCodec
    from freqq.tokens.base import TokenCompressor

Method: TypeAlias = "ImageCodec | TokenCompressor"

METHODS: Mapping[str, type[Any]] = ChainMap[str, type[Any]](COMPRESSORS, CODECS)
"""All methods, the image methods first. What is added to either table is one, too."""

ALIASES = COMPRESSOR_ALIASES | CODEC_ALIASES
"""Second names of methods."""


def method_names() -> list[str]:
    """All methods by their one name, the image methods first; none is imported."""
    return [name for name in METHODS if name not in ALIASES]


def check_names(methods: Iterable[str]) -> None:
    """Refuse names that can be no method's, without importing any method.

    Raises
    ------
    UserError
        If a name, or one of the two of a combination such as ``token-lowpass+quantize``, is unknown.
    """
    for method in methods:
        for name in parts(method):
            if name not in METHODS and name not in ALIASES:
                raise unknown("method", name, (*method_names(), *ALIASES))


def parts(method: str) -> tuple[str, ...]:
    """The names of the methods that a combination is of; of any other method, its own."""
    first, plus, second = method.partition("+")
    return (first, f"token-{second}") if plus and first.startswith("token-") else (method,)


def packages(method: str) -> list[str]:
    """The installed packages, with their versions, that a method's name comes from; none of freqq's own."""
    found = (table.package(name) for name in parts(method) for table in (COMPRESSORS, CODECS))
    return [package for package in found if package is not None]


def method_class(name: str) -> type[Any]:
    """The dataclass of a method; an unknown name is a `UserError` that suggests the nearest."""
    if name in METHODS:
        return METHODS[name]
    if name.startswith("token-"):
        return compressor(name)  # an alias or a combination
    raise unknown("method", name, METHODS)


def canonical(name: str) -> str:
    """The one name of a method that has several; rows are known by it."""
    return ALIASES.get(name, name)


def parameters(cls: type[Any]) -> dict[str, object]:
    """The type of each parameter of a method."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def parse(name: str, text: str, hint: object) -> object:
    """A parameter's value from text, by the type of its field.

    Tuples are written with commas (``8,4,2``), an optional one may be ``none``, a truth ``true`` or ``false``.

    Raises
    ------
    UserError
        If the text is no such value.
    """
    try:
        return _parse(text.strip(), hint)
    except ValueError as error:
        raise UserError(f"parameter {name}: {text!r} is not {_words(hint)}") from error


def _words(hint: object) -> str:
    """A type as a user would say it: ``3 numbers with commas between``."""
    args = get_args(hint)
    if get_origin(hint) is tuple and args[1:] != (...,):
        return f"{len(args)} numbers with commas between"
    known: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false"}
    return known.get(hint, "a value of it")


def _parse(text: str, hint: object) -> object:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in args:
            return None
        return _parse(text, next(a for a in args if a is not type(None)))
    if origin is tuple:
        parts = text.split(",")
        inner = args[:1] * len(parts) if args[1:] == (...,) else args
        if len(inner) != len(parts):
            raise ValueError(f"{len(inner)} values are needed")
        return tuple(_parse(p.strip(), a) for p, a in zip(parts, inner, strict=True))
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("true or false")
        return text.lower() == "true"
    return hint(text) if hint in (int, float) else text


def check_overrides(methods: tuple[str, ...], overrides: Mapping[str, str]) -> None:
    """Refuse a parameter that none of the methods has."""
    known = sorted({p for m in methods for p in parameters(method_class(m))})
    for name in overrides:
        if name not in known:
            raise unknown(f"parameter of {' and '.join(methods)}", name, known)


def method_at(name: str, level: str, overrides: Mapping[str, str]) -> Method:
    """A method at a level, with those of the overrides that are its own; the rest may be another method's."""
    cls = method_class(name)
    own = parameters(cls)
    method: Method = cls.at(level, **{k: parse(k, v, own[k]) for k, v in overrides.items() if k in own})
    return method


def params_json(method: "Method | None") -> str:
    """A method's parameters as JSON with sorted keys; ``{}`` for none."""
    values = {} if method is None else {n: getattr(method, n) for n in parameters(type(method))}
    return json.dumps(values, sort_keys=True)
