"""PostgreSQL and Valkey out of packages: started once, shared, stopped by the last."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from config.embedded import DATABASE, DATABASE_USER, Embedded, ServerDidNotStart

START = """
import sys
from pathlib import Path
from config.embedded import Embedded
Embedded(Path(sys.argv[1]), durable=False).start()
"""


def started_at(servers: Embedded) -> tuple[object, object]:
    """What tells one run of the two servers from another."""
    with psycopg.connect(
        host=servers.database["HOST"], user=DATABASE_USER, dbname=DATABASE
    ) as connection:
        postgres = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    return postgres, redis.Redis.from_url(servers.redis_url).info("server")["run_id"]


def answers(servers: Embedded) -> tuple[bool, bool]:
    return servers._postgres_answers(), servers._valkey_answers()


@pytest.fixture
def servers(tmp_path: Path):
    servers = Embedded(tmp_path / "state", durable=False)
    yield servers
    servers.remove()


def test_starting_again_finds_the_running_servers(servers: Embedded):
    servers.start()
    first = started_at(servers)

    servers.start()

    assert started_at(servers) == first


def test_many_processes_at_once_start_one_pair_of_servers(servers: Embedded):
    servers.start()
    first = started_at(servers)
    command = [sys.executable, "-c", START, str(servers.state)]

    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda _: subprocess.run(command, check=True), range(3)))

    assert [process.returncode for process in done] == [0, 0, 0]
    assert started_at(servers) == first


def test_the_last_to_let_go_stops_them_and_what_was_stored_stays(servers: Embedded):
    other = Embedded(servers.state, durable=False)
    servers.start()
    other.start()
    connect = {"host": servers.database["HOST"], "user": DATABASE_USER, "dbname": DATABASE}
    with psycopg.connect(**connect) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    servers.release()
    while_one_is_left = answers(servers)
    other.release()
    when_none_is_left = answers(servers)
    servers.start()

    assert (while_one_is_left, when_none_is_left) == ((True, True), (False, False))
    with psycopg.connect(**connect) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_deep_folder_works_too(tmp_path: Path):
    servers = Embedded(tmp_path / ("long" * 20) / ("name" * 20), durable=False)

    servers.start()

    assert answers(servers) == (True, True)
    servers.remove()
    assert answers(servers) == (False, False)


def test_a_folder_of_somebody_else_is_not_used(servers: Embedded, tmp_path: Path):
    servers.state.mkdir()
    servers.valkey_folder.symlink_to(tmp_path)

    with pytest.raises(ServerDidNotStart) as refusal:
        servers.start(postgres=False)

    assert str(refusal.value) == f"{servers.valkey_folder} belongs to somebody else."
    assert answers(servers) == (False, False)
