"""Errors as one line and an exit code; what is wrong with an installed package is a note."""

import errno
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from freqq.cli.command import Group
from freqq.errors import FreqqError, Interrupted
from freqq.registry import PluginWarning


class Guarded(Group):
    """A group that prints a `FreqqError` as one red line; with ``--debug`` as a traceback."""

    def invoke(self, ctx: Any) -> object:
        """Run the chosen command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _one_line(warnings.showwarning)
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


def _one_line(show: Callable[..., None]) -> Callable[..., None]:
    """What shows a warning: one line if an installed package is at fault, else as before."""

    def shown(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            typer.echo(f"note: {message}", err=True)
        else:
            show(message, category, *where, **more)

    return shown


def report(message: str) -> None:
    """Print one red line on standard error, without wrapping it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text("error: " + " ".join(message.split()), style="red"))
    sys.stderr.flush()
