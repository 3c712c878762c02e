"""The real clamd, where it is installed, with a signature of our own in place of its database."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from resolution.scanner import NotScanned, virus_in
from tests.evidence import clamd, hostile

CLAMD = shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(CLAMD is None, reason="clamd (clamav-daemon) is not installed")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str | tuple[str, int]]]:
    """The addresses of a clamd of this test's own: a Unix socket, and a port."""
    assert CLAMD
    folder = tmp_path_factory.mktemp("clamd")
    folder.chmod(0o755)
    (folder / "ours.ndb").write_text(f"{clamd.NAME}:0:*:{clamd.SIGNATURE.hex()}\n")
    port = clamd.nobody_there()[1]
    config = folder / "clamd.conf"
    config.write_text(
        f"DatabaseDirectory {folder}\nLocalSocket {folder}/clamd.socket\n"
        f"TCPSocket {port}\nTCPAddr 127.0.0.1\nForeground yes\nStreamMaxLength 1M\n"
        f"TemporaryDirectory {folder}\nConcurrentDatabaseReload no\n"
    )
    log = (folder / "log").open("w")
    process = subprocess.Popen([CLAMD, "-c", str(config)], stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        yield {"unix": f"{folder}/clamd.socket", "tcp": ("127.0.0.1", port)}
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
    pytest.fail(log.read_text())


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_the_real_scanner_finds_what_it_is_to_find_and_nothing_else(
    way: str, running: dict[str, str | tuple[str, int]], settings: Settings
) -> None:
    settings.CLAMD = running[way]
    bad = hostile.pdf(b"/Note (" + clamd.SIGNATURE + b") ")

    found = [virus_in([content]) for content in (hostile.picture(), bad, hostile.video())]

    assert found == ["", f"{clamd.NAME}.UNOFFICIAL", ""]


def test_the_real_scanner_says_when_a_file_is_too_large_for_it(
    running: dict[str, str | tuple[str, int]], settings: Settings
) -> None:
    settings.CLAMD = running["unix"]

    with pytest.raises(NotScanned, match="size limit exceeded"):
        virus_in(bytes(64 * 1024) for _ in range(200))
