"""The right to write an attempt's outcome cannot be guessed, and new ones are neighbours in their index."""

import time
from functools import reduce
from operator import and_, or_
from uuid import RFC_4122

from ledger.database import protocol


def test_a_claim_has_74_random_bits_behind_the_time(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 0x0123456789AB * 1_000_000 + 999_999)
    drawn = [protocol.draw_claim() for _ in range(500)]
    assert {(claim.version, claim.variant, claim.int >> 80) for claim in drawn} == {(7, RFC_4122, 0x0123456789AB)}
    numbers = [claim.int for claim in drawn]
    # bits that are not the same in all
    assert (reduce(or_, numbers) & ~reduce(and_, numbers)).bit_count() == 74
    monkeypatch.setattr(time, "time_ns", lambda: 0x0123456789AC * 1_000_000)
    assert protocol.draw_claim() > max(drawn)
