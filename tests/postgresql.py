"""A real PostgreSQL for tests: made on a free port, thrown away afterwards."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

# Debian keeps the server's programs out of the PATH.
_FOLDERS = [Path(found).parent for found in [shutil.which("initdb")] if found]
_FOLDERS += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_BIN = next((folder for folder in _FOLDERS if (folder / "initdb").exists()), None)

needs_postgresql = pytest.mark.skipif(_BIN is None, reason="no PostgreSQL server here: apt-get install postgresql")


class PostgreSQL:
    """A server with one empty database and the user `footnote`, who needs no password."""

    def __init__(self, *, max_connections: int = 100) -> None:
        # Not pytest's folder: the server's user may not enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="footnote-postgresql-"))
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        # A crash of the server alone loses nothing without fsync; a power cut is not what these tests are about.
        self._options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
            f" -c fsync=off -c max_connections={max_connections}"
        )
        self._run("initdb", "-U", "footnote", "--auth=trust", "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return self._url("postgres")

    def make_database(self) -> str:
        """Make another empty database; return its URL."""
        name = f"d{secrets.token_hex(8)}"
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://footnote@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers; after `crash` it recovers first."""
        self._run("pg_ctl", "-l", str(self._folder / "log"), "-w", "-o", self._options, "start")

    def crash(self) -> None:
        """End every process of the server at once, as a crash does; no transaction gets to its end."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """End the server, if it runs, and delete what it kept."""
        command = self._command("pg_ctl", "-m", "immediate", "-w", "stop")
        subprocess.run(command, check=False, capture_output=True, cwd="/", timeout=60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        # To a file, not a pipe: the server that pg_ctl leaves behind would hold the pipe open.
        with (self._folder / "control").open("a+") as output:
            done = subprocess.run(command, check=False, stdout=output, stderr=output, cwd="/", timeout=60)
            output.seek(0)
            assert done.returncode == 0, output.read()

    def _command(self, program: str, *arguments: str) -> list[str]:
        """PostgreSQL refuses to run as root: there the Debian package's own user runs it."""
        assert _BIN is not None
        command = [str(_BIN / program), "-D", str(self._folder / "data"), *arguments]
        return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command
