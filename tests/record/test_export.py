"""The sealed record of a case: whole, signed, and cut to who reads it."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from marketplace.models import Company, TeamMember, User
from resolution import cases, print_case, sealing
from resolution.evidence import accept
from resolution.export import Audience
from resolution.models import Case, Reading, Rule
from resolution.terms import SYSTEM, Actor, Remedy, Verdict
from tests.evidence import hostile
from tests.evidence.hostile import upload

pytestmark = pytest.mark.usefixtures("stored")
CANARY = "canary5512"
SCRIPTS = "لم يصل المنتج 64. 商品が届きませんでした。한국어 Привет 👩‍👩‍👧 \u202egnp"


@dataclass
class World:
    """A case that has been through a lot, and who may have its record from where."""

    case: Case
    people: dict[Audience, User]

    def address(self, audience: Audience) -> str:
        number = self.case.public_id
        if audience == Audience.BUYER:
            return reverse("hub-export", args=[number])
        if audience == Audience.CREATOR:
            return reverse("dash-export", args=[number])
        return reverse("admin:resolution_case_export", args=[number, audience])

    def get(self, audience: Audience) -> Any:
        client = Client()
        client.force_login(self.people[audience])
        return client.get(self.address(audience))

    def export(self, audience: Audience) -> bytes:
        answer = self.get(audience)
        assert answer.status_code == 200
        return b"".join(answer.streaming_content)


@pytest.fixture
def world(
    waiting_case: Case, buyer: Actor, creator: Actor, staff: Actor, other_staff: Actor,
    bea: User, cleo: User, sam: User,
) -> World:  # fmt: skip
    """Each side has private words, files and names in it that the others may not read."""

    def step(name: str, actor: Actor, message: str = "So it is.", **more: Any) -> None:
        cases.take_step(waiting_case, name, actor, message=message, **more)

    User.objects.filter(pk=sam.pk).update(name=f"Sam {CANARY}-staff-name")
    User.objects.filter(pk=cleo.pk).update(name=f"Cleo {CANARY}-team-name")
    assert staff.user
    assert other_staff.user
    step(
        "comment", buyer, SCRIPTS, files=[accept(upload("beweis été.png", hostile.picture()), bea)]
    )
    secret = accept(upload(f"{CANARY}-staff-file.pdf", hostile.pdf()), sam)
    step("note", staff, f"{CANARY}-staff-note", files=[secret])
    step("deny", creator, "It is as described.")
    step("appeal", buyer, "No.")
    step(
        "propose", staff, f"{CANARY}-staff-proposal",
        verdict=Verdict(Remedy.REFUND, 6400, looked_at=("The page",)),
    )  # fmt: skip
    step(
        "decide", other_staff, "The page says so.",
        verdict=Verdict(Remedy.REFUND, 6400, looked_at=("The page",)),
    )  # fmt: skip
    step("refund_sent", SYSTEM, facts={"failure": f"{CANARY}-staff-failure"})
    rule = Rule.objects.create(
        company=waiting_case.company, name=f"{CANARY}-team-rule", position=1,
        reasons=["fraudulent"], message="Sorry.",
    )  # fmt: skip
    told = {"id": rule.pk, "version": 1, "name": rule.name}
    step("comment", creator, "Well.", facts={"rule": told, "amount_minor": 6400})
    people = {
        Audience.BUYER: bea, Audience.CREATOR: cleo, Audience.STAFF: sam, Audience.BANK: sam,
    }  # fmt: skip
    return World(waiting_case, people)


def files_in(export: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(export)) as box:
        return {name: box.read(name) for name in box.namelist()}


Verify = Callable[..., str]


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """What `manage.py verify_export` says of these bytes."""

    def run(export: bytes, **options: Any) -> str:
        path = tmp_path / "export.zip"
        path.write_bytes(export)
        call_command("verify_export", str(path), **options)
        return capsys.readouterr().out

    return run


READS = {
    Audience.BUYER: set(),
    Audience.CREATOR: {"team-name", "team-rule"},
    Audience.BANK: set(),
    Audience.STAFF: {
        "staff-name", "team-name", "staff-file", "staff-note", "staff-proposal", "staff-failure",
        "team-rule",
    },
}  # fmt: skip


@pytest.mark.parametrize("audience", Audience)
def test_everybody_gets_a_record_that_is_whole_signed_and_theirs(
    world: World, verify: Verify, audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    write_text = print_case._Paper.write_text

    def noted(self: Any, text: str, *args: Any, **kwargs: Any) -> None:
        printed.append(text)
        write_text(self, text, *args, **kwargs)

    monkeypatch.setattr(print_case._Paper, "write_text", noted)

    export = world.export(audience)

    found = files_in(export)
    told = json.loads(found["case.json"])
    kept = world.case.events.get(seq=3).attachments.get()
    path = next(file["path"] for file in told["files"] if file["id"] == kept.public_id)
    everything = "\n".join(
        [*printed, str(list(found)), found["case.json"].decode(), found["manifest.json"].decode()]
    )
    marks = set.union(*READS.values())
    assert {mark for mark in marks if f"{CANARY}-{mark}" in everything} == READS[audience]
    assert (world.case.buyer.email in everything) is (audience != Audience.CREATOR)
    assert found["case.pdf"].startswith(b"%PDF-")
    assert [SCRIPTS in printed, SCRIPTS in [e["message"] for e in told["events"]]] == [True, True]
    assert hashlib.sha256(found[path]).hexdigest() == kept.sha256
    files = 4 if audience == Audience.STAFF else 3
    assert f"for {audience}, made at" in verify(export)
    assert f"{files} files, all as they were signed." in verify(export)
    by_staff = audience in (Audience.STAFF, Audience.BANK)
    taken = [(world.people[audience].pk, "export", str(audience))] if by_staff else []
    assert list(Reading.objects.values_list("reader", "what", "detail")) == taken


def test_one_of_the_staff_who_is_a_party_takes_none(
    world: World, sam: User, company: Company
) -> None:
    TeamMember.objects.create(company=company, user=sam, role="viewer")

    assert [world.get(who).status_code for who in (Audience.STAFF, Audience.BANK)] == [403, 403]
    assert not Reading.objects.exists()


# ── What was changed shows ────────────────────────────────────────────────────────────────────────


def repacked(export: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    found = files_in(export)
    change(found)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as box:
        for name, content in found.items():
            box.writestr(name, content)
    return out.getvalue()


def test_whatever_is_changed_in_an_export_shows(
    world: World, verify: Verify, settings: Settings
) -> None:
    export = world.export(Audience.STAFF)
    picture = next(name for name in files_in(export) if name.endswith(".png"))
    former = sealing.public_key()

    def flaw(change: Callable[[dict[str, bytes]], object]) -> str:
        with pytest.raises(CommandError) as caught:
            verify(repacked(export, change))
        return str(caught.value)

    def reworded(found: dict[str, bytes]) -> None:
        found["case.json"] = found["case.json"].replace(b"It is as described.", b"It is not.")

    def resigned(found: dict[str, bytes]) -> None:
        found["manifest.json"] = found["manifest.json"].replace(b"staff", b"buyer")

    def forged(found: dict[str, bytes]) -> None:
        """By somebody who holds the key, and not the salt that the words were hashed with."""
        reworded(found)
        out = io.BytesIO()
        box, told = sealing.SealedZip(out), json.loads(found["manifest.json"])
        for name in told["files"]:
            box.add(name["path"], [found[name["path"]]])
        box.close({name: told[name] for name in told if name not in ("files", "public_key")})
        found.clear()
        found.update(files_in(out.getvalue()))

    added = "Files were added or are missing."
    assert flaw(reworded) == "case.json was changed."
    assert flaw(lambda found: found.update({picture: b"x"})) == f"{picture} was changed."
    assert flaw(lambda found: found.pop(picture)) == added
    assert flaw(lambda found: found.update({"more.txt": b"x"})) == added
    assert flaw(resigned) == "The manifest was not signed with this key."
    assert flaw(lambda found: found.pop("manifest.sig")).startswith("This is no export")
    assert flaw(forged).endswith("is not what the timeline’s hash says.")
    with pytest.raises(CommandError, match="no export"):
        verify(b"no zip")

    settings.EXPORT_SIGNING_KEY = bytes(range(32))
    with pytest.raises(CommandError, match="not signed with this key"):
        verify(export)
    with_it = verify(export, key=former)
    settings.EXPORT_FORMER_KEYS = [former]
    assert verify(export) == with_it


# ── Limits ────────────────────────────────────────────────────────────────────────────────────────


def test_too_much_for_one_download_is_said_so(world: World, settings: Settings) -> None:
    settings.MAX_EXPORT_BYTES = 10

    answer = world.get(Audience.BUYER)

    assert answer.status_code == 413
    assert "too large for one download" in answer.content.decode()


def test_an_export_without_one_of_its_files_is_none(world: World) -> None:
    default_storage.delete(str(world.case.events.get(seq=3).attachments.get().file.name))

    assert world.get(Audience.BUYER).status_code == 503


def test_every_character_is_printed_or_named() -> None:
    assert print_case.printable("a é 商 ل\u202e\u200d\ufe0f") == "a é 商 ل"
    assert print_case.printable("👩‍👧") == "[woman][girl]"
    assert print_case.printable("\0\ue000x") == "x"
