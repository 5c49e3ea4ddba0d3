"""The PostgreSQL server that is installed with the package, for use on one machine.

A home folder contains the data (``data``), the socket (``run``) and the server's log (``postgres.log``). The first user
starts the server, and the last one stops it. A user is a process within `running`.

Users and server processes are counted with ``flock``, which the kernel releases when a process ends:

- ``users.lock``: each user holds a shared lock while it uses the server. A user that can lock it exclusively is the
  last one.
- ``server.lock``: held exclusively to start or stop the server, and to become a user.
- ``processes.lock``: every process of the server inherits a shared lock. Where an exclusive lock succeeds, no process
  of the server is left. A process id in a file cannot show that, because process ids are reused.

The server is not a child of any user and has a session of its own, so it does not end with a user or by Ctrl-C.
"""

from ledger.embedded.folders import NAME, PORT, exists, url
from ledger.embedded.server import is_running, program, running

__all__ = ["NAME", "PORT", "exists", "is_running", "program", "running", "url"]
