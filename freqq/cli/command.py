"""Building blocks of commands: options, completion, options from a dataclass, help texts, and errors."""

import errno
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from freqq.errors import FreqqError, Interrupted
from freqq.registry import PluginWarning

Names = Iterable[str] | Callable[[], Iterable[str]]


def option(name: str, metavar: str, help: str, panel: str | None = None, offered: Names = (), **more: Any) -> Any:
    """An option with a value.

    Parameters
    ----------
    offered : iterable of str, or a function that returns one
        Completions, also after commas.
    """
    completed = completing(offered) if offered else None
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel=panel, autocompletion=completed, **more)


def argument(metavar: str, help: str, offered: Names = (), **more: Any) -> Any:
    """An argument; `offered` as for `option`."""
    completed = completing(offered) if offered else None
    return typer.Argument(metavar=metavar, help=help, autocompletion=completed, **more)


def switch(name: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help, rich_help_panel=panel)


def completing(offered: Names) -> Callable[[str], list[str]]:
    """A completion function for comma-separated names."""

    def found(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        names = offered() if callable(offered) else offered
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return found


def from_options(kind: type, named: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator that builds a command's first parameter, a dataclass, from one option per field.

    Parameters
    ----------
    named : mapping
        The options as annotations, such as a module's variables: the field max_new_tokens uses MaxNewTokens.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            command(kind(**{field.name: values.pop(field.name) for field in fields(kind)}), **values)

        _, *others = inspect.signature(command).parameters.values()
        own = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=list(field.default) if isinstance(field.default, tuple) else field.default,
                annotation=named[field.name.title().replace("_", "")],
            )
            for field in fields(kind)
        ]
        parameters = [*own, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in others)]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorated


class Command(TyperCommand):
    """A command whose help shows an option's metavar as the type of its value, and no type for a switch.

    Paragraphs of its help are wrapped to the terminal's width; Typer keeps the line breaks of the docstring.
    """

    def __init__(self, *arguments: Any, help: str | None = None, **values: Any) -> None:
        super().__init__(*arguments, help=re.sub(r"(?<!\n)\n(?!\n)", " ", help or ""), **values)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option of one value that is given twice: click would silently take the last."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for one in given:
                if isinstance(one, TyperOption) and not (one.multiple or one.is_flag) and given.count(one) > 1:
                    ctx.fail(f"Option '{one.opts[0]}' is given {given.count(one)} times: give it once.")
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help included."""
        return _untyped(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands with such help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help included."""
        return _untyped(super().get_params(ctx))


class Summary(TyperCommand):
    """Placeholder in lists for a command that is not built yet."""


def _untyped(parameters: list[Any]) -> list[Any]:
    """Typer would show ``<bool>`` beside a switch, and ``<list[Path]>`` beside an argument."""
    for parameter in parameters:
        if isinstance(parameter, TyperArgument) or (isinstance(parameter, TyperOption) and parameter.is_flag):
            parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
    return parameters


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
        except (RuntimeError, MemoryError) as error:
            failure = _of_device(error)
        if ctx.params.get("debug"):
            import traceback

            traceback.print_exception(failure)
        else:
            _report(str(failure))
        raise typer.Exit(failure.exit_code)


def _of_device(error: Exception) -> FreqqError:
    """The error of a broken device, or of one without memory left; raises any other error again."""
    if "torch" in sys.modules:  # imports here would make --help slow
        from freqq.glm.device_errors import classified

        failed = classified(error, "what this command computes at once: use fewer or smaller pages")
        if isinstance(failed, FreqqError):
            failed.__cause__ = error
            return failed
    raise error


def _one_line(show: Callable[..., None]) -> Callable[..., None]:
    """Show warnings about installed packages in one line, and all others as before."""

    def shown(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            typer.echo(f"note: {message}", err=True)
        else:
            show(message, category, *where, **more)

    return shown


def _report(message: str) -> None:
    """Print one red line on standard error, without wrapping it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text("error: " + " ".join(message.split()), style="red"))
    sys.stderr.flush()
