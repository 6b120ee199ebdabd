"""Which part of a run a process does."""

from dataclasses import dataclass

from freqq.errors import UserError


@dataclass(frozen=True)
class Shard:
    """The ``index``-th of ``count`` equal parts of a run."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``0/4`` is the first of four."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise UserError(f"--shard {text}: write it as INDEX/COUNT with INDEX from 0, such as 0/4")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
