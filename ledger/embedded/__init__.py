"""The PostgreSQL server that is installed with the package, for use on one machine.

The server's home folder contains the data (``data``), the socket (``run``) and the log (``postgres.log``). A process is
a user of the server while the process is inside a ``with`` block of the context manager `running`. The first user
starts the server, and the last user stops the server.

A process refuses to use the server if one of the server's folders or files belongs to another system account, or if
another account can write to this folder or file. A process of root also accepts folders and files of the system user
that runs the server for root. The module `ownership` contains the checks of folders and files.

Three lock files show whether users of the server and processes of the server exist. The processes lock the lock files
with ``flock``, because the kernel releases a process's ``flock`` locks when the process ends.

- A user holds a shared lock on ``users.lock`` while it uses the server. If a user gets the exclusive lock on
  ``users.lock``, no other user of the server exists.
- A process holds the exclusive lock on ``server.lock`` while it starts or stops the server, and while it becomes a
  user of the server.
- Every process of the server inherits a shared lock on ``processes.lock``. If a process gets the exclusive lock on
  ``processes.lock``, no server process is left. A file with process ids would not be reliable, because the kernel
  reuses process ids.

The server is not a child process of any user, and runs in its own session. Therefore the server continues when a user
ends, and Ctrl-C in the terminal of a user does not reach the server.
"""

from ledger.embedded.folders import NAME, PORT, exists, url
from ledger.embedded.server import is_running, program, running

__all__ = ["NAME", "PORT", "exists", "is_running", "program", "running", "url"]
