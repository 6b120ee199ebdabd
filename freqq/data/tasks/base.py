"""Base types of tasks: what to ask about a sample's pages, and how to grade the response."""

from collections.abc import Callable
from dataclasses import dataclass

from freqq.data.sample import Sample


@dataclass(frozen=True)
class Marks:
    """The grades of a response; each field is a column of the results.

    Parameters
    ----------
    score : float in [0, 1]
        The task's metric.
    exact : bool
        Whether nothing is missing or wrong, as far as the metric can tell.
    prefix_ok : bool
        Whether the response starts with the sample's random prefix, if it has one.
    first_char_ok : bool
        Whether the first character after the prefix is correct.
    cer, wer : float or None
        Character and word error rate, for tasks that have them.
    """

    score: float
    exact: bool
    prefix_ok: bool = False
    first_char_ok: bool = False
    cer: float | None = None
    wer: float | None = None


@dataclass(frozen=True)
class Task:
    """A task: its data, its question, its metric.

    Parameters
    ----------
    name : str
        Its name for ``--task``.
    summary : str
        One line for lists.
    score : str
        Name of the metric, for titles of tables.
    formats : tuple of str
        Data formats (`freqq.data.dataset.DataSet.format`) with its questions; empty: any.
    grade : callable
        ``grade(sample, response)``: the marks of a response to a sample returned by `ask`.
    ask : callable
        ``ask(sample)``: the sample with the task's question; by default unchanged.
    subtasks : tuple of str
        Names of its parts, also for ``--task``. The score of a part is the mean over its samples.
    check : callable
        ``check(sample)`` raises `UserError` if the sample cannot be graded; a run calls it before anything heavy
        starts.
    failed : Marks
        The marks of a sample that failed.
    """

    name: str
    summary: str
    score: str
    formats: tuple[str, ...]
    grade: Callable[[Sample, str], Marks]
    ask: Callable[[Sample], Sample] = lambda sample: sample
    subtasks: tuple[str, ...] = ()
    check: Callable[[Sample], None] = lambda sample: None
    failed: Marks = Marks(0.0, False)

    def fits(self, format: str) -> bool:
        """Whether data of a format have this task's questions."""
        return not self.formats or format in self.formats


def start_marks(sample: Sample, response: str) -> dict[str, bool]:
    """`Marks.prefix_ok` and `Marks.first_char_ok` for samples without a prefix."""
    return {"prefix_ok": True, "first_char_ok": response[:1] == sample.answer[:1]}
