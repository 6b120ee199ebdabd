"""Output of ``freqq eval --dry-run``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freqq.runs.forecast import ArmForecast, Forecast


def show_forecast(found: "Forecast", as_json: bool, checked: "Mapping[str, str] | None" = None) -> None:
    """Print a forecast.

    Parameters
    ----------
    checked : mapping of str to str
        Further checks and their results.

    Raises
    ------
    UserError
        If the run, or an arm of it, cannot work.
    """
    from freqq.cli.printing import console_for, print_json, show
    from freqq.errors import UserError

    if as_json:
        print_json(found.as_json() | ({} if checked is None else {"checked": dict(checked)}))
    else:
        console = console_for(160, highlight=False)
        for name, text in (checked or {}).items():
            console.print(f"{name}: {text}", markup=False, soft_wrap=True)
        for name, text in facts(found).items():
            console.print(f"{name:<8}{text}", markup=False, soft_wrap=True)
        show("", COLUMNS, [_cells(arm) for arm in found.arms], "")
        for reason in found.reasons:
            console.print(f"{'cannot work' if reason.fatal else 'note'}: {reason}", markup=False, soft_wrap=True)
    if fatal := found.fatal:
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        raise UserError(f"{fatal[0]}{more}")


def facts(found: "Forecast") -> dict[str, str]:
    """Facts that hold for all arms, in words, by topic."""
    from freqq.report.wording import size

    estimated = found.counted < found.samples
    about = "about " if estimated else ""
    drawn = f", {found.counted} of them drawn to count (seed {found.seed}, the longest and the shortest among them)"
    lines = {
        "run": str(found.path),
        "data": f"{found.data}: {found.samples:,} samples{drawn if estimated else ''}",
    }
    if found.pages is not None:
        lines["pages"] = f"{about}{found.pages:,.0f}"
    context = "" if found.context is None else f", a context of {found.context:,} tokens"
    lines["model"] = f"{found.model}{context}, at most {found.new_tokens:,} new tokens an answer"
    if found.answers is not None:
        lines["answers"] = f"{found.answers} (by its chat template and tokenizer)"
    if (memory := found.memory) is not None:
        prompt = "" if memory.prompt is None else f", the longest prompt read alone about {size(memory.prompt)}"
        there = "" if memory.there is None else f"; {size(memory.there)} are there"
        lines["memory"] = (
            f"weights {size(memory.weights)} ({memory.dtype}), cache {size(memory.kv_bytes_per_token)} a token, "
            f"vision pass up to about {size(memory.vision_pass)}{prompt}{there}"
        )
    lines["disk"] = f"{size(found.disk.least)} to {size(found.disk.most)} of rows; {size(found.disk.free)} are free"
    if found.pace is None:
        lines["time"] = "unknown: no earlier run of this model on this machine is in the same folder or in runs"
    elif found.seconds is not None:
        lines["time"] = f"about {duration(found.seconds)}, by the {found.pace.rows:,} rows of {found.pace.run}"
    return lines


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


COLUMNS = (
    "method, level", "vision tokens", "kept", "prompt min", "median", "max", "cache of max", "tokens in bf16", "time",
    "",
)  # fmt: skip


def _cells(arm: "ArmForecast") -> list[str]:
    from freqq.report.wording import size

    prompts = ["-"] * 3
    if arm.prompts is not None:
        prompts = [f"{arm.prompts.least:,}", f"{arm.prompts.median:,.0f}", f"{arm.prompts.most:,}"]
    return [
        arm.method if arm.method == arm.level else f"{arm.method}, {arm.level}",
        "-" if arm.vision_tokens is None else f"{arm.vision_tokens:,.0f}",
        "-" if arm.kept is None else f"{arm.kept:.3f}",
        *prompts,
        size(arm.kv_bytes),
        size(arm.token_bytes),
        "-" if arm.seconds is None else duration(arm.seconds),
        "" if arm.works else "cannot work",
    ]
