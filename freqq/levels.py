"""The five levels of every method, and how to create a method at a level."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from freqq.errors import UserError
from freqq.names import unknown

LEVELS = ("baseline", "ultra_mild", "mild", "aggressive", "extreme")
"""From no compression (``baseline``: no method at all) to the most."""


ALIKE: Mapping[str, Mapping[str, Any]] = {level: {} for level in LEVELS[1:]}


def no_parameters(given: Iterable[str]) -> None:
    """Refuse parameters at the level ``baseline``, which has no method."""
    for name in given:
        raise UserError(f"level baseline does not compress: leave out --{name}, or choose another level")


class Leveled:
    """Base class of methods, which are frozen dataclasses.

    ``LEVELS`` holds the parameters of each level except ``baseline``; by default all of them are the same.
    """

    LEVELS: ClassVar[Mapping[str, Mapping[str, Any]]] = ALIKE

    @property
    def resources(self) -> tuple[str, ...]:
        """Digests of the files that a method uses, such as codebooks; they are part of its identity."""
        return ()

    @classmethod
    def at(cls, level: str, **overrides: Any) -> Self:
        """The method at a level, with some parameters overridden.

        Raises
        ------
        UserError
            If the level or a parameter is unknown (the nearest is suggested), a value is out of range or of another
            type, or the level is ``baseline``, which has no method.
        """
        if level not in LEVELS:
            raise unknown("level", level, LEVELS)
        if level == "baseline":
            raise UserError("level 'baseline' does not compress, so it has no method: choose another level")
        known = [f.name for f in fields(cls) if f.init]  # type: ignore[arg-type]
        for name in overrides:
            if name not in known:
                raise unknown("parameter", name, known)
        try:
            return cls(**{**cls.LEVELS[level], **overrides})
        except TypeError as error:  # from comparing a value with its bounds
            usual = cls(**cls.LEVELS[level])
            given = ", ".join(f"{name}={value!r}" for name, value in overrides.items())
            valid = ", ".join(f"{name}={getattr(usual, name)!r}" for name in overrides)
            raise UserError(
                f"{cls.__name__} does not take {given}: a value is of another type than in {valid}"
            ) from error
