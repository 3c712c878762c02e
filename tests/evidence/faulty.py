"""Storages that fail in the ways that real ones do."""

import errno
from pathlib import Path
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage


class WorkingStorage(FileSystemStorage):
    """Well again."""


class FullDisk(FileSystemStorage):
    """Takes the first half of a file, and then there is no room left."""

    def _save(self, name: str, content: File) -> str:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True)
        path.write_bytes(content.read()[: content.size // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


class SilentStorage(FileSystemStorage):
    """Takes a file, but never says so, and cannot be reached after that."""

    def _save(self, name: str, content: File) -> str:
        super()._save(name, content)  # type: ignore[misc]
        raise ReadTimeoutError(endpoint_url="https://storage.example")

    def delete(self, name: str) -> Any:
        raise ConnectTimeoutError(endpoint_url="https://storage.example")
