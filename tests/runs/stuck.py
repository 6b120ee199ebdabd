"""``freqq`` with a model that gets stuck: the n-th pass through its tower or its language model never returns.

``python -m tests.runs.stuck PLACE N FILE ARGUMENTS``: the file appears when it is stuck. Not even signals are handled
by its thread then, as in a kernel that does not end. With ``shard`` for arguments it is a shard process.
"""

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from freqq.cli.app import app
from freqq.glm.reader import Reader
from freqq.runs import run, shard_process
from freqq.runs.stop import SIGNALS
from tests.runs.faulty_device import FaultyDevice

SOON_S = 0.5


def main(place: str, call: str, file: str, *arguments: str) -> None:
    def hang() -> Exception:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        Path(file).touch()
        while True:
            time.sleep(3600)

    load, stuck = shard_process.load, ExitStack()

    def load_stuck(*given: object) -> Reader:
        reader = load(*given)
        stuck.enter_context(FaultyDevice({(place, int(call)): hang}).under(reader.model))
        return reader

    shard_process.load = load_stuck
    shard_process.GRACE_S = run.GRACE_S = SOON_S
    shard_process.COMMAND = (sys.executable, "-P", "-m", "tests.runs.stuck", place, call, file, "shard")
    if arguments == ("shard",):
        shard_process.main()
    else:
        app(arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
