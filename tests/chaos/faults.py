"""Real faults, aimed at a process that holds a claim or waits for an answer."""

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg

from tests.chaos.fleet import Fleet, Member
from tests.chaos.studies import LEASE
from tests.system import disks
from tests.system.disks import Disk
from tests.system.proxy import Link, Proxy, Trap, Where
from tests.system.servers import Server

T = TypeVar("T")

# Seconds that a fault waits for a target.
AIM = 10.0
# Calls whose acknowledgement can be lost: a commit of the manager, and functions that workers call.
CALLS = ("commit", "claim", "complete", "complete", "report", "report", "heartbeat", "prune", "save_artifact")
# Calls that can arrive at the database after their repetition.
LATE_CALLS = (*CALLS[1:], "begin_artifact", "begin_artifact", "release", "fail")


@dataclass
class Fault:
    """An injected fault. `hit` is true if its target held a claim or had an open statement."""

    kind: str
    hit: bool = False
    what: str = ""


@dataclass(frozen=True)
class _Lasting:
    """A fault that lasts until a moment, or until its condition is over. `target` is "network", "store" or "worker"."""

    until: float
    end: Callable[[], None]
    target: str
    is_over: Callable[[], bool] = lambda: False


class Injector:
    """Injector of one fault at a time. Some faults last, and end later.

    Parameters
    ----------
    store : Path
        A link to the folder that keeps the artifacts and the checkpoints.
    disk : Disk or None
        The disk of the store, if the test can fill it.
    """

    def __init__(
        self, server: Server, proxy: Proxy, fleet: Fleet, store: Path, disk: Disk | None, random: random.Random
    ) -> None:
        self._server, self._proxy, self._fleet, self._random = server, proxy, fleet, random
        self._store, self._disk = store, disk
        self._lasting: list[_Lasting] = []
        self.injected: list[Fault] = []

    def inject(self, kind: str) -> Fault:
        fault = Fault(kind)
        self.injected.append(fault)
        KINDS[kind](self, fault)
        return fault

    def is_free_for(self, kind: str) -> bool:
        """Whether a fault of this kind can be injected now.

        At a time, only one lasting fault of the network and one lasting fault of the store are allowed.
        """
        return kind not in LASTING or all(fault.target != kind.partition(":")[0] for fault in self._lasting)

    def pass_time(self) -> None:
        """Wait for a moment, replace processes that have exited, and end faults that have lasted long enough."""
        self._fleet.keep()
        now = time.monotonic()
        self._end([fault for fault in self._lasting if fault.until <= now or fault.is_over()])
        time.sleep(0.02)

    def end_all(self) -> None:
        self._end(list(self._lasting))

    # Processes

    def kill_worker(self, fault: Fault) -> None:
        member = self._stop_a_worker(fault)
        if member is not None:
            self._fleet.kill_worker(member)

    def dismiss_worker(self, fault: Fault) -> None:
        member = self._stop_a_worker(fault)
        if member is not None:
            self._fleet.ask_worker_to_leave(member)

    def stop_worker(self, fault: Fault) -> None:
        seconds, with_trainer = self._random.uniform(0.5, 4) * LEASE, self._random.random() < 0.5
        member = self._stop_a_worker(fault, with_trainer=with_trainer)
        fault.what += f", {'with' if with_trainer else 'without'} its trainer, for {seconds:.1f} s"
        if member is not None:
            self._later(seconds, member.go_on, "worker")

    def kill_manager(self, fault: Fault) -> None:
        self._wait(lambda: self._fleet.manager and any(_is_manager(link) for link in self._proxy.links))
        self._wait(self._held)
        manager = self._fleet.manager
        if manager is None:
            return
        manager.stop()
        fault.hit = bool(self._held()) or any(_is_manager(link) for link in self._proxy.in_flight)
        fault.what = f"pid {manager.pid}"
        manager.kill()

    # The database

    def restart(self, fault: Fault, mode: str) -> None:
        self._wait(self._held)
        fault.hit = bool(self._held() or self._proxy.in_flight)
        self._server.restart(mode)

    # The store

    def break_store(self, fault: Fault) -> None:
        """Let the path of the store lead to a file."""
        folder, nothing = self._store.resolve(), self._store.with_name("nothing")
        nothing.touch()
        self._let_store_fail(fault, lambda: lead_to(self._store, folder))
        lead_to(self._store, nothing)

    def fill_store(self, fault: Fault) -> None:
        assert self._disk is not None
        self._let_store_fail(fault, self._disk.make_room)
        self._disk.fill()

    def _let_store_fail(self, fault: Fault, end: Callable[[], None]) -> None:
        seconds = self._random.uniform(0.5, 2) * LEASE
        self._wait(self._held)
        fault.hit, fault.what = bool(self._held()), f"for {seconds:.1f} s"
        self._later(seconds, end, "store")

    # The network

    def cut(self, fault: Fault) -> None:
        where, fault.what = self._choose()
        if where is _is_manager:
            # between two polls the manager has no open statement, so cut the connection at the next one
            trap = self._proxy.trap(_is_manager, answer=False, cut=True)
            fault.hit = bool(self._wait(trap.sprung.is_set))
            self._proxy.release(trap)
            return
        hit = self._hit(where)
        self._proxy.cut(where)
        fault.hit = hit

    def delay(self, fault: Fault) -> None:
        seconds, last = self._random.uniform(0.1, 0.8), self._random.uniform(1, 3)
        where, target = self._choose()
        fault.what = f"{target}, by {seconds:.1f} s, for {last:.1f} s"
        self._proxy.delay(seconds, where)
        self._for(fault, last, where)

    def half_open(self, fault: Fault) -> None:
        seconds = self._random.uniform(0.5, 2) * LEASE
        to_server, to_client = self._random.choice([(True, True), (True, True), (True, False), (False, True)])
        where, target = self._choose()
        fault.what = f"{target}, to the server {to_server}, to the client {to_client}, for {seconds:.1f} s"
        self._proxy.stall(where, to_server=to_server, to_client=to_client)
        self._for(fault, seconds, where)

    def silence(self, fault: Fault) -> None:
        seconds = self._random.uniform(0.5, 2) * LEASE
        where, target = self._choose()
        fault.what = f"{target}, for {seconds:.1f} s"
        self._proxy.silence(where)
        self._for(fault, seconds, where)

    def lose_answer(self, fault: Fault) -> None:
        fault.what = self._random.choice(CALLS)
        where = _written_and_committed() if fault.what == "commit" else _calls(f"ledger.{fault.what}(")
        self._arm(fault, self._proxy.lose_answer(where))

    def deliver_late(self, fault: Fault) -> None:
        """Disconnect a worker, which repeats its call. The first call reaches the database some time later."""
        call, seconds = self._random.choice(LATE_CALLS), self._random.uniform(0, 1.5)
        fault.what = f"{call}, by {seconds:.1f} s"
        self._arm(fault, self._proxy.deliver_late(seconds, _calls(f"ledger.{call}(")))

    # Aiming

    def _arm(self, fault: Fault, trap: Trap) -> None:
        """Keep a trap until a statement springs it, or until the time to aim is over."""

        def end() -> None:
            fault.hit = trap.sprung.is_set()
            self._proxy.release(trap)

        self._later(AIM, end, "network", is_over=trap.sprung.is_set)

    def _held(self) -> set[int]:
        """Return the process ids of the live workers that hold a claim according to the ledger."""
        try:
            with psycopg.connect(self._server.url, connect_timeout=10) as connection:
                names = connection.execute("select worker from ledger.trial where state = 'running'").fetchall()
        except psycopg.OperationalError:
            return set()
        living = {member.pid for member in self._fleet.everybody if member.runs}
        return living & {_pid(name) for (name,) in names}

    def _stop_a_worker(self, fault: Fault, *, with_trainer: bool = False) -> Member | None:
        """Stop a worker that holds a claim or waits for an answer. Only a stopped worker can be checked for this."""

        def stopped() -> Member | None:
            held = self._held()
            holders = [worker for worker in self._fleet.workers if worker.pid in held]
            if not holders:
                return None
            member = self._random.choice(holders)
            member.stop(with_children=with_trainer)
            if member.pid in self._held() or any(_pid_of(link) == member.pid for link in self._proxy.in_flight):
                return member
            member.go_on()
            return None

        member = self._wait(stopped)
        fault.hit, fault.what = member is not None, f"pid {member.pid}" if member else "no worker"
        return member

    def _choose(self) -> tuple[Where | None, str]:
        """Wait for a claim, and choose connections: all, the manager's, or those of some workers."""
        self._wait(self._held)
        lot = self._random.random()
        if lot < 0.4:
            return None, "all"
        if lot < 0.6:
            return _is_manager, "manager"
        held = self._held()
        workers = {member.pid for member in self._fleet.workers}
        some = {pid for those in (workers & held, workers - held) for pid in self._half(those)}
        return (lambda link: _pid_of(link) in some), f"{len(some)} workers"

    def _half(self, pids: set[int]) -> list[int]:
        return self._random.sample(sorted(pids), -(-len(pids) // 2))

    def _hit(self, where: Where | None) -> bool:
        """Return whether any of these connections waits for an answer, or belongs to a worker that holds a claim."""
        held = self._held()
        waiting = self._proxy.in_flight
        chosen = [link for link in self._proxy.links if where is None or where(link)]
        return any(link in waiting or _pid_of(link) in held for link in chosen)

    def _for(self, fault: Fault, seconds: float, where: Where | None) -> None:
        """Let a network fault last, and record at its start and its end whether it hit a target."""

        def end() -> None:
            fault.hit = fault.hit or self._hit(where)
            self._proxy.resume()

        fault.hit = self._hit(where)
        self._later(seconds, end, "network")

    def _end(self, faults: list[_Lasting]) -> None:
        for fault in faults:
            self._lasting.remove(fault)
            fault.end()

    def _later(
        self, seconds: float, end: Callable[[], None], target: str, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self._lasting.append(_Lasting(time.monotonic() + seconds, end, target, is_over))

    def _wait(self, condition: Callable[[], T]) -> T:
        """Wait until the condition is true, for at most `AIM` seconds. Returns its last value."""
        until = time.monotonic() + AIM
        while not (value := condition()) and time.monotonic() < until:
            self.pass_time()
        return value


KINDS: dict[str, Callable[[Injector, Fault], None]] = {
    "worker: SIGKILL": Injector.kill_worker,
    "worker: SIGTERM": Injector.dismiss_worker,
    "worker: SIGSTOP, then SIGCONT": Injector.stop_worker,
    "manager: SIGKILL": Injector.kill_manager,
    "PostgreSQL: fast restart": lambda injector, fault: injector.restart(fault, "fast"),
    "PostgreSQL: immediate restart": lambda injector, fault: injector.restart(fault, "immediate"),
    "PostgreSQL: SIGKILL, restart": lambda injector, fault: injector.restart(fault, "kill"),
    "network: cut": Injector.cut,
    "network: delayed": Injector.delay,
    "network: half-open, acknowledging": Injector.half_open,
    "network: half-open, silent": Injector.silence,
    "network: acknowledgement lost": Injector.lose_answer,
    "network: statement late": Injector.deliver_late,
    "store: unavailable": Injector.break_store,
    "store: full": Injector.fill_store,
}
LASTING = {kind for kind in KINDS if kind.startswith(("network", "store")) and kind != "network: cut"}


def lead_to(store: Path, target: Path) -> None:
    """Let a symbolic link, such as the store of a worker, point to another folder."""
    link = store.with_name("link")
    link.symlink_to(target)
    link.replace(store)


def kinds() -> list[str]:
    """Return the kinds of faults that this machine can inject. Only root can fill a disk."""
    return [kind for kind in KINDS if kind != "store: full" or disks.is_available()]


def decks(random: random.Random) -> Iterator[str]:
    """Yield an endless sequence of kinds. Each shuffled part has four of each kind, and one of each restart."""
    restarts = [kind for kind in KINDS if kind.startswith("PostgreSQL")]
    deck = [kind for kind in kinds() if kind not in restarts] * 4 + restarts
    while True:
        yield from random.sample(deck, len(deck))


def _is_manager(link: Link) -> bool:
    return link.role.startswith("ledger manager")


def _pid_of(link: Link) -> int | None:
    """Return the process id in the name of a worker's session. A long host name can have cut it off."""
    return _pid(link.role)


def _pid(worker: str) -> int | None:
    match = re.search(r"-(\d+)-[0-9a-f]{4}$", worker)
    return int(match[1]) if match else None


def _calls(function: str) -> Where:
    return lambda link: function in link.statement


def _written_and_committed() -> Where:
    """Whether the statement is a commit of a manager that has written something."""
    wrote: set[Link] = set()

    def where(link: Link) -> bool:
        if not _is_manager(link):
            return False
        if link.statement.lower().startswith(("insert", "update")):
            wrote.add(link)
        return link.statement.lower() == "commit" and link in wrote

    return where
