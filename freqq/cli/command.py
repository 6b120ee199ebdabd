"""What commands are made of: options, Tab, options from a dataclass, and a help text without the types of switches."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

Names = Iterable[str] | Callable[[], Iterable[str]]


def option(name: str, metavar: str, help: str, panel: str | None = None, offered: Names = (), **more: Any) -> Any:
    """An option with a value.

    Parameters
    ----------
    offered : iterable of str, or what gives one when a shell asks
        What Tab completes, also behind the commas of an option that takes several.
    """
    completed = completing(offered) if offered else None
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel=panel, autocompletion=completed, **more)


def switch(name: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help, rich_help_panel=panel)


def completing(offered: Names) -> Callable[[str], list[str]]:
    """What a shell offers for the last of the names, with commas between them, that are being typed."""

    def found(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        names = offered() if callable(offered) else offered
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return found


def from_options(kind: type, named: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command's first parameter, a frozen dataclass, be made of an option for each of its fields.

    Parameters
    ----------
    named : mapping
        The options as annotations, such as a module's variables: that of the field max_new_tokens is MaxNewTokens.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            command(kind(**{field.name: values.pop(field.name) for field in fields(kind)}), **values)

        _, *others = inspect.signature(command).parameters.values()
        asked = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=list(field.default) if isinstance(field.default, tuple) else field.default,
                annotation=named[field.name.title().replace("_", "")],
            )
            for field in fields(kind)
        ]
        parameters = [*asked, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in others)]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorated


class Command(TyperCommand):
    """A command whose help text shows the type of a value by the option's own word for it, and none of a switch."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help included."""
        return _untyped(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, likewise."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help included."""
        return _untyped(super().get_params(ctx))


class Summary(TyperCommand):
    """Stands for a command that is not built yet, where commands are listed."""


def _untyped(parameters: list[Any]) -> list[Any]:
    """Typer would show ``<bool>`` beside a switch, and ``<list[Path]>`` beside an argument."""
    for parameter in parameters:
        if isinstance(parameter, TyperArgument) or (isinstance(parameter, TyperOption) and parameter.is_flag):
            parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
    return parameters
