"""The columns of tables of comparisons: what stands in each, in whatever surface shows it."""

from collections.abc import Callable

from freqq.report import wording
from freqq.report.comparison import Comparison

COLUMNS: dict[str, Callable[[Comparison], str]] = {
    "run": lambda c: c.run,
    "needles": lambda c: "all" if c.needles is None else str(c.needles),
    "method": lambda c: c.method,
    "level": lambda c: c.level,
    "n": lambda c: str(c.n),
    "failed": lambda c: str(c.n_failed),
    "score": lambda c: wording.estimate(c.score),
    "mean": lambda c: wording.fraction(c.score.mean),
    "macro": lambda c: wording.estimate(c.macro),
    "exact": lambda c: wording.fraction(c.exact),
    "difference": lambda c: wording.estimate(c.difference, signed=True),
    "if failed = 0": lambda c: wording.estimate(c.as_zero, signed=True),
    "win/tie/loss": wording.win_tie_loss,
    "p": lambda c: wording.p_value(c.p_value),
    "p (Holm)": lambda c: wording.p_value(c.p_holm),
    "detectable": lambda c: wording.fraction(c.detectable),
    "retention": lambda c: wording.estimate(c.retention),
    "image bytes": lambda c: wording.percent(c.rates["image_bytes"]),
    "token bytes": lambda c: wording.percent(c.rates["token_bytes"]),
    "tokens": lambda c: wording.percent(c.rates["tokens"]),
    "KV cache": lambda c: wording.size(c.costs.get("kv_prompt_bytes")),
    "outcomes": lambda c: wording.outcomes(c.outcomes, c.n) or wording.NOTHING,
    "in words": wording.verdict,
}
"""By the names that they have in Markdown and LaTeX; tables in a terminal may call them otherwise."""
