"""Whether processes that a test started are gone."""

import os
import time
from pathlib import Path


def is_gone(pid: int) -> bool:
    """A zombie counts as gone: it runs nothing, and waits for a parent that may not care."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return not Path(f"/proc/{pid}").exists()


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
