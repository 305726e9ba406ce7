"""The one exception that users meet, and the exit codes that scripts read."""

OK = 0
DIFFERS = 1
REFUSED = 2
UNDECIDED = 3
BUG = 70
INTERRUPTED = 130


class ConvGradError(Exception):
    """A request that cannot be carried out; the message says what, why and what to do instead."""

    exit_code = REFUSED


class SpecError(ConvGradError, ValueError):
    """A layer or size that no convolution can have."""


class SourceError(ConvGradError, ValueError):
    """Numbers that cannot be read, or do not fit the layer."""
