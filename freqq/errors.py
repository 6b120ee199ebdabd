"""Errors with a message for the user. The command line prints each as one line and exits with its code."""


class FreqqError(Exception):
    """Base class. Exit code 1: the run failed."""

    exit_code = 1


class OutOfMemory(FreqqError):
    """A model or a batch does not fit into memory; a smaller batch may."""


class UserError(FreqqError):
    """An input, option or path is wrong, and the message says what to do. Exit code 2."""

    exit_code = 2


class BrokenDevice(FreqqError):
    """The accelerator itself failed; a new process may work. Exit code 69 (EX_UNAVAILABLE)."""

    exit_code = 69


class Interrupted(FreqqError):
    """Stopped on request with all finished answers stored; the same command resumes. Exit code 75 (EX_TEMPFAIL)."""

    exit_code = 75
