"""The tasks by name. Adding one is a file here and a line in `TASKS`."""

from freqq.data.tasks.base import Marks as Marks
from freqq.data.tasks.base import Task as Task
from freqq.data.tasks.longbench import LONGBENCH
from freqq.data.tasks.mrcr import MRCR
from freqq.data.tasks.ruler import RULER
from freqq.data.tasks.transcribe import TRANSCRIBE

TASKS: dict[str, Task] = {task.name: task for task in (MRCR, TRANSCRIBE, RULER, LONGBENCH)}


def names(format: str | None = None) -> list[str]:
    """What ``--task`` takes: the tasks that fit a format of data (None: all), each before its sub-tasks."""
    fitting = [task for task in TASKS.values() if format is None or task.fits(format)]
    return [name for task in fitting for name in (task.name, *task.subtasks)]
