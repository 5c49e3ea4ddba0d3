"""What a worker has in hand: trials that wait for their turn, the one that it trains, and outcomes to be delivered."""

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ledger.database import protocol
from ledger.database.protocol import Claimed, Completed
from ledger.logs import say
from ledger.text import last_line
from ledger.worker.trainer import Trained

_log = logging.getLogger("ledger.worker")

# For so long the trials of one claim stay together: then what is done is delivered, and what has not begun goes back,
# so that neither waits for a trial that turns out to be long.
TOGETHER_SECONDS = 0.5

# Session.call or Session.try_call: makes a call of the protocol.
Call = Callable[..., Any]


class Hand:
    """The trials of one claim, all of one study.

    Parameters
    ----------
    held : sequence of Claimed
        At least one, in the order in which they are to be trained.
    worker : str
        Whose hand it is, for the log.

    Attributes
    ----------
    attempts : int
        How many have begun and are over.
    due : float
        When to tend it, a time of time.monotonic().
    """

    def __init__(self, held: Sequence[Claimed], worker: str) -> None:
        self._worker = worker
        # what has not ended; of these, so many from the first on were given to the trainer
        self._left = deque(held)
        self._given = 0
        self._done: list[tuple[Claimed, Trained]] = []
        self.attempts = 0
        now = time.monotonic()
        self._beat = now + held[0].heartbeat_seconds
        self.due = min(self._beat, now + TOGETHER_SECONDS if len(held) > 1 else math.inf)
        if len(held) == 1:
            self._say("claimed", held, f" claimed: {json.dumps(held[0].params)}", params=held[0].params)
        else:
            self._say("claimed", held, " claimed")

    def begin(self) -> list[Claimed]:
        """Return the trials to train, which are then with the trainer; none where all have ended."""
        self._given = len(self._left)
        return list(self._left)

    def end(self, trained: Trained) -> None:
        """Keep what became of the trial in training, until it is delivered."""
        self._done.append((self._over(), trained))

    def withdraw(self, count: int) -> None:
        """Note that so many have not begun, and will not."""
        self._given -= count

    def keep_one(self) -> None:
        """Note that none has begun, and that the first is to be held all the same."""
        self._given = 1

    def stop(self, *, killed: bool = False) -> None:
        """Let all that has not ended be given back; killed: the first of it was in training."""
        self._given = 0
        self.attempts += killed

    def hurry(self) -> None:
        """Let what has not begun be given back now, and not when it is due."""
        if len(self._left) > 1:
            self.due = min(self.due, time.monotonic())

    def tend(self, call: Call) -> bool:
        """Deliver, give back what has not begun, and hold what is trained; False: its claim is gone.

        No claim waits for longer than the first beat, so there is never more than one to hold.
        """
        self.deliver(call)
        self.give_back(call)
        held = self._left[0]
        if time.monotonic() >= self._beat:
            if not call(protocol.heartbeat, held):
                message = ": the claim is gone, so its training was ended"
                self._say("claim gone", [held], message, level=logging.WARNING)
                self._over()
                return False
            self._beat = time.monotonic() + held.heartbeat_seconds
        self.due = self._beat
        return True

    def postpone(self, seconds: float) -> None:
        """Let nothing be due for so long, since the database is away."""
        self.due = time.monotonic() + seconds

    def give_back(self, call: Call) -> None:
        """Release what has not begun: it is claimable at once, and nothing is counted."""
        waiting = list(self._left)[self._given :]
        if not waiting:
            return
        released = call(protocol.release, *waiting)
        while len(self._left) > self._given:
            self._left.pop()
        self._say("released", [held for held in waiting if held.claim in released], " released, uncounted")
        gone = [held for held in waiting if held.claim not in released]
        self._say("released", gone, ": the claim was gone already")

    def deliver(self, call: Call) -> None:
        """Write what is done: results in one statement, failures in one each."""
        results = [
            Completed(held, trained.loss, trained.metrics or {}, trained.seconds)
            for held, trained in self._done
            if trained.loss is not None
        ]
        if results:
            answers = call(protocol.complete_together, results)
            self._done = [(held, trained) for held, trained in self._done if trained.loss is None]
            self._say_results(results, answers)
        while self._done:
            held, trained = self._done[0]
            assert trained.error is not None
            answer = call(protocol.fail, held, trained.error, trained.seconds, trained.kind)
            del self._done[0]
            self._say_failure(held, trained.error, trained.seconds, answer)

    def abandon(self) -> None:
        """Say what could not be given back or delivered."""
        undone = [*self._left, *(held for held, _ in self._done)]
        message = ": neither delivered nor released, so it goes back when its lease ends"
        self._say("abandoned", undone, message, level=logging.WARNING)

    def _over(self) -> Claimed:
        self.attempts += 1
        self._given -= 1
        return self._left.popleft()

    def _say_results(self, results: Sequence[Completed], answers: Sequence[str]) -> None:
        """Log one line for all results that count, since a short trial costs less than a line; one for each other."""
        kept = []
        for result, answer in zip(results, answers, strict=True):
            if answer in ("stale", "unknown"):
                message = f"{_shown(result)}; it came too late: the trial was claimed again, has ended or was deleted"
                self._say("result", [result.held], message, loss=result.loss, seconds=result.seconds, answer=answer)
            else:
                kept.append((result, answer))
        if len(kept) == 1:
            ((result, answer),) = kept
            facts = {"loss": result.loss, "seconds": result.seconds, "answer": answer}
            self._say("result", [result.held], _shown(result), **facts)
        elif kept:
            losses, seconds = [result.loss for result, _ in kept], [result.seconds for result, _ in kept]
            message = f": losses from {min(losses):.6g} to {max(losses):.6g} in {sum(seconds):.2f} s"
            facts = {"losses": losses, "seconds": seconds, "answers": [answer for _, answer in kept]}
            self._say("results", [result.held for result, _ in kept], message, **facts)

    def _say_failure(self, held: Claimed, error: str, seconds: float, answer: str) -> None:
        reason = last_line(error)
        after = {"retry": "it will be tried again", "failed": "that was its last try"}.get(answer, answer)
        message = f" failed after {seconds:.2f} s: {reason}; {after}"
        facts = {"error": reason, "seconds": seconds, "answer": answer}
        self._say("failed", [held], message, level=logging.WARNING, **facts)

    def _say(self, event: str, those: Sequence[Claimed], message: str, **facts: Any) -> None:
        """Log a line that begins with the name of one trial, or of several."""
        if not those:
            return
        study, numbers = those[0].study_name, [held.trial for held in those]
        if len(those) == 1:
            named: dict[str, Any] = {"trial": numbers[0], "attempt": those[0].attempt}
            what = f"trial {numbers[0]}"
        else:
            named = {"trials": numbers}
            what = f"trials {', '.join(map(str, numbers))}"
        say(_log, event, f"{study} {what}{message}", worker=self._worker, study=study, **named, **facts)


def _shown(result: Completed) -> str:
    return f": loss {result.loss:.6g} in {result.seconds:.2f} s"
