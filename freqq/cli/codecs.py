"""Image codecs selected by options."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from freqq.levels import LEVELS, no_parameters

if TYPE_CHECKING:
    from freqq.image.batch import Arm


def arms_of(codec: list[str], level: list[str], given: dict[str, str]) -> "tuple[list[Arm], list[str]]":
    """The arms of ``--codec`` and ``--level`` with parameters as text, and notes on what was left out.

    The lossless baseline comes first. Equal levels of a codec become one arm. ``all`` leaves out a codec whose optional
    library is missing.

    Raises
    ------
    UserError
        For an unknown name or parameter, a value out of range, or parameters at the baseline alone.
    """
    from freqq.cli.options import codec_names
    from freqq.image import CODECS
    from freqq.image.batch import Arm
    from freqq.image.jxl_file import is_installed
    from freqq.names import several, unknown
    from freqq.runs.options import levels

    given_names, known = several("codec", codec), codec_names()
    every = "all" in given_names
    names = codec_names(CODECS.usable()) if every else list(given_names)
    for name in given_names:
        if name not in (*known, "all"):
            raise unknown("codec", name, (*known, "all"))
    wanted = levels(level)
    for one in wanted:
        if one not in LEVELS:
            raise unknown("level", one, (*LEVELS, "all"))
    if wanted == ("baseline",):
        no_parameters(given)
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
            own = cls.at(one, **values.get(cls, {}))
            first = arms.setdefault((name, own), Arm(name, one, own))
            if first.level != one:
                alike[name, first.level].append(one)
    left_out += [f"{name} {', '.join(some)} (the same as {first})" for (name, first), some in alike.items()]
    return list(arms.values()), left_out


def _parsed(classes: list[Any], given: dict[str, str]) -> dict[Any, dict[str, object]]:
    """Each class's own parameters and their values."""
    from freqq.names import unknown
    from freqq.runs.methods import parameters, parse

    own = {cls: parameters(cls) for cls in classes}
    known = sorted({name for hints in own.values() for name in hints})
    for name in given:
        if name not in known:
            raise unknown("parameter of these codecs", name, known)
    return {cls: {n: parse(n, t, hints[n]) for n, t in given.items() if n in hints} for cls, hints in own.items()}
