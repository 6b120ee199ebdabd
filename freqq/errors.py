"""The errors that a user can meet. The command line prints each as one line and exits with its code."""


class FreqqError(Exception):
    """Anything that went wrong and that one line can explain. Exit code 1: the run failed."""

    exit_code = 1


class OutOfMemory(FreqqError):
    """A model or a batch does not fit; fewer samples at once may."""


class UserError(FreqqError):
    """The input, an option or a path is at fault, and the message says what to do. Exit code 2."""

    exit_code = 2


class BrokenDevice(FreqqError):
    """The accelerator failed, and not what it was given; a new process may work. Exit code 69 (EX_UNAVAILABLE)."""

    exit_code = 69


class Interrupted(FreqqError):
    """Stopped on request, all whole answers stored; the same command goes on. Exit code 75 (EX_TEMPFAIL)."""

    exit_code = 75
