"""The image codecs that options ask for, at their levels."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from freqq.levels import LEVELS

if TYPE_CHECKING:
    from freqq.image.batch import Arm

CODECS = ("dct", "quantize", "vq", "png", "jpeg", "webp", "jxl", "resize", "gray4", "gray2", "text")
"""The short names. `freqq.image`, which has them too, is too heavy for a help text; a test compares the two."""


def arms_of(codec: str, level: str, given: dict[str, str]) -> "tuple[list[Arm], list[str]]":
    """The arms of ``--codec`` and ``--level`` with parameters as text, and what was left out and why.

    The arm that loses nothing comes first. Levels of a codec that are one and the same become one arm. With ``all``, a
    codec whose optional library is missing is left out.

    Raises
    ------
    UserError
        For an unknown name or parameter, a value out of range, or parameters at the baseline alone.
    """
    from freqq.errors import UserError
    from freqq.image import CODECS as CLASSES
    from freqq.image.batch import Arm
    from freqq.image.jxl_file import is_installed
    from freqq.names import unknown

    names = list(CODECS) if codec == "all" else list(dict.fromkeys(codec.split(",")))
    for name in names:
        if name not in CODECS:
            raise unknown("codec", name, (*CODECS, "all"))
    if level not in (*LEVELS, "all"):
        raise unknown("level", level, (*LEVELS, "all"))
    if level == "baseline" and given:
        raise UserError(f"level baseline touches nothing: leave out --{next(iter(given))}, or choose another level")
    left_out = []
    if codec == "all" and not is_installed():
        names.remove("jxl")
        left_out.append("jxl (not installed: pip install 'freqq[jxl]')")
    values = _parsed([CLASSES[f"image-{name}"] for name in names], given) if given else {}
    arms: dict[tuple[str, object], Arm] = {}
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    if level in ("baseline", "all"):
        arms["baseline", None] = Arm("baseline", "baseline", None)
    for name in names:
        cls = CLASSES[f"image-{name}"]
        for one in LEVELS[1:] if level == "all" else {level} - {"baseline"}:
            made = cls.at(one, **values.get(cls, {}))
            first = arms.setdefault((name, made), Arm(name, one, made))
            if first.level != one:
                alike[name, first.level].append(one)
    left_out += [f"{name} {', '.join(some)} (the same as {first})" for (name, first), some in alike.items()]
    return list(arms.values()), left_out


def _parsed(classes: list[Any], given: dict[str, str]) -> dict[Any, dict[str, object]]:
    """The values of those parameters that each class has."""
    from freqq.names import unknown
    from freqq.runs.methods import parameters, parse

    own = {cls: parameters(cls) for cls in classes}
    known = sorted({name for hints in own.values() for name in hints})
    for name in given:
        if name not in known:
            raise unknown("parameter of these codecs", name, known)
    return {cls: {n: parse(n, t, hints[n]) for n, t in given.items() if n in hints} for cls, hints in own.items()}
