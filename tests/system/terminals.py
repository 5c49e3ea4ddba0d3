"""Terminal for a program under test: its output, and typed input."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.programs import wait_until

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """A process with its standard streams on a new terminal."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        width: int = 80,
        term: str = "xterm-256color",
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self.process = subprocess.Popen(
            command,
            env={**environment, "TERM": term},
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._said = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def raw(self) -> str:
        return self._said.decode(errors="replace")

    @property
    def text(self) -> str:
        """All output without cursor movements and colours."""
        return _CONTROL.sub("", self.raw)

    def wait_for(self, said: str) -> None:
        wait_until(lambda: said in self.text)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        code = self.process.wait()
        self._reader.join()
        os.close(self._master)
        return code

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if error is not None:
            error.add_note(f"the terminal shows:\n{self.text[-4000:]}")

    def _read(self) -> None:
        while True:
            try:
                said = os.read(self._master, 65536)
            except OSError:
                # Linux reports this error when the last process has closed the terminal
                return
            if not said:
                return
            self._said += said
