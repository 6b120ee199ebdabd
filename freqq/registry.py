"""Methods and tasks by name: freqq's own, and those of installed packages, found by entry points."""

import warnings
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from freqq.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class PluginWarning(UserWarning):
    """An entry point of an installed package cannot be used."""


class Registry(MutableMapping[str, T]):
    """Entries by name, each imported on first lookup.

    A program may add its own, as to a dict. An installed package adds one by an entry point, whose name must begin with
    `prefix` and differ from freqq's own. If it cannot be imported, looking it up raises `UserError`, and `values` and
    `items` skip it with a `PluginWarning`.

    Parameters
    ----------
    group : str
        The group of entry points, such as ``freqq.codecs``.
    kind : str
        The base class of every entry, as ``module:class``.
    own : mapping of str to str
        The locations of freqq's own entries, as ``module:attribute``.
    prefix : str
        Required prefix of plug-in names.
    instances : bool
        Whether entries are instances of `kind` instead of subclasses.
    """

    def __init__(
        self, group: str, kind: str, own: Mapping[str, str], prefix: str = "", instances: bool = False
    ) -> None:
        self.group, self.kind, self.prefix, self.own, self.instances = group, kind, prefix, dict(own), instances
        self.added: set[str] = set()
        """Names that the running program added."""
        self._loaded: dict[str, T] = {}

    @cached_property
    def plugins(self) -> "dict[str, EntryPoint]":
        """The entry points of installed packages; for several with the same name, the first that Python finds."""
        from importlib.metadata import entry_points  # slow to import

        found = {point.name: point for point in reversed(list(entry_points(group=self.group)))}
        return {name: found[name] for name in sorted(found) if name not in self.own}

    def package(self, name: str) -> str | None:
        """The package and version that provide a name; None for freqq's own and for those added by the program."""
        point = None if name in self.own else self.plugins.get(name)
        return None if point is None else _package(point)

    def __getitem__(self, name: str) -> T:
        """The entry of a name.

        Raises
        ------
        KeyError
            If there is none.
        UserError
            If it is a plug-in that cannot be used.
        """
        if name not in self._loaded:
            if name in self.own:
                self._loaded[name] = _imported(self.own[name])
            else:
                self._loaded[name] = self._load_plugin(self.plugins[name])
        return self._loaded[name]

    def _load_plugin(self, point: "EntryPoint") -> T:
        skipped = f"{point.name} of the package {_package(point)} is left out"
        if not point.name.startswith(self.prefix):
            raise UserError(f"{skipped}: the names of {self.group} begin with {self.prefix}")
        try:
            found = _imported(point.value)
        except Exception as error:
            raise UserError(
                f"{skipped}: {point.value} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
            ) from error
        kind = _imported(self.kind)
        if not (isinstance(found, kind) if self.instances else isinstance(found, type) and issubclass(found, kind)):
            what = "instance" if self.instances else "subclass"
            raise UserError(f"{skipped}: {point.value} is no {what} of {kind.__name__}")
        return found

    def __setitem__(self, name: str, thing: T) -> None:
        self._loaded[name] = thing
        self.added.add(name)

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]
        self.added.discard(name)

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in self.own or name in self.plugins

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.own, *self._loaded, *self.plugins)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def usable(self) -> dict[str, T]:
        """All entries that can be imported."""
        found: dict[str, T] = {}
        for name in self:
            try:
                found[name] = self[name]
            except UserError as error:
                warnings.warn(str(error), PluginWarning, stacklevel=2)
        return found

    def items(self) -> ItemsView[str, T]:
        """All usable entries by name."""
        return self.usable().items()

    def values(self) -> ValuesView[T]:
        """All usable entries."""
        return self.usable().values()


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _package(point: "EntryPoint") -> str:
    return "of unknown name" if point.dist is None else f"{point.dist.name} {point.dist.version}"
