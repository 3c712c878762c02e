"""Signs exports with the platform's Ed25519 key, and checks what was signed. No cases here.

An export is a zip: `manifest.json` names every other file with its size and sha256, and
`manifest.sig` is the signature over the manifest's bytes.
"""

import hashlib
import json
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
CHUNK = 64 * 1024


class BrokenSeal(Exception):
    """The export is not what was signed; the sentence says in what."""


def public_key() -> str:
    """What exports of this installation are checked with, in base64."""
    raw = _key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b64encode(raw).decode()


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(settings.EXPORT_SIGNING_KEY)


class SealedZip:
    """Writes a zip whose every file is in the manifest; `close` signs it."""

    def __init__(self, target: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self._files: list[dict[str, Any]] = []

    def add(self, path: str, chunks: Iterable[bytes], *, packed: bool = True) -> None:
        """Add one file; of what is compressed already it is not tried again."""
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        with self._zip.open(info, "w", force_zip64=True) as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        self._files.append({"path": path, "size": size, "sha256": digest.hexdigest()})

    def give_up(self) -> None:
        """Leave the zip unfinished: nothing signs it."""
        self._zip.close()

    def close(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest, which begins with these facts, and its signature."""
        told = {**facts, "public_key": public_key(), "files": self._files}
        manifest = json.dumps(told, indent=2, ensure_ascii=False).encode()
        self._zip.writestr(MANIFEST, manifest)
        self._zip.writestr(SIGNATURE, _key().sign(manifest))
        self._zip.close()


def opened(source: IO[bytes], keys: Iterable[str]) -> tuple[dict[str, Any], zipfile.ZipFile]:
    """The manifest and the files of an export that one of these keys (base64) has signed.

    Every file was read and compared. Raises BrokenSeal when anything is missing, added or changed.
    """
    try:
        box = zipfile.ZipFile(source)
        names = [entry.filename for entry in box.infolist()]
        manifest, signature = box.read(MANIFEST), box.read(SIGNATURE)
    except (zipfile.BadZipFile, KeyError) as reason:
        raise BrokenSeal("This is no export: it is not a zip with a signed manifest.") from reason
    if not any(_is_signed(manifest, signature, key) for key in keys):
        raise BrokenSeal("The manifest was not signed with this key.")
    told: dict[str, Any] = json.loads(manifest)
    wanted = {entry["path"]: entry for entry in told["files"]}
    if len(names) != len(set(names)) or set(names) != {*wanted, MANIFEST, SIGNATURE}:
        raise BrokenSeal("Files were added or are missing.")
    for path, entry in wanted.items():
        try:
            digest = _digest(box, path)
        except zipfile.BadZipFile as reason:
            raise BrokenSeal(f"{path} is damaged.") from reason
        if digest != entry["sha256"]:
            raise BrokenSeal(f"{path} was changed.")
    return told, box


def _digest(box: zipfile.ZipFile, path: str) -> str:
    digest = hashlib.sha256()
    with box.open(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _is_signed(content: bytes, signature: bytes, key: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(b64decode(key)).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True
