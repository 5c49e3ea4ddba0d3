"""Configuration of the embedded server. The configuration does not depend on the files in the server's data folder."""

import sys
from pathlib import Path

from ledger.embedded.folders import PORT

_FOLDER = Path(__file__).parent
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# The server also reads the file postgresql.auto.conf in its data folder. A setting on the command line has priority
# over postgresql.auto.conf. The command line contains every setting that can run a program, load code, or name a file
# outside the data folder. Therefore no line of postgresql.auto.conf can run a program, load code, or name a file
# outside the data folder.
_FIXED = {
    "config_file": str(_FOLDER / "postgresql.conf"),
    "hba_file": str(_FOLDER / "pg_hba.conf"),
    "ident_file": str(_FOLDER / "pg_ident.conf"),
    "listen_addresses": "",
    # The port is part of the socket's name.
    "port": str(PORT),
    **dict.fromkeys(("archive_command", "archive_library", "archive_cleanup_command"), ""),
    **dict.fromkeys(("restore_command", "recovery_end_command", "primary_conninfo"), ""),
    **dict.fromkeys(("shared_preload_libraries", "ssl_passphrase_command", "oauth_validator_libraries"), ""),
    "archive_mode": "off",
    "ssl": "off",
    "logging_collector": "off",
    "jit_provider": "llvmjit",
    "extension_control_path": "$system",
}
# The data folder can also contain settings of individual databases and roles (`alter database`, `alter role`). Settings
# of a database or a role have priority over the server's command line. The settings that `of_sessions` returns can load
# code into a session, or enable triggers that run at a login.
_OF_SESSIONS = {"session_preload_libraries": "", "local_preload_libraries": "", "dynamic_library_path": "$libdir"}
_EVENT_TRIGGERS_SINCE = 17


def of_sessions(version: int) -> dict[str, str]:
    """Return the settings that databases and roles in the data folder must not change.

    Parameters
    ----------
    version : int
        Major version of PostgreSQL. Since version 17, PostgreSQL has triggers that run at a login. The setting
        `event_triggers` can disable the triggers that run at a login.
    """
    return {**_OF_SESSIONS, **({"event_triggers": "off"} if version >= _EVENT_TRIGGERS_SINCE else {})}


def options(sockets: Path, version: int) -> list[str]:
    """Return the command-line options for the program `postgres`.

    Parameters
    ----------
    sockets : Path
        Folder of the server's socket.
    version : int
        Major version of PostgreSQL.
    """
    # The setting `unix_socket_directories` is a list of folders. The path of the folder is in quotes, because the path
    # may contain a comma or begin with a space.
    quoted = '"{}"'.format(str(sockets).replace('"', '""'))
    settings = {**_FIXED, **of_sessions(version), "unix_socket_directories": quoted}
    if sys.platform == "linux" and not _SHARED_MEMORY.is_dir():
        # Some sandboxes have no POSIX shared memory, which the server would use by default.
        settings["dynamic_shared_memory_type"] = "sysv"
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
