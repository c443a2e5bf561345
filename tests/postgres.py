"""A PostgreSQL server of the tests' own: found on this machine, else the one of the package `pgserver`."""

import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

TEMPLATE = "piv_template"


def programs() -> Path | None:
    """The folder with PostgreSQL's programs; None if there are none."""
    places = [Path(os.environ["POSTGRES_BIN"])] if os.environ.get("POSTGRES_BIN") else []
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pgserver")  # importing it would start to look for servers
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class Cluster:
    """A server with a folder and a port of its own. `durable`: with fsync, as in earnest."""

    def __init__(self, *, durable: bool = False) -> None:
        found = programs()
        assert found is not None, "there is no PostgreSQL: install Debian's `postgresql`, or `pgserver`"
        self._bin = found
        self._user = _user()
        self.folder = Path(tempfile.mkdtemp(prefix="piv-pg-"))
        self._data = self.folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port={self.port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\nmax_connections=300\n"
                "shared_buffers=32MB\nmax_wal_size=256MB\n"
            )
            if not durable:
                settings.write("fsync=off\nsynchronous_commit=off\nfull_page_writes=off\n")
        self.start()
        self._made: set[str] = set()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-l", self.folder / "log", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def database_for(self, path: Path) -> str:
        """The address of the database that stands for a store's file, made if there is none."""
        name = f"s_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
        if name not in self._made:
            self._made.add(name)
            if TEMPLATE not in self._made:
                self._made.add(TEMPLATE)
                self.execute(f"CREATE DATABASE {TEMPLATE}")
                from piv_mcp.store.postgres.connection import PostgresConnection
                from piv_mcp.store.postgres.tables import migrate

                with psycopg.connect(self.url(TEMPLATE)) as connection:
                    migrate(PostgresConnection(connection))
            self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            # Each store has an id of its own.
            self.execute("UPDATE facts SET value = substr(md5(random()::text), 1, 16) WHERE name = 'store:id'", name)
        return self.url(name)

    def forget_databases(self) -> None:
        for name in self._made - {TEMPLATE}:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made &= {TEMPLATE}

    def _run(self, program: str, *arguments: object) -> None:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            [str(self._bin / program), *map(str, arguments)],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
        )
        assert done.returncode == 0, (program, done.stderr)


def _user() -> str | None:
    """PostgreSQL does not run as root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
