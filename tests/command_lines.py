"""Command lines of ``freqq`` held against the real tree of commands, without running them."""

import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import typer

from freqq.cli.app import app, built
from freqq.levels import LEVELS
from freqq.runs.methods import method_class

ROOT: Any = typer.main.get_command(app)


def commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by the words that call it."""
    for name, listed in group.commands.items():
        command = built(name) if group is ROOT else listed
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def parse(words: list[str]) -> Any:
    """The context of the command that these words, ``freqq`` the first, would run.

    Raises what the command line would say: of unknown commands, options and methods, of values of a wrong type, of
    arguments that are missing or too many.
    """
    assert words[0] == "freqq", words
    context = ROOT.make_context("freqq", words[1:])
    while hasattr(context.command, "commands"):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    for parameter in context.command.params:
        given = context.params.get(parameter.name)
        for value in given if isinstance(given, list) else [given] if given else []:
            _check(context, parameter, value)
    if context.info_name == "slurm-submit":
        parse(["freqq", "eval", *(context.params["arguments"] or ())])
    return context


def _check(context: Any, parameter: Any, value: Any) -> None:
    """Refuse the name of something that there is not, where only certain names will do."""
    if parameter.name == "method" or (context.info_name, parameter.name) == ("methods", "name"):
        short = context.info_name in ("compress-tokens", "tokens") and not value.startswith("token")
        method_class(f"token-{value}" if short else value)
    elif parameter.name == "level":
        assert value in (*LEVELS, "all"), f"unknown level {value}"
    elif parameter.name in ("codec", "task", "protocol", "generation", "layout", "dtype"):
        offered = {item.value for item in parameter.shell_complete(context, "")}
        assert offered
        assert set(value.split(",")) <= offered, f"unknown {parameter.name} {value}"


def lines(text: str) -> Iterator[list[str]]:
    """The words of each freqq command in lines of shell: comments are left out, and continued lines are joined."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in _parts(shlex.split(line, comments=True)):
            if part[:1] == ["freqq"]:
                yield part


def _parts(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line without what their output is redirected to."""
    starts = [0, *(i + 1 for i, word in enumerate(words) if word in ("&&", "||", "|", ";", "&")), len(words) + 1]
    for begin, end in pairwise(starts):
        part = words[begin : end - 1]
        yield part[: next((i for i, word in enumerate(part) if word in (">", ">>", "2>")), len(part))]
