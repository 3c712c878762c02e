"""The same with files in an S3 bucket, over HTTP, as the settings configure it."""

import runpy
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from moto.server import ThreadedMotoServer
from pytest_django import Settings
from storages.backends.s3 import S3Storage

from marketplace.models import User
from resolution import custody
from resolution.evidence import RefusedFile, accept, remove_unsent
from resolution.models import Attachment
from tests.conftest import Later
from tests.evidence import hostile
from tests.evidence.hostile import upload

BUCKET = "evidence-of-the-tests"
KEYS = {"aws_access_key_id": "tester", "aws_secret_access_key": "known to all"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server of its own, on a port that was free."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The bucket that the settings point at, as its owner sees it."""
    for name, value in {
        "S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": server,
        "S3_ACCESS_KEY": KEYS["aws_access_key_id"],
        "S3_SECRET_KEY": KEYS["aws_secret_access_key"],
    }.items():
        monkeypatch.setenv(name, value)
    read_again = runpy.run_path(str(Path(settings.BASE_DIR) / "config" / "settings.py"))
    settings.STORAGES = settings.STORAGES | {"default": read_again["STORAGES"]["default"]}
    s3 = boto3.resource("s3", endpoint_url=server, region_name="us-east-1", **KEYS)
    made = s3.create_bucket(Bucket=BUCKET)
    yield made
    made.objects.delete()
    made.delete()


def keys_in(bucket: Any) -> list[str]:
    return [entry.key for entry in bucket.objects.all()]


def test_the_settings_put_files_into_the_bucket(bucket: Any) -> None:
    assert isinstance(default_storage, S3Storage)
    assert default_storage.bucket_name == BUCKET


@pytest.mark.parametrize(
    ("name", "content"),
    [("listing.png", hostile.picture()), ("call.mp4", hostile.video(size=9 * 2**20))],
)
def test_a_file_goes_to_the_bucket_and_comes_back(
    name: str, content: bytes, bucket: Any, bea: User, client: Client
) -> None:
    client.force_login(bea)

    taken = accept(upload(name, content), bea)
    response = client.get(reverse("attachment", args=[taken.public_id]), follow=True)

    assert keys_in(bucket) == [taken.file.name]
    kept = bucket.Object(taken.file.name).get()["Body"].read()
    assert b"".join(response) == kept
    assert (response.status_code, response["Content-Length"]) == (200, str(len(kept)))
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert [address.split("/")[1] for address, _ in response.redirect_chain] == ["files"]


def test_nobody_reads_the_bucket_without_us(bucket: Any, bea: User) -> None:
    taken = accept(upload("listing.png", hostile.picture()), bea)

    grants = bucket.Object(taken.file.name).Acl().grants

    assert [grant["Grantee"]["Type"] for grant in grants] == ["CanonicalUser"]
    assert bucket.Object(taken.file.name).content_disposition == "attachment"


def test_what_was_never_sent_leaves_the_bucket(bucket: Any, bea: User, later: Later) -> None:
    accept(upload("listing.png", hostile.picture()), bea)
    later(timedelta(days=1))

    removed = [remove_unsent(), remove_unsent()]

    assert removed == [1, 0]
    assert keys_in(bucket) == []
    assert not Attachment.objects.exists()


def test_a_bucket_that_is_gone_is_a_clear_error_and_no_row(bucket: Any, bea: User) -> None:
    bucket.delete()

    with pytest.raises(RefusedFile) as caught:
        accept(upload("listing.png", hostile.picture()), bea)

    assert caught.value.sentence == "We couldn’t store “listing.png”. Try again in a minute."
    assert not Attachment.objects.exists()
    bucket.create()


def test_bytes_that_are_missing_in_the_bucket_are_said_to_be_out_of_reach(
    bucket: Any, bea: User, client: Client
) -> None:
    taken = accept(upload("listing.png", hostile.picture()), bea)
    bucket.Object(taken.file.name).delete()
    client.force_login(bea)

    response = client.get(reverse("attachment", args=[taken.public_id]), follow=True)

    assert response.status_code == 503


def test_bytes_and_rows_are_compared_in_the_bucket(
    bucket: Any, bea: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lost = (accept(upload("listing.png", hostile.picture()), bea) for _ in range(2))
    folder = str(kept.file.name).rpartition("/")[0]
    bucket.put_object(Key=f"{folder}/stray", Body=b"x")
    bucket.Object(lost.file.name).delete()
    young = custody.compare_storage()
    monkeypatch.setattr(custody, "STRAY", timedelta(days=-1))

    assert (young, custody.compare_storage()) == ((0, []), (1, [lost.public_id]))
    assert keys_in(bucket) == [kept.file.name]
