"""Reasons why a run, or an arm of it, cannot work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freqq.errors import FreqqError, UserError
from freqq.runs.plan import Arm


@dataclass(frozen=True)
class Reason:
    """Why something cannot work, or will not work as expected.

    Parameters
    ----------
    text : str
        What is wrong and what to do, in one line.
    arms : tuple of str
        Of which arms it is true, by `label`; empty: of the whole run.
    fatal : bool
        False where the run goes on without it: some samples fail, or a method does less.
    """

    text: str
    arms: tuple[str, ...] = ()
    fatal: bool = True

    def __str__(self) -> str:
        return f"{', '.join(self.arms)}: {self.text}" if self.arms else self.text


def label(arm: Arm) -> str:
    """How an arm is called in a reason."""
    return arm.name if arm.name == arm.level else f"{arm.name} {arm.level}"


def refusals(check: Callable[[], object], *arms: str) -> list[Reason]:
    """What a check refuses, as a reason."""
    try:
        check()
    except (FreqqError, OSError, ValueError) as error:
        return [Reason(" ".join(str(error).split()), arms)]
    return []


def gathered(reasons: Sequence[Reason]) -> list[Reason]:
    """Reasons of one text put together."""
    arms: dict[tuple[str, bool], tuple[str, ...]] = {}
    for reason in reasons:
        key = (reason.text, reason.fatal)
        arms[key] = arms.get(key, ()) + reason.arms
    return [Reason(text, own, fatal) for (text, fatal), own in arms.items()]


def enforce(reasons: Sequence[Reason], note: Callable[[str], None]) -> None:
    """Refuse a run for the first fatal reason; the others are notes.

    Raises
    ------
    UserError
        With the number of further ones.
    """
    for reason in reasons:
        if not reason.fatal:
            note(str(reason))
    if fatal := [reason for reason in reasons if reason.fatal]:
        raise UserError(f"{fatal[0]}{more(len(fatal) - 1)}")


def more(count: int) -> str:
    """How an error ends that stands for others."""
    return f" (and {count} more; freqq eval --dry-run shows all)" if count else ""
