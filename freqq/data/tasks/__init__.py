"""The tasks by name. Adding one is a file here and a line in `TASKS`."""

from freqq.data.tasks.base import Marks as Marks
from freqq.data.tasks.base import Task as Task
from freqq.registry import Registry

TASKS: Registry[Task] = Registry(
    "freqq.tasks",
    "freqq.data.tasks.base:Task",
    {
        "mrcr": "freqq.data.tasks.mrcr:MRCR",
        "transcribe": "freqq.data.tasks.transcribe:TRANSCRIBE",
        "ruler": "freqq.data.tasks.ruler:RULER",
        "longbench": "freqq.data.tasks.longbench:LONGBENCH",
    },
    instances=True,
)


def names(format: str | None = None) -> list[str]:
    """Values of ``--task``: the tasks that fit a data format (None: all), each followed by its sub-tasks."""
    fitting = [task for task in TASKS.values() if format is None or task.fits(format)]
    return [name for task in fitting for name in (task.name, *task.subtasks)]
