"""An SMTP server that delivers nowhere: it keeps each message of the demo as a file.

`python -m config.mail_sink --port 1025 --folder var/mail`. The pages that show them are in
`config/mailbox.py`.
"""

import argparse
import asyncio
import signal
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

MESSAGE_SUFFIX = ".eml"
LARGEST_MESSAGE = 10 * 2**20


class KeepAsFile:
    """Writes each accepted message whole, under a name that sorts by time of arrival."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.count += 1
        name = f"{time.time_ns():020d}-{self.count:06d}"
        recipients = ", ".join(envelope.rcpt_tos)
        content = envelope.original_content or b""
        unfinished = self.folder / f"{name}.part"
        unfinished.write_bytes(f"X-Envelope-To: {recipients}\r\n".encode() + content)
        unfinished.rename(self.folder / f"{name}{MESSAGE_SUFFIX}")
        return f"250 Kept as {name}"


async def serve(port: int, folder: Path) -> None:
    """Accept mail until the process is told to stop."""
    folder.mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    keep = KeepAsFile(folder)
    listening = await loop.create_server(
        lambda: SMTP(keep, data_size_limit=LARGEST_MESSAGE, enable_SMTPUTF8=True, loop=loop),
        host="127.0.0.1",
        port=port,
    )
    await stopped.wait()
    listening.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.folder))
