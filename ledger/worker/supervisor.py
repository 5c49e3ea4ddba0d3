"""The supervisor: owns the connection, the lease, the deadline and the signals of one worker."""

import json
import logging
import os
import random
import signal
import socket
import sys
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import wait
from types import FrameType
from typing import Any

from ledger.database import protocol
from ledger.database.protocol import Claimed
from ledger.database.session import Session
from ledger.errors import LedgerError
from ledger.logs import say
from ledger.objectives import Context
from ledger.seeds import derive
from ledger.worker.trainer import Trained, Trainer

_log = logging.getLogger("ledger.worker")

POLL_SECONDS = 1.0
ANNOUNCE_SECONDS = 10.0
_PACKAGES = ("trial-ledger", "numpy", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost")


@dataclass(frozen=True)
class Orders:
    """What a worker is to do.

    Attributes
    ----------
    study : str or None
        The study to work for, which need not be there yet; None for any running one.
    max_trials : int or None
        Leave after so many attempts.
    until_complete : bool
        Leave when the study, or with None every study, has ended.
    allowed : collection of str
        Packages that an own objective may be loaded from.
    threads : int
        Of one training.
    leash : bool
        Leave at the end of the file on standard input, which a crew's workers see when its starter ends.
    """

    study: str | None = None
    max_trials: int | None = None
    until_complete: bool = False
    allowed: Collection[str] = ()
    threads: int = 1
    leash: bool = False


class Supervisor:
    """Claims, has the trainer train, and writes back, until its orders are done or it is told to leave."""

    def __init__(self, url: str, orders: Orders) -> None:
        self._orders = orders
        self._host = socket.gethostname()
        self.name = f"{self._host}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        self._wake = [wake, sys.stdin.fileno()] if orders.leash else [wake]
        self._announced = float("-inf")
        self._trainer = Trainer(orders.allowed, orders.threads)
        self._session = Session(url, f"ledger worker {self.name}"[:63], protocol.listen, self._between_tries)

    def run(self) -> int:
        """Work. Returns the number of attempts made.

        Raises
        ------
        LedgerError
            The objective of a claimed trial cannot be loaded here; the trial was released.
        """
        attempts = 0
        say(_log, "started", f"worker {self.name} is here", worker=self.name)
        with self._signals():
            try:
                while not self._leaving and attempts != self._orders.max_trials:
                    self._announce()
                    held = self._session.call(protocol.claim, self._orders.study, uuid.uuid4(), self.name)
                    if held is not None:
                        attempts += 1
                        self._attempt(held)
                    elif self._orders.until_complete and self._session.call(protocol.ended, self._orders.study):
                        break
                    else:
                        self._idle()
            finally:
                self._trainer.kill()
                self._leave(attempts)
        return attempts

    def _attempt(self, held: Claimed) -> None:
        facts: dict[str, Any] = {
            "worker": self.name,
            "study": held.study_name,
            "trial": held.trial,
            "attempt": held.attempt,
        }
        what = f"{held.study_name} trial {held.trial}"
        say(_log, "claimed", f"{what} claimed: {json.dumps(held.params)}", params=held.params, **facts)
        seed = derive(held.study_seed, "trial", held.trial)
        context = Context(held.study_name, held.trial, held.attempt, seed, held.study_seed)
        try:
            trained = self._train(held, context)
        except BaseException:
            self._session.call(protocol.release, held)
            raise
        if trained is None:
            return
        taken = f"{trained.seconds:.2f} s"
        if trained.kind == "refused":
            assert trained.error is not None
            self._session.call(protocol.release, held)
            raise LedgerError(trained.error)
        if trained.kind == "result":
            assert trained.loss is not None
            answer = self._session.call(protocol.complete, held, trained.loss, trained.metrics or {}, trained.seconds)
            message = f"{what}: loss {trained.loss:.6g} in {taken}"
            if answer in ("stale", "unknown"):
                message += "; it came too late: the trial was claimed again, has ended or was deleted"
            say(_log, "result", message, loss=trained.loss, seconds=trained.seconds, answer=answer, **facts)
            return
        assert trained.error is not None
        answer = self._session.call(protocol.fail, held, trained.error, trained.seconds, trained.kind)
        reason = trained.error.strip().splitlines()[-1]
        after = {"retry": "it will be tried again", "failed": "that was its last try"}.get(answer, answer)
        message = f"{what} failed after {taken}: {reason}; {after}"
        say(
            _log,
            "failed",
            message,
            level=logging.WARNING,
            error=reason,
            seconds=trained.seconds,
            answer=answer,
            **facts,
        )

    def _train(self, held: Claimed, context: Context) -> Trained | None:
        """Train under the lease; None where the claim is gone or was given back."""
        what = f"{held.study_name} trial {held.trial}"
        started = time.monotonic()
        deadline = float("inf") if held.timeout_seconds is None else started + held.timeout_seconds
        beat = started + held.heartbeat_seconds
        self._trainer.start(held.objective, held.params, context)
        while True:
            trained = self._trainer.wait(max(0.0, min(beat, deadline) - time.monotonic()), *self._wake)
            if trained is not None:
                return trained
            if self._leaving:
                self._trainer.kill()
                self._session.call(protocol.release, held)
                say(_log, "released", f"{what} released, uncounted", study=held.study_name, trial=held.trial)
                return None
            now = time.monotonic()
            if now >= deadline:
                self._trainer.kill()
                return Trained("timeout", now - started, error=f"not done within {held.timeout_seconds:g} s")
            if now >= beat:
                beat = now + held.heartbeat_seconds
                if not self._session.call(protocol.heartbeat, held):
                    self._trainer.kill()
                    say(
                        _log,
                        "claim gone",
                        f"{what}: the claim is gone, so its training was ended",
                        level=logging.WARNING,
                        study=held.study_name,
                        trial=held.trial,
                    )
                    return None
                self._announce()

    @property
    def _leaving(self) -> bool:
        """Whether a signal, or the end of the leash, asks to leave."""
        return bool(wait(self._wake, 0))

    def _idle(self) -> None:
        """Wait for a notification, for the poll, or for a signal."""
        connection = self._session.connection
        # jitter, so that idle workers do not poll in step
        wait([*self._wake, connection.fileno()], POLL_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311
        self._session.call(lambda connection: list(connection.notifies(timeout=0)))

    def _between_tries(self, seconds: float) -> None:
        wait(self._wake, seconds)
        if self._leaving:
            raise LedgerError("left while the database was away: a trial in hand goes back when its lease ends")

    def _announce(self, *, stopped: bool = False) -> None:
        if not stopped and time.monotonic() - self._announced < ANNOUNCE_SECONDS:
            return
        versions = {} if stopped or self._announced > 0 else _versions()
        self._session.call(protocol.announce, self.name, self._host, os.getpid(), versions, stopped=stopped)
        self._announced = time.monotonic()

    def _leave(self, attempts: int) -> None:
        self._announce(stopped=True)
        self._session.close()
        say(_log, "left", f"worker {self.name} leaves after {attempts} attempts", worker=self.name, attempts=attempts)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def leave(_number: int, _frame: FrameType | None) -> None:
            os.write(self._woken, b"!")

        before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._woken)
            os.close(self._wake[0])


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
