"""What a task is: what is asked about a sample's pages, and how what was said is marked."""

from collections.abc import Callable
from dataclasses import dataclass

from freqq.data.sample import Sample


@dataclass(frozen=True)
class Marks:
    """How good an answer is; the names are those of a row's columns.

    Parameters
    ----------
    score : float in [0, 1]
        By the task's own metric.
    exact : bool
        Nothing is missing or wrong, as far as the metric can tell.
    prefix_ok : bool
        The answer starts with the random string that the sample asks for, if it asks for one.
    first_char_ok : bool
        The first character after it is right.
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
    """A task: the data it is for, the form of its question, its metric.

    Parameters
    ----------
    name : str
        What ``--task`` calls it.
    summary : str
        One line for lists.
    score : str
        What the score is, for the title of a table.
    formats : tuple of str
        Formats of data (`freqq.data.dataset.DataSet.format`) that have its questions; empty: it can be asked of any.
    grade : callable
        ``grade(sample, said)``: the marks of what was said in answer to the sample, as `ask` made it.
    ask : callable
        The sample as the task asks it; by default as it is.
    subtasks : tuple of str
        Names of its parts, which ``--task`` takes too. The score of a part is the mean over its samples.
    check : callable
        Refuses a sample that could not be graded, by a `UserError`; a run calls it before anything heavy starts.
    failed : Marks
        What a sample gets that could not be read.
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


def starts_right(sample: Sample, said: str) -> dict[str, bool]:
    """`Marks.prefix_ok` and `Marks.first_char_ok` for a task whose samples ask for no prefix."""
    return {"prefix_ok": True, "first_char_ok": said[:1] == sample.answer[:1]}
