"""The image codecs that options select, at their levels."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from freqq.levels import LEVELS

if TYPE_CHECKING:
    from freqq.image.batch import Arm


def arms_of(codec: list[str], level: list[str], given: dict[str, str]) -> "tuple[list[Arm], list[str]]":
    """The arms of ``--codec`` and ``--level`` with parameters as text, and what was left out and why.

    The arm that loses nothing comes first. Levels of a codec that are one and the same become one arm. With ``all``, a
    codec whose optional library is missing is left out.

    Raises
    ------
    UserError
        For an unknown name or parameter, a value out of range, or parameters at the baseline alone.
    """
    from freqq.cli.options import codec_names
    from freqq.errors import UserError
    from freqq.image import CODECS
    from freqq.image.batch import Arm
    from freqq.image.jxl_file import is_installed
    from freqq.names import several, unknown
    from freqq.runs.options import levels

    asked, known = several("codec", codec), codec_names()
    every = "all" in asked
    names = codec_names(CODECS.usable()) if every else list(asked)
    for name in asked:
        if name not in (*known, "all"):
            raise unknown("codec", name, (*known, "all"))
    wanted = levels(level)
    for one in wanted:
        if one not in LEVELS:
            raise unknown("level", one, (*LEVELS, "all"))
    if wanted == ("baseline",) and given:
        raise UserError(f"level baseline touches nothing: leave out --{next(iter(given))}, or choose another level")
    left_out = []
    if every and not is_installed():
        names.remove("jxl")
        left_out.append("jxl (not installed: pip install 'freqq[jxl]')")
    classes = {name: CODECS[f"image-{name}"] for name in names}
    values = _parsed(list(classes.values()), given) if given else {}
    arms: dict[tuple[str, object], Arm] = {}
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    if "baseline" in wanted:
        arms["baseline", None] = Arm("baseline", "baseline", None)
    for name, cls in classes.items():
        for one in wanted:
            if one == "baseline":
                continue
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
