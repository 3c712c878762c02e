"""The servers of one run: PostgreSQL, Valkey, the sandbox, a mail sink; gone when it is over."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from config.embedded import DATABASE, DATABASE_USER, Embedded
from tests.sandbox_fixture import SandboxClient

HERE = Path(__file__).resolve().parent.parent.parent
SECRET = "whsec_torture"
WEBHOOK = "WH-TORTURE"


@dataclass
class House:
    """A state folder with its servers running and the tables made; databases are copied from it."""

    state: Path
    servers: Embedded

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """What a process of the product is told, to work on a database of this name."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        host = self.servers.postgres_host
        return {
            **kept,
            "DJANGO_SETTINGS_MODULE": "tests.torture.settings",
            "DEMO": "1",
            "SECRET_KEY": "known to everyone who reads the tests",
            "VAR_DIR": str(self.state / name),
            "CLOCK_FILE": str(self.state / name / "clock"),
            "DATABASE_URL": f"postgres://{DATABASE_USER}@/{name}?host={host}",
            "REDIS_URL": self.servers.redis_url,
            "LOG_LEVEL": "CRITICAL",
            "STRIPE_API_KEY": "sk_test_torture",
            "PAYPAL_CLIENT_ID": "torture",
            "PAYPAL_CLIENT_SECRET": "torture",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "PAYPAL_WEBHOOK_ID": WEBHOOK,
            "PAYPAL_WEBHOOK_CA": str(self.state / name / "authority.pem"),
            **more,
        }

    def add_database(self, name: str) -> None:
        """Copy the empty tables into a database of their own, and make its folder."""
        (self.state / name).mkdir()
        with self._admin() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")

    def valkey(self) -> redis.Redis:
        """Valkey itself, to look into its lists and to empty it."""
        return redis.Redis.from_url(self.servers.redis_url)

    def _admin(self) -> psycopg.Connection[Any]:
        host = str(self.servers.postgres_host)
        return psycopg.connect(host=host, user=DATABASE_USER, dbname="postgres", autocommit=True)


@contextmanager
def open_house(*, durable: bool = False) -> Iterator[House]:
    """Start PostgreSQL and Valkey in a new folder and make the tables; remove it all at the end.

    `durable` where PostgreSQL is to survive a crash.
    """
    state = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))  # paths of sockets have to be short
    state.chmod(0o711)
    house = House(state, Embedded(state, durable=durable))
    try:
        house.servers.start()
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
        subprocess.run(migrate, cwd=HERE, env=house.environment(DATABASE), check=True)
        yield house
    finally:
        house.servers.remove()
        shutil.rmtree(state, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def say(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The line of JSON that a process says first."""
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


@contextmanager
def sandbox_of(environment: dict[str, str], webhook_url: str = "") -> Iterator[SandboxClient]:
    """Both providers as a process of their own, which tells of every change if it has whom."""
    command = [sys.executable, "-m", "payments.sandbox", "--settle-seconds", "0"]
    command += ["--authority", environment["PAYPAL_WEBHOOK_CA"]]
    command += ["--webhook-url", webhook_url] if webhook_url else []
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, cwd=HERE, env=environment,
                start_new_session=True,
            )
        )  # fmt: skip
        stack.callback(process.terminate)
        said = say(process)
        yield SandboxClient(stripe_url=said["stripe"], paypal_url=said["paypal"])
