"""The PostgreSQL server that is installed with the package, for use on one machine.

The server's home folder contains the data (``data``), the socket (``run``) and the log (``postgres.log``). A process
uses the server while the process is inside a ``with`` block of the context manager `running`. The first process that
uses the server starts the server, and the last process that uses the server stops the server.

A process refuses to use the server if another system user owns a folder or file of the server. A process also refuses
to use the server if another system user can write to a folder or file of the server. If a process runs as root, the
process also accepts folders and files of the user `account.SYSTEM_USER`. The user `account.SYSTEM_USER` runs the server
for root. The module `ownership` contains the checks of folders and files.

Three lock files show whether a process uses the server, and whether a process of the server still runs. The processes
use ``flock``, because the kernel releases a process's ``flock`` locks when the process ends.

- Every process that uses the server holds a shared lock on ``users.lock``. If a process gets the exclusive lock on
  ``users.lock``, no other process uses the server.
- A process that starts or stops the server holds the exclusive lock on ``server.lock``. A process that takes or
  releases a lock on ``users.lock`` also holds the exclusive lock on ``server.lock``.
- Every process of the server inherits a shared lock on ``processes.lock``. As long as a process of the server runs, no
  command can get the exclusive lock on ``processes.lock``. A file with the server's process ids would not be reliable,
  because the kernel reuses process ids.

The server is not a child of a process that uses the server. The server runs in its own POSIX session. Therefore the
server continues to run if the process that started the server is killed. Ctrl-C in a terminal does not end the server.
"""

from ledger.embedded.folders import NAME, PORT, exists, url
from ledger.embedded.server import is_running, program, running

__all__ = ["NAME", "PORT", "exists", "is_running", "program", "running", "url"]
