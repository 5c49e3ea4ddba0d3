"""Proxy in front of a PostgreSQL server that injects network faults into connections.

It reads the messages of PostgreSQL's protocol 3.0, so it knows which statement of which connection is open.
"""

import asyncio
import ctypes
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.system.servers import free_port

R = TypeVar("R")
Where = Callable[["Link"], bool]

_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102
_CHUNK = 65536
# Linux: a packet filter on a socket that drops every packet, so nothing is acknowledged.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_FILTER = struct.pack("HP", 1, ctypes.addressof(_DROP_ALL))


class Link:
    """A client's connection, and the proxy's connection to the server for this client.

    Attributes
    ----------
    role : str
        The client's application_name; empty until it is known.
    statement : str
        The last statement; empty if it was only prepared.
    requests : int
        Number of statements received from the client so far.
    waiting : int
        Number of open requests of the client. The start of the session is a request too.
    """

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.role = self.statement = ""
        self.requests = self.waiting = 0
        self.delay = 0.0
        self.to_server, self.to_client = asyncio.Event(), asyncio.Event()
        self.trap: Trap | None = None
        self.has_client = True
        self.writers = [client]
        self.client_port: int = client.get_extra_info("peername")[1]
        self.task: asyncio.Task[None] | None = None
        self._from_client, self._from_server = _Messages(starts=True), _Messages(starts=False)
        self._statements: dict[bytes, bytes] = {}

    @property
    def in_flight(self) -> bool:
        """Whether a statement is open: its request has arrived, and the end of its answer has not been sent."""
        return self.waiting > 0

    def received(self, data: bytes) -> int:
        """Read data from the client, and return the number of statements that it completes."""
        before = self.requests
        for kind, body in self._from_client.feed(data):
            if kind == b"":
                self._start(body)
            elif kind == b"P":
                name, query, _ = body.split(b"\0", 2)
                self._statements[name] = query
                self.statement = ""  # not bound yet, so not executed yet
            elif kind == b"B":
                _, name, _ = body.split(b"\0", 2)
                self.statement = self._statements.get(name, b"").decode(errors="replace")
            elif kind == b"Q":
                self.statement = body.rstrip(b"\0").decode(errors="replace")
            if kind in (b"Q", b"S", b"F"):
                self.requests += 1
                self.waiting += 1
        return self.requests - before

    def answered(self, data: bytes) -> int:
        """Read data from the server, and return the number of requests that it answers."""
        return sum(kind == b"Z" for kind, _ in self._from_server.feed(data))

    def _start(self, body: bytes) -> None:
        (code,) = struct.unpack("!I", body[:4])
        if code in (_SSL_REQUEST, _GSS_REQUEST):
            self._from_client.starts = True
            self._from_server.single_bytes += 1
        elif code != _CANCEL_REQUEST:
            words = body[4:].rstrip(b"\0").split(b"\0")
            self.role = dict(zip(words[::2], words[1::2], strict=False)).get(b"application_name", b"").decode()
            self.waiting += 1

    def disconnect_client(self) -> None:
        """Reset the client's connection, and keep the connection to the server."""
        self.has_client = False
        _reset(self.writers[0])

    def abort(self) -> None:
        """Reset both connections."""
        for writer in self.writers:
            _reset(writer)
        if self.task is not None:
            self.task.cancel()


class Trap:
    """Trap for one statement. It stops the request before the server sees it, or the answer after the execution.

    With `late`, the client is disconnected, and the server receives the request only after this time in seconds.

    Attributes
    ----------
    sprung : threading.Event
        Set when the trap holds a link.
    link : Link or None
        The link that the trap holds.
    """

    def __init__(self, where: Where, *, answer: bool, cut: bool, late: float | None = None) -> None:
        self.where, self.answer, self.cut, self.late = where, answer, cut, late
        self.sprung = threading.Event()
        self.link: Link | None = None
        self.released = asyncio.Event()

    async def spring(self) -> None:
        assert self.link is not None
        if self.cut:
            self.link.abort()
            self.sprung.set()
        elif self.late is not None:
            self.link.disconnect_client()
            self.sprung.set()
            await asyncio.sleep(self.late)
        else:
            self.sprung.set()
            await self.released.wait()


class Proxy:
    """Proxy that forwards connections to 127.0.0.1:`port`: a context manager with thread-safe methods.

    A fault affects the links that `where` selects. Without `where`, it affects all links until `resume`, also new ones.
    """

    def __init__(self, port: int) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self._server_port = port
        self._links: set[Link] = set()
        self._traps: list[Trap] = []
        self._delay, self._gates = 0.0, (True, True)
        self._silent: list[Any] = []
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._wait(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, of_server: str) -> str:
        """Return the server's URL with the address of this proxy."""
        return of_server.replace(f"{self.host}:{self._server_port}", f"{self.host}:{self.port}")

    @property
    def links(self) -> list[Link]:
        """The links with an open connection of a client."""
        return self._do(lambda: [link for link in self._links if link.has_client])

    @property
    def in_flight(self) -> list[Link]:
        """The links with an open statement, including statements that were silenced before they arrived."""
        unacknowledged = _unacknowledged(self.port)
        return [link for link in self.links if link.in_flight or link.client_port in unacknowledged]

    def cut(self, where: Where | None = None) -> list[Link]:
        """Reset links now, and return them."""

        def cut() -> list[Link]:
            chosen = list(self._chosen(where))
            for link in chosen:
                link.abort()
            return chosen

        return self._do(cut)

    def delay(self, seconds: float, where: Where | None = None) -> None:
        """Delay all data in both directions."""

        def delay() -> None:
            if where is None:
                self._delay = seconds
            for link in self._chosen(where):
                link.delay = seconds

        self._do(delay)

    def stall(self, where: Where | None = None, *, to_server: bool = True, to_client: bool = True) -> None:
        """Forward nothing and close nothing. The client's packets are acknowledged, as by a load balancer.

        Without `where`, new connections are accepted and get no answer.
        """

        def stall() -> None:
            gates = (not to_server, not to_client)
            if where is None:
                self._gates = gates
            for link in self._chosen(where):
                _set_gates(link, gates)

        self._do(stall)

    def silence(self, where: Where | None = None) -> None:
        """Drop all packets of the clients without an acknowledgement, like an unplugged network."""

        def silence() -> None:
            chosen = [link for link in self._chosen(where) if link.has_client]
            sockets = [link.writers[0].get_extra_info("socket") for link in chosen]
            if where is None and self._listener is not None:
                sockets += self._listener.sockets
            for one in sockets:
                one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _FILTER)
                self._silent.append(one)

        self.stall(where)
        self._do(silence)

    def refuse(self) -> None:
        """Refuse new connections, and keep the open ones."""

        def refuse() -> None:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

        self._do(refuse)

    def resume(self) -> None:
        """End all lasting faults, and forward the held data."""

        async def resume() -> None:
            for one in self._silent:
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            self._silent.clear()
            self._delay, self._gates = 0.0, (True, True)
            for link in self._links:
                link.delay = 0.0
                _set_gates(link, (True, True))
            if self._listener is None:
                await self._listen()

        self._wait(resume())

    def trap(self, where: Where, *, answer: bool, cut: bool = False) -> Trap:
        """Stop the next statement that `where` selects, once, and hold its link until `release` or a cut.

        Parameters
        ----------
        where : callable
            Called with the link when a statement (`link.statement`) has arrived completely.
        answer : bool
            Let the server execute the statement, and stop the whole answer. Otherwise stop the request.
        cut : bool
            Reset the link instead of holding it.
        """
        trap = Trap(where, answer=answer, cut=cut)
        self._do(lambda: self._traps.append(trap))
        return trap

    def lose_answer(self, where: Where = lambda link: True) -> Trap:
        """Lose the acknowledgement of the next statement: the server executes it, and the client is disconnected."""
        return self.trap(where, answer=True, cut=True)

    def deliver_late(self, seconds: float, where: Where = lambda link: True) -> Trap:
        """Disconnect the client of the next statement, and let the server execute the statement after a time."""
        trap = Trap(where, answer=False, cut=False, late=seconds)
        self._do(lambda: self._traps.append(trap))
        return trap

    def release(self, trap: Trap) -> None:
        """Forward the data that a trap holds. Disarm a trap that has not sprung."""

        def release() -> None:
            if trap in self._traps:
                self._traps.remove(trap)
            trap.released.set()

        self._do(release)

    # Methods that run in the loop's thread

    def _do(self, function: Callable[[], R]) -> R:
        async def run() -> R:
            return function()

        return self._wait(run())

    def _wait(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _chosen(self, where: Where | None) -> Iterator[Link]:
        return (link for link in list(self._links) if where is None or where(link))

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, self.host, self.port)

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        tasks = [link.task for link in self._links if link.task is not None]
        for link in self._links:
            link.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        # a closing transport finishes its work in the next two iterations of the loop
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        link.delay = self._delay
        _set_gates(link, self._gates)
        self._links.add(link)
        # keepalive detects, after the end of a silence, that a client has gone
        client = writer.get_extra_info("socket")
        for option, value in {"KEEPIDLE": 1, "KEEPINTVL": 1, "KEEPCNT": 120}.items():
            client.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{option}"), value)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.task = self._loop.create_task(self._serve(link, reader))
        # not in the task itself, which never begins if it is cancelled at once
        link.task.add_done_callback(lambda _: self._links.discard(link))

    async def _serve(self, link: Link, client: asyncio.StreamReader) -> None:
        pumps: list[asyncio.Task[None]] = []
        try:
            await link.to_server.wait()
            server, writer = await asyncio.open_connection(self.host, self._server_port)
            link.writers.append(writer)
            pumps = [
                self._loop.create_task(self._requests(link, client, writer)),
                self._loop.create_task(self._answers(link, server, link.writers[0])),
            ]
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in done:
                pump.result()
            for writer in link.writers:
                writer.close()
        except OSError:
            link.abort()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in link.writers:
                if not writer.is_closing():
                    writer.transport.abort()

    async def _requests(self, link: Link, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await client.read(_CHUNK):
            if link.received(data):
                link.trap = link.trap or self._sprung(link)
            await self._pass(link, link.to_server)
            if link.trap is not None and not link.trap.answer:
                trap, link.trap = link.trap, None
                await trap.spring()
            server.write(data)
            await server.drain()

    async def _answers(self, link: Link, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        held = b""
        while data := await server.read(_CHUNK):
            finished = link.answered(data)
            if not link.has_client:
                link.waiting -= finished
                continue
            held += data
            if link.trap is not None and link.trap.answer:
                # send no answer before the last request has been executed
                if link.waiting - finished > 0:
                    link.waiting -= finished
                    continue
                trap, link.trap = link.trap, None
                await trap.spring()
            await self._pass(link, link.to_client)
            client.write(held)
            held = b""
            await client.drain()
            link.waiting -= finished

    async def _pass(self, link: Link, gate: asyncio.Event) -> None:
        if link.delay:
            await asyncio.sleep(link.delay)
        await gate.wait()

    def _sprung(self, link: Link) -> Trap | None:
        for trap in self._traps:
            if trap.where(link):
                self._traps.remove(trap)
                trap.link = link
                return trap
        return None


class _Messages:
    """Parser of the messages in one direction. A message has a type of one byte, except the first one, and a length."""

    def __init__(self, *, starts: bool) -> None:
        self.starts = starts
        self.single_bytes = 0  # expected answers of one byte, to requests for encryption
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._rest += data
        while self._rest:
            if self.single_bytes:
                self.single_bytes -= 1
                self._rest = self._rest[1:]
                continue
            kind = 0 if self.starts else 1
            if len(self._rest) < kind + 4:
                return
            (length,) = struct.unpack_from("!I", self._rest, kind)
            if len(self._rest) < kind + length:
                return
            type_, body = self._rest[:kind], self._rest[kind + 4 : kind + length]
            self._rest = self._rest[kind + length :]
            self.starts = False
            yield type_, body


def _unacknowledged(port: int) -> set[int]:
    """Return the ports of the clients with sent data that is not acknowledged yet."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if int(remote.rpartition(":")[2], 16) == port and int(queues.partition(":")[0], 16):
            found.add(int(local.rpartition(":")[2], 16))
    return found


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _set_gates(link: Link, gates: tuple[bool, bool]) -> None:
    for gate, is_open in zip((link.to_server, link.to_client), gates, strict=True):
        if is_open:
            gate.set()
        else:
            gate.clear()
