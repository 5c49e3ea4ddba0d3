"""The supervisor: owns the connection, the lease, the deadline and the signals of one worker."""

import logging
import math
import os
import random
import socket
import time
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import wait
from typing import Any

from psycopg import Connection

from ledger.database import protocol
from ledger.database.protocol import Claimed
from ledger.database.retry import Patience
from ledger.database.session import Away, Session
from ledger.errors import LedgerError
from ledger.logs import say
from ledger.objectives import Context
from ledger.seeds import derive
from ledger.settings import Settings
from ledger.worker.data import Data
from ledger.worker.departure import Departure
from ledger.worker.hand import Hand
from ledger.worker.pace import Pace
from ledger.worker.trainer import Trained, Trainer

_log = logging.getLogger("ledger.worker")

POLL_SECONDS = 1.0
# For imports and the dataset, before a trial's own time limit begins: a slow machine must change no study.
LOADING_SECONDS = 300.0
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
    grace : float
        Seconds in which a trial in hand may be finished by a worker that is told to leave.
    trial_timeout : float or None
        Seconds after which an attempt is ended, where the study does not end it sooner.
    memory_limit : int or None
        Bytes of data that the trainer may hold.
    leash : bool
        Leave at the end of the file on standard input, which a crew's workers see when its starter ends.
    """

    study: str | None = None
    max_trials: int | None = None
    until_complete: bool = False
    allowed: Collection[str] = ()
    threads: int = 1
    grace: float = 8.0
    trial_timeout: float | None = None
    memory_limit: int | None = None
    leash: bool = False


class _LeftAwayError(Exception):
    """The time to leave came while the database was away."""


class Supervisor:
    """Claims, has the trainer train, and writes back, until its orders are done or it is told to leave."""

    def __init__(self, url: str, orders: Orders, settings: Settings) -> None:
        self._orders = orders
        self._host = socket.gethostname()
        self.name = f"{self._host}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        self._departure = Departure(orders.grace, leash=orders.leash)
        self._announced = -math.inf
        self._delivering = False
        self._pace = Pace()
        self._data = Data()
        self._trainer = Trainer(orders.allowed, orders.threads, orders.memory_limit)
        self._session = Session(
            url,
            f"ledger worker {self.name}"[:63],
            settings.statement_timeout,
            Patience(settings.give_up_after),
            protocol.listen,
            self._between_tries,
        )

    def run(self) -> int:
        """Work. Returns the number of attempts made.

        Raises
        ------
        LedgerError
            The objective of a claimed trial cannot be loaded here, and the trial was released; or the database was
            away for too long.
        """
        attempts = 0
        with self._departure.on_signals():
            try:
                self._announce()
                say(_log, "started", f"worker {self.name} is here", worker=self.name)
                while not self._departure.asked and attempts != self._orders.max_trials:
                    held = self._session.call(protocol.claim, self._orders.study, self._claims(attempts), self.name)
                    if held:
                        attempts += self._work(Hand(held, self.name))
                    elif self._orders.until_complete and self._session.call(protocol.ended, self._orders.study):
                        break
                    else:
                        self._idle()
                    self._announce()
            except _LeftAwayError:
                say(_log, "left away", "left while the database was away", level=logging.WARNING)
            finally:
                self._trainer.kill()
                self._data.close()
                self._leave(attempts)
        return attempts

    def _claims(self, attempts: int) -> list[uuid.UUID]:
        """Draw as many claims as there are trials to ask for."""
        most = self._pace.claims
        if self._orders.max_trials is not None:
            most = min(most, self._orders.max_trials - attempts)
        return [protocol.draw_claim() for _ in range(most)]

    def _work(self, hand: Hand) -> int:
        """Train what is in hand, one trial after the other. Returns the number of attempts begun."""
        try:
            # once, unless the trainer ends before the last of them
            while not self._departure.asked and (held := hand.begin()):
                if not self._has_data(held[0], hand):
                    break
                self._train(hand.begin(), hand)
        finally:
            hand.stop()
            self._settle(hand)
        return hand.attempts

    def _settle(self, hand: Hand) -> None:
        """Give back what is not done, and deliver what is.

        The former in two tries: the first may meet a connection that died unnoticed since the last beat. Whoever leaves
        has no time for more, and its lease ends anyhow.
        """
        self._delivering = True
        try:
            for _ in range(2):
                with suppress(Away):
                    hand.give_back(self._session.try_call)
                    break
            hand.deliver(self._session.call)
        finally:
            self._delivering = False
            hand.abandon()

    def _has_data(self, held: Claimed, hand: Hand) -> bool:
        """Fetch what the study trains on, where that is a file's content; False where no trial is to be trained."""
        data = held.objective.get("data")
        return data is None or self._data.fetch(data, self._session.call, lambda: self._goes_on(hand))

    def _goes_on(self, hand: Hand) -> bool:
        """Hold one trial while its dataset is fetched; False where it is to be given back, or is taken away."""
        if self._departure.is_due:
            return False
        if self._departure.asked:
            hand.hurry()
        if time.monotonic() >= hand.due:
            hand.keep_one()
            try:
                return hand.tend(self._session.try_call)
            except Away as away:
                hand.postpone(away.pause)
        return True

    def _train(self, held: Sequence[Claimed], hand: Hand) -> None:
        """Train trials of one study, also while the database is away.

        Until all are done or to be given back, or the trainer has ended with one of them.
        """
        started = time.monotonic()
        limit = min(seconds for seconds in (held[0].timeout_seconds, self._orders.trial_timeout, math.inf) if seconds)
        data = self._data.fileno() if "data" in held[0].objective else None
        self._trainer.start(held[0].objective, [(each.params, _context(each)) for each in held], data)
        while self._trainer.jobs:
            since = self._trainer.training_since
            deadline = (started + LOADING_SECONDS if since is None else since) + limit
            until = min(hand.due, deadline, self._departure.by)
            # poll() takes no more than 24 days at once
            pause = min(max(0.0, until - time.monotonic()), 1e6)
            ended = self._trainer.wait(pause, *self._departure.descriptors)
            for trained in ended:
                if trained.kind == "refused":
                    assert trained.error is not None
                    raise LedgerError(trained.error)
                self._pace.saw(held[0].study_id, trained)
                hand.end(trained)
            if not self._trainer.jobs:
                return
            if self._departure.is_due:
                self._trainer.kill()
                hand.stop(killed=True)
                return
            now = time.monotonic()
            if not ended and now >= deadline:
                self._trainer.kill()
                took = now - (started if since is None else since)
                trained = Trained("timeout", took, error=f"not done within {limit:g} s")
                self._pace.saw(held[0].study_id, trained)
                hand.end(trained)
                return
            if self._departure.asked:
                hand.hurry()
            if now >= hand.due:
                hand.withdraw(self._trainer.withdraw())
                try:
                    if not hand.tend(self._session.try_call):
                        self._trainer.kill()
                        return
                except Away as away:
                    hand.postpone(away.pause)
                else:
                    self._announce()

    def _idle(self) -> None:
        """Wait for a notification, for the poll, or for a signal."""
        # one that came with the answer to the last claim, which did not see the trials yet, wakes no wait
        if self._session.call(_heard):
            return
        connection = self._session.fileno()
        notified = [] if connection is None else [connection]
        # jitter, so that idle workers do not poll in step
        wait([*self._departure.descriptors, *notified], POLL_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311
        self._session.call(_heard)

    def _between_tries(self, seconds: float) -> None:
        """Wait before the database is tried again. The grace is for what is in hand."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            wait(self._departure.descriptors, max(0.0, min(end, self._departure.by) - now))
            if self._departure.is_due or (self._departure.asked and not self._delivering):
                raise _LeftAwayError

    def _announce(self, *, stopped: bool = False) -> None:
        if not stopped and time.monotonic() - self._announced < ANNOUNCE_SECONDS:
            return
        versions = {} if stopped or self._announced > 0 else _versions()
        announcement = (protocol.announce, self.name, self._host, os.getpid(), versions)
        if self._announced > 0:
            # news for people, which no training waits for
            try:
                self._session.try_call(*announcement, stopped=stopped)
            except LedgerError:
                return
        elif not stopped:
            self._session.call(*announcement)
        self._announced = time.monotonic()

    def _leave(self, attempts: int) -> None:
        self._announce(stopped=True)
        self._session.close()
        say(_log, "left", f"worker {self.name} leaves after {attempts} attempts", worker=self.name, attempts=attempts)


def _context(held: Claimed) -> Context:
    seed = derive(held.study_seed, "trial", held.trial)
    return Context(held.study_name, held.trial, held.attempt, seed, held.study_seed)


def _heard(connection: Connection[Any]) -> bool:
    """Take the notifications that have come; whether there were any."""
    return bool(list(connection.notifies(timeout=0)))


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
