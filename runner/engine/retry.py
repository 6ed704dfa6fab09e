"""When the next attempt is due."""

import hashlib

from runner.engine.plan import RetryRule

_SPREAD = 0.2


def delay_millis(rule: RetryRule, oid: str, activity: str, attempt: int) -> int:
    """How long after the failed ``attempt`` the next one starts.

    Exponential, capped, and spread by up to 20 % so that activities that failed together do not come back together. A
    function of its arguments alone, so every engine computes the same.
    """
    exponent = min(attempt - 1, 64)
    interval = min(rule.initial_millis * rule.coefficient**exponent, rule.max_interval_millis)
    digest = hashlib.blake2b(f"{oid}\0{activity}\0{attempt}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    fraction = int.from_bytes(digest, "big") / 0xFFFFFFFF
    return max(0, round(interval * (1 - _SPREAD * fraction)))
