"""Hostile values for the arguments of SQL functions, by type."""

import json
import random
import uuid
from collections.abc import Callable

HUGE = 1_000_000
TEXTS = (
    *("", " ", "a\nb", "\x1b[31mred", "\x9b2J", "\u2028", "\u202eevil", "Ω" * 300, "x" * HUGE, "9" * 5_000),
    *(
        "nan",
        "null",
        "%s",
        "'; drop table ledger.trial; --",
        "../..",
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>",
    ),
    *(
        "complete",
        "failed",
        "crashed",
        "timeout",
        "cancelled",
        "pending",
        "running",
        "chaos!",
        "pg_catalog",
        "\U0010ffff",
    ),
)
FLOATS = ("0", "-0", "1", "-1", "0.5", "NaN", "Infinity", "-Infinity", "1.7e308", "-1.7e308", "5e-324", "1e-400", "abc")
DOCUMENTS = (
    *("{}", "[]", "null", "1", '"text"', "true", "{", '{"a": NaN}', '{"big": 1e5000}', '{"big": -1e130000}'),
    *('{"tiny": 1e-5000}', '{"n": ' + "9" * 5_000 + "}", "[" * 1_500 + "]" * 1_500, "[" * 100_000 + "]" * 100_000),
    *(
        '{"a":' * 1_500 + "1" + "}" * 1_500,
        json.dumps({"x": "y" * HUGE}),
        json.dumps(dict.fromkeys(map(str, range(9_999)), 1)),
    ),
    *('{"a": "\\u0000"}', '{"a": "\\ud800"}', json.dumps({"k" * HUGE: 1}), json.dumps([[1.5] * 1_000] * 100)),
    *(json.dumps([{"x": 1.0, "y": 1.0, "steps": 1, "kind": "flat"}]), json.dumps({"versions": {"a": [1]}})),
)
INTEGERS = ("0", "1", "2", "3", "-1", "7", "100", "2147483647", "-2147483648", "2147483648", "9" * 40)
TIMES = (
    *("infinity", "-infinity", "0001-01-01 00:00:00+23:59", "9999-12-31T23:59:59-23:59", "294276-12-31 00:00:00+00"),
    *("4713-01-01 00:00:00+00 BC", "2026-01-01T00:00:00Z", "now"),
)
INTERVALS = ("0", "-1 s", "30 s", "1000000 years", "-1000000 years", "178000000 years")
BYTES = ("\\x", "\\x00", "\\xff" * 1, "\\x" + "00" * HUGE)


class Values:
    """Draws hostile values.

    Parameters
    ----------
    rng : random.Random
    studies : callable
        Returns the ids of the studies that the attack may steer.
    claims : list of str
        Claims of the attacker's own trials.
    """

    def __init__(self, rng: random.Random, studies: Callable[[], list[str]], claims: list[str]) -> None:
        self._rng, self._studies, self._claims = rng, studies, claims

    def draw(self, kind: str, name: str) -> str | None:
        """Return the text of a value for an argument with this type and name; None for null."""
        rng = self._rng
        if rng.random() < 0.05:
            return None
        if kind.endswith("[]"):
            items = [self.draw(kind[:-2], name) for _ in range(rng.choice([0, 1, 2, 50]))]
            return "{" + ",".join("NULL" if one is None else json.dumps(one[:1000]) for one in items) + "}"
        if name == "study_id" and rng.random() < 0.7 and (studies := self._studies()):
            return rng.choice(studies)
        match kind:
            case "uuid":
                return rng.choice([*self._claims[-9:], str(uuid.UUID(int=0)), str(uuid.UUID(int=rng.getrandbits(128)))])
            case "text" | "name" | "character varying":
                return rng.choice(TEXTS)
            case "jsonb" | "json":
                return rng.choice(DOCUMENTS)
            case "integer" | "bigint" | "smallint":
                return rng.choice(INTEGERS)
            case "double precision" | "real" | "numeric":
                return rng.choice(FLOATS)
            case "boolean":
                return rng.choice(["true", "false"])
            case "interval":
                return rng.choice(INTERVALS)
            case "bytea":
                return rng.choice(BYTES)
            case _ if kind.startswith("timestamp"):
                return rng.choice(TIMES)
        return None
