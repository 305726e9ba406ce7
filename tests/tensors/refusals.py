"""What a reader says when it refuses, and how much memory it took until then."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from convgrad_cli.errors import SourceError


def refusal(read: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the SourceError that `read` raises; one line, without control characters."""
    with pytest.raises(SourceError) as error:
        read(*arguments, **options)
    message = str(error.value)
    assert message.isprintable()
    return message


@contextmanager
def memory_below(limit: float) -> Iterator[None]:
    """Fails if more than `limit` bytes are allocated at once; numpy's arrays count, torch's storages do not."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
