"""The form of a log record: one line of JSON, so that a message cannot fake a second record.

Each line says which request and which task it belongs to, whose it is and which case it is about,
as far as that is known (marketplace/trail.py).
"""

import json
import logging
from datetime import UTC, datetime

from marketplace import trail

STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
NEVER_LOGGED = {"request", "response", "server_time", "data"}


class OneLine(logging.Formatter):
    """Time, level, logger, message, whatever was passed as `extra`, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **trail.present(),
        }
        left_out = STANDARD | NEVER_LOGGED
        line |= {name: value for name, value in record.__dict__.items() if name not in left_out}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)
