"""A file with the fits and the data of a search. All workers on one machine read this file.

The file contains a pickle of protocol 5. The file stores the buffers of arrays before the pickle, and each process maps
the file into memory. Therefore all processes of a machine share one copy of the data. A process reads the data only
once for all trials of the process.
"""

import mmap
import pickle
from pathlib import Path
from typing import Any

from ledger.errors import UsageError
from ledger.text import one_line

# In the file, each buffer begins at a multiple of `_ALIGNMENT` bytes.
_ALIGNMENT = 64


class SharedContent:
    """A wrapper that contains only the place of an object in a file. A worker's process reads the object from the file
    when the process loads the objective.

    The pickle of a `SharedContent` contains only the path of the file and the position of the pickle in the file.

    Parameters
    ----------
    value : object
        The object.
    file : Path
        The file to write.

    Attributes
    ----------
    value : object
        The object. If a process has read the object from the file, the arrays inside the object are read-only in the
        process.

    Raises
    ------
    UsageError
        Python cannot pickle the object. The message is one line.
    """

    # The class has no attribute `__dict__`, so the digest of the objective's code does not include the path of the
    # file. The path of the file changes each time the user runs the search.
    __slots__ = ("_file", "_position", "value")

    def __init__(self, value: Any, file: Path) -> None:
        self.value = value
        self._file = str(file)
        self._position = _write(value, file)

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self._file, self._position)


def _write(value: Any, file: Path) -> int:
    """Write an object to a file. Return the position of the pickle in the file."""
    import cloudpickle

    buffers: list[pickle.PickleBuffer] = []
    try:
        content = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception as error:  # The method __reduce__ of a class may raise any exception.
        raise UsageError(
            f"the search cannot be pickled for the workers ({type(error).__name__}: {one_line(str(error))}): move the"
            " object that cannot be pickled (the estimator, the scorer or the data) into a module, or use another"
            " object"
        ) from None
    spans = []
    with file.open("wb") as out:
        for buffer in buffers:
            raw = buffer.raw()
            out.seek(-(-out.tell() // _ALIGNMENT) * _ALIGNMENT)
            spans.append((out.tell(), raw.nbytes))
            out.write(raw)
        position = out.tell()
        pickle.dump((content, spans), out)
    return position


def _read(file: str, position: int) -> "SharedContent":
    with open(file, "rb") as opened:  # noqa: PTH123 (the path is a string)
        content = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    # It is safe to load the pickle, because the process that runs the search has written the file.
    pickled, spans = pickle.loads(content[position:])  # noqa: S301
    read: SharedContent = SharedContent.__new__(SharedContent)
    read.value = pickle.loads(pickled, buffers=[content[at : at + size] for at, size in spans])  # noqa: S301
    read._file, read._position = file, position
    return read
