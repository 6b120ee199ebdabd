"""The five levels that every method has, and how a method is made at one of them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from freqq.errors import UserError
from freqq.names import unknown

LEVELS = ("baseline", "ultra_mild", "mild", "aggressive", "extreme")
"""From nothing to most. ``baseline`` is the absence of a method: nothing is touched."""


class Leveled:
    """Base of the methods, which are frozen dataclasses: makes one at a named level.

    ``LEVELS`` holds the parameters of each level but ``baseline``.
    """

    LEVELS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @property
    def resources(self) -> tuple[str, ...]:
        """Digests of what a method reads besides its parameters, such as codebooks; others make another method."""
        return ()

    @classmethod
    def at(cls, level: str, **overrides: Any) -> Self:
        """The method at a level, with some of its parameters set by hand.

        Raises
        ------
        UserError
            If the level or a parameter is unknown (the nearest is suggested), or a value is out of range. Also at
            ``baseline``, which is no method.
        """
        if level not in LEVELS:
            raise unknown("level", level, LEVELS)
        if level == "baseline":
            raise UserError(
                "level 'baseline' touches nothing, so no method has parameters for it: choose another level"
            )
        known = [f.name for f in fields(cls) if f.init]  # type: ignore[arg-type]
        for name in overrides:
            if name not in known:
                raise unknown("parameter", name, known)
        return cls(**{**cls.LEVELS[level], **overrides})
