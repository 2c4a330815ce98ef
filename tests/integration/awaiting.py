"""What other processes bring about is waited for, within a bound."""

import time


def await_(reached, seconds):
    """Fails unless it is reached in so many seconds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
