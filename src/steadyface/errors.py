"""The errors steadyface raises: each says the rule, what was received, and what to do."""


class SteadyfaceError(Exception):
    """Base class; the command line prints its message on one line and exits with status 1."""


class VideoError(SteadyfaceError):
    """A video cannot be opened, decoded or written."""


class NoFaceError(SteadyfaceError):
    """No face was found; the message says how many frames were looked at."""


class InputError(SteadyfaceError, ValueError):
    """An argument has the wrong shape, type, range or name."""


class OutputError(SteadyfaceError, OSError):
    """A result cannot be written: no such folder, no permission, or a full disk."""
