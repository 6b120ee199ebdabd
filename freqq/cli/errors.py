"""Every error of ours ends as one line and an exit code."""

import errno
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from freqq.errors import FreqqError, Interrupted


class Commands(TyperGroup):
    """The top-level group: prints a `FreqqError` as one red line; with ``--debug`` as a traceback."""

    def invoke(self, ctx: Any) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except FreqqError as error:
            failure = error
        except KeyboardInterrupt as error:
            failure = Interrupted("interrupted; what was stored before is kept: run the same command again")
            failure.__cause__ = error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            failure = FreqqError(str(error))
            failure.__cause__ = error
        if ctx.params.get("debug"):
            import traceback

            traceback.print_exception(failure)
        else:
            report(str(failure))
        raise typer.Exit(failure.exit_code)


def report(message: str) -> None:
    """Print one red line on standard error, as wide as it is."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text("error: " + " ".join(message.split()), style="red"))
    sys.stderr.flush()
