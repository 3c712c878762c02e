"""What is taken of the files that people add, what is refused, and in which words."""

import hashlib
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image
from pytest_django import Settings

from marketplace.models import User
from resolution import cases, evidence
from resolution.evidence import RefusedFile, accept, remove_unsent, safe_name, unsent_of
from resolution.models import Attachment, Case
from resolution.terms import Actor
from tests.conftest import Later
from tests.evidence import hostile
from tests.evidence.conftest import Stored
from tests.evidence.hostile import upload

NothingKept = Callable[[], bool]
ALLOWED = "Upload a PNG, JPEG, WebP, GIF, PDF, MP4, MOV or WebM file."


def refusal(name: str, content: bytes, user: User) -> str:
    with pytest.raises(RefusedFile) as caught:
        accept(upload(name, content), user)
    return caught.value.sentence


@pytest.mark.parametrize(
    ("name", "content", "kind", "content_type"),
    [
        ("a.png", hostile.picture("PNG"), "image", "image/png"),
        ("a.JPG", hostile.picture("JPEG"), "image", "image/jpeg"),
        ("a.jpeg", hostile.picture("JPEG"), "image", "image/jpeg"),
        ("a.webp", hostile.picture("WEBP"), "image", "image/webp"),
        ("a.gif", hostile.picture("GIF"), "image", "image/gif"),
        ("a.pdf", hostile.pdf(), "pdf", "application/pdf"),
        ("a.mp4", hostile.video(b"isom"), "video", "video/mp4"),
        ("a.mp4", hostile.video(b"avc1"), "video", "video/mp4"),
        ("a.mov", hostile.video(b"qt  "), "video", "video/quicktime"),
        ("a.mov", hostile.video(b"mp42"), "video", "video/mp4"),
        ("a.webm", hostile.webm(), "video", "video/webm"),
    ],
)
def test_every_kind_of_evidence_is_taken(
    name: str, content: bytes, kind: str, content_type: str, bea: User, stored: Stored
) -> None:
    taken = accept(upload(name, content), bea)

    assert (taken.filename, taken.kind, taken.content_type) == (name, kind, content_type)
    assert (taken.uploader, taken.event, taken.position) == (bea, None, None)
    assert stored() == [taken.file.name]
    with taken.file.open() as file:
        kept = file.read()
    assert (taken.size, taken.sha256) == (len(kept), hashlib.sha256(kept).hexdigest())


@pytest.mark.parametrize("content", [hostile.pdf(), hostile.video(), hostile.webm()])
def test_pdfs_and_videos_are_kept_byte_for_byte(content: bytes, bea: User, stored: Stored) -> None:
    taken = accept(upload("untitled", content), bea)

    with taken.file.open() as file:
        assert file.read() == content


def test_a_file_without_an_ending_gets_the_one_of_its_content(bea: User, stored: Stored) -> None:
    taken = accept(upload("Screenshot from yesterday", hostile.picture()), bea)

    assert taken.filename == "Screenshot from yesterday.png"


def test_the_key_in_the_storage_says_nothing_of_the_name(bea: User, stored: Stored) -> None:
    taken = accept(upload("secret plans.png", hostile.picture()), bea)

    folder, year, month, name = Path(str(taken.file.name)).parts
    assert (folder, len(year), len(month), name) == ("evidence", 4, 2, taken.public_id)


# ── Not what we take ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logo.svg", hostile.SVG),
        ("page.html", hostile.HTML),
        ("data.xml", hostile.XML),
        ("setup.exe", hostile.EXE),
        ("files.zip", hostile.ZIP),
        ("letter.docm", hostile.DOCM),
        ("notes.txt", b"it did not work"),
        ("photo.png.exe", hostile.EXE),
        ("photo.png.html", hostile.picture()),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)),
        ("nameless", hostile.HTML),
        ("nameless", hostile.SVG),
        ("nameless", hostile.ZIP),
        ("nameless", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)),
    ],
)
def test_other_kinds_of_file_are_refused(
    name: str, content: bytes, bea: User, nothing_kept: NothingKept
) -> None:
    sentence = refusal(name, content, bea)

    assert sentence == ALLOWED
    assert nothing_kept()


@pytest.mark.parametrize(
    ("name", "content", "claimed"),
    [
        ("photo.png", hostile.HTML, "PNG"),
        ("photo.png", hostile.SVG, "PNG"),
        ("photo.png", hostile.EXE, "PNG"),
        ("photo.png", hostile.picture("JPEG"), "PNG"),
        ("setup.exe.png", hostile.EXE, "PNG"),
        ("page.html.jpg", hostile.HTML, "JPEG"),
        ("photo.webp", b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "WebP"),
        ("photo.gif", hostile.pdf(), "GIF"),
        ("bill.pdf", hostile.DOCM, "PDF"),
        ("bill.pdf", b"%PDF-" + hostile.HTML, "PDF"),
        ("call.mp4", hostile.picture(), "MP4"),
        ("call.mp4", hostile.webm(), "MP4"),
        ("call.mp4", hostile.video(b"M4A "), "MP4"),
        ("call.mov", hostile.EXE, "MOV"),
        ("call.webm", hostile.webm(b"matroska"), "WebM"),
    ],
)
def test_a_name_that_does_not_fit_the_content_is_refused(
    name: str, content: bytes, claimed: str, bea: User, nothing_kept: NothingKept
) -> None:
    sentence = refusal(name, content, bea)

    assert sentence == f"“{name}” is not a real {claimed} file."
    assert nothing_kept()


def test_an_empty_file_is_refused(bea: User, nothing_kept: NothingKept) -> None:
    sentence = refusal("photo.png", b"", bea)

    assert sentence == "“photo.png” is empty. Choose another file."
    assert nothing_kept()


def test_a_file_over_the_limit_is_refused_with_its_size(
    bea: User, nothing_kept: NothingKept
) -> None:
    too_large = upload("call.mp4", hostile.video())
    too_large.size = 61 * 2**20

    with pytest.raises(RefusedFile) as caught:
        accept(too_large, bea)

    assert caught.value.sentence == ("“call.mp4” is 61 MB. Choose a file smaller than 25 MB.")
    assert nothing_kept()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo.png", hostile.picture("PNG", (300, 200))[:200]),
        ("photo.png", b"\x89PNG\r\n\x1a\n"),
        ("photo.jpg", hostile.picture("JPEG", (300, 200))[:-200]),
        ("photo.gif", hostile.picture("GIF", (300, 200))[:60]),
        ("bill.pdf", hostile.pdf()[:-20]),
        ("call.mp4", hostile.video()[:-1]),
        ("call.mp4", hostile.video()[:24]),
        ("call.mov", hostile.video(b"qt  ")[:300]),
    ],
)
def test_a_file_that_was_cut_off_is_refused(
    name: str, content: bytes, bea: User, nothing_kept: NothingKept
) -> None:
    sentence = refusal(name, content, bea)

    assert sentence == f"“{name}” is damaged or incomplete. Choose another copy of it."
    assert nothing_kept()


def test_a_pdf_with_a_password_is_refused(bea: User, nothing_kept: NothingKept) -> None:
    sentence = refusal("bill.pdf", hostile.encrypted_pdf(), bea)

    assert sentence == "“bill.pdf” needs a password. Remove the password first."
    assert nothing_kept()


def test_a_pdf_with_scripts_is_kept_as_a_pdf(bea: User, stored: Stored) -> None:
    taken = accept(upload("bill.pdf", hostile.pdf_with_javascript()), bea)

    assert (taken.kind, taken.content_type) == ("pdf", "application/pdf")


# ── Pictures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*args: object) -> None:
        pytest.fail("the picture was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")  # as outside of tests
@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (8_000, 5_001)])
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(
    width: int, height: int, bea: User, nothing_kept: NothingKept, never_decoded: None
) -> None:
    content = hostile.huge_png(width, height)
    assert len(content) < 150_000

    sentence = refusal("wall.png", content, bea)

    assert sentence == "“wall.png” is larger than 40 megapixels. Choose a smaller picture."
    assert nothing_kept()


def test_what_follows_a_picture_is_gone(bea: User, stored: Stored) -> None:
    taken = accept(upload("photo.png", hostile.polyglot()), bea)

    with taken.file.open() as file:
        kept = file.read()
    assert b"<script" not in kept
    assert kept.endswith(b"IEND\xaeB`\x82")


def test_a_photograph_stands_upright_and_does_not_say_where_it_was_taken(
    bea: User, stored: Stored
) -> None:
    content = hostile.jpeg_with_a_place()
    assert b"Nadia" in content

    taken = accept(upload("photo.jpg", content), bea)

    with taken.file.open() as file:
        kept = file.read()
    with Image.open(io.BytesIO(kept)) as image:
        assert image.size == (40, 60)
        assert dict(image.getexif()) == {}
        assert dict(image.getexif().get_ifd(0x8825)) == {}
    assert (b"Exif" in kept, b"Nadia" in kept, b"taken at home" in kept) == (False, False, False)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_still_shows_what_it_showed(form: str, bea: User, stored: Stored) -> None:
    taken = accept(upload(f"photo.{form.lower()}", hostile.picture(form)), bea)

    with taken.file.open() as file, Image.open(file) as image:
        left, right = (image.convert("RGB").getpixel(at) for at in ((5, 20), (55, 20)))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert (left[0] > 180, left[2] < 60, right[0] < 60, right[2] > 180) == (True,) * 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "I;16", "CMYK"])
def test_pictures_of_every_mode_are_taken(mode: str, bea: User, stored: Stored) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new(mode.replace("PA", "P"), (8, 8))
    out = io.BytesIO()
    image.save(out, form, **({"transparency": 0} if mode == "PA" else {}))

    taken = accept(upload(f"photo.{form.lower()}", out.getvalue()), bea)

    with taken.file.open() as file, Image.open(file) as kept:
        assert (kept.size, kept.format) == ((8, 8), form)


def test_a_photograph_of_two_pictures_in_one_keeps_the_first(bea: User, stored: Stored) -> None:
    out = io.BytesIO()
    depth = Image.new("RGB", (60, 40), "black")
    Image.new("RGB", (60, 40), "white").save(out, "MPO", save_all=True, append_images=[depth])

    taken = accept(upload("portrait.jpg", out.getvalue()), bea)

    with taken.file.open() as file, Image.open(file) as image:
        assert (image.format, image.getpixel((30, 20))) == ("JPEG", (255, 255, 255))


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_a_moving_picture_still_moves(form: str, bea: User, stored: Stored) -> None:
    taken = accept(upload(f"screen.{form.lower()}", hostile.moving_picture(form)), bea)

    with taken.file.open() as file, Image.open(file) as image:
        frames = getattr(image, "n_frames", 1)
        image.seek(2)
        red = image.convert("RGB").getpixel((20, 15))
        durations = image.info["duration"]
    assert (frames, durations) == (3, 80)
    assert isinstance(red, tuple)
    assert abs(red[0] - 120) < 20


def test_a_picture_that_moves_for_too_long_is_refused(
    bea: User, nothing_kept: NothingKept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MAX_MOVING_PIXELS", 2 * 40 * 30)

    sentence = refusal("screen.gif", hostile.moving_picture(), bea)

    assert sentence == "“screen.gif” moves for too long. Choose a shorter one, or a video."
    assert nothing_kept()


GOOD_FILES = [
    ("a.png", hostile.picture("PNG")),
    ("a.png", hostile.picture("PNG", (300, 200))),
    ("a.jpg", hostile.jpeg_with_a_place()),
    ("a.webp", hostile.picture("WEBP")),
    ("a.webp", hostile.moving_picture("WEBP")),
    ("a.gif", hostile.moving_picture("GIF")),
    ("a.pdf", hostile.pdf()),
    ("a.mp4", hostile.video()),
    ("a.webm", hostile.webm()),
]


@examples(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    good=st.sampled_from(GOOD_FILES),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=6)), max_size=5),
    end=st.floats(0, 1),
)
def test_a_broken_file_is_taken_or_refused_but_is_never_an_error_of_ours(
    good: tuple[str, bytes], changes: list[tuple[float, bytes]], end: float, bea: User,
    stored: Stored,
) -> None:  # fmt: skip
    name, content = good
    broken = bytearray(content)
    for place, bytes_there in changes:
        at = int(place * len(broken))
        broken[at : at + len(bytes_there)] = bytes_there
    before = Attachment.objects.count()

    try:
        accept(upload(name, bytes(broken[: int(end * len(broken)) + 1])), bea)
        taken = 1
    except RefusedFile:
        taken = 0

    assert Attachment.objects.count() == before + taken == len(stored())


# ── Names ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("..\\..\\windows\\call.mp4", "call.mp4"),
        ("C:\\fakepath\\a.png", "a.png"),
        ("a\0b.png", "ab.png"),
        ("a\r\nSet-Cookie: x=1.png", "a Set-Cookie: x=1.png"),
        ("photo\u202egnp.exe.png", "photognp.exe.png"),
        ("zero\u200bwidth.png", "zerowidth.png"),
        ("half\ud800.png", "half.png"),
        (".png", "file.png"),
        ("...", "file"),
        ("", "file"),
        ("/", "file"),
        ("  spaced   out .pdf", "spaced out.pdf"),
        ("écran été 📸.png", "écran été 📸.png"),
        ("צילום מסך.png", "צילום מסך.png"),
        ("x" * 300 + ".png", "x" * 116 + ".png"),
        ("x" * 300, "x" * 120),
        ("a." + "y" * 300, "a." + "y" * 118),
    ],
)
def test_names_are_made_safe(given: str, kept: str) -> None:
    assert safe_name(given) == kept


@pytest.mark.parametrize(
    "name", ["../../x.png", "a\0.png", "a\r\nb.png", "a\u202eb.png", "x" * 300 + ".png", "\ud800"]
)
def test_a_bad_name_does_not_keep_a_good_file_out(name: str, bea: User, stored: Stored) -> None:
    taken = accept(upload(name, hostile.picture()), bea)

    assert Attachment.objects.get().filename == taken.filename == safe_name(taken.filename)
    assert len(taken.filename) <= 120


# ── Keeping, finding, removing ────────────────────────────────────────────────────────────────────


def test_a_storage_that_is_down_leaves_no_row(
    bea: User, nothing_kept: NothingKept, tmp_path: Path
) -> None:
    (tmp_path / "media").write_text("a file where the folder should be")

    sentence = refusal("photo.png", hostile.picture(), bea)

    assert sentence == "We couldn’t store “photo.png”. Try again in a minute."
    assert not Attachment.objects.exists()


def test_a_disk_that_fills_up_keeps_no_half_of_a_file(
    bea: User, settings: Settings, nothing_kept: NothingKept, tmp_path: Path
) -> None:
    use_storage(settings, "FullDisk", tmp_path)

    sentence = refusal("photo.png", hostile.picture(), bea)

    assert sentence == "We couldn’t store “photo.png”. Try again in a minute."
    assert nothing_kept()


def test_bytes_that_may_have_arrived_are_found_by_the_sweep(
    bea: User, settings: Settings, stored: Stored, nothing_kept: NothingKept, tmp_path: Path,
    later: Later,
) -> None:  # fmt: skip
    use_storage(settings, "SilentStorage", tmp_path)
    sentence = refusal("photo.png", hostile.picture(), bea)
    assert sentence == "We couldn’t store “photo.png”. Try again in a minute."
    assert len(stored()) == 1

    use_storage(settings, "WorkingStorage", tmp_path)
    later(timedelta(days=1))
    removed = remove_unsent()

    assert removed == 1
    assert nothing_kept()


def use_storage(settings: Settings, name: str, tmp_path: Path) -> None:
    options = {"location": str(tmp_path / "media")}
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": f"tests.evidence.faulty.{name}", "OPTIONS": options}
    }


def test_a_video_is_never_held_in_memory(
    bea: User, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = TemporaryUploadedFile("call.mp4", "video/mp4", 0, None)
    on_disk.write(hostile.video(size=10 * 2**20))
    on_disk.size = on_disk.tell()
    largest = 0
    assert on_disk.file is not None
    read = on_disk.file.read

    def watched(size: int = -1) -> bytes:
        nonlocal largest
        content: bytes = read(size)
        largest = max(largest, len(content))
        return content

    monkeypatch.setattr(on_disk.file, "read", watched)

    taken = accept(on_disk, bea)

    assert taken.size > 10 * 2**20
    assert 0 < largest <= 64 * 1024
    on_disk.close()


def test_only_ones_own_unsent_files_are_found_in_the_order_asked(
    bea: User, nia: User, stored: Stored, waiting_case: Case, buyer: Actor
) -> None:
    first, second, sent = (accept(upload("a.png", hostile.picture()), bea) for _ in range(3))
    foreign = accept(upload("a.png", hostile.picture()), nia)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=[sent])
    ids = [second, foreign, sent, first, second]

    found = unsent_of(bea, [*(a.public_id for a in ids), "att_nothing", "a\0b", ""])

    assert found == [second, first]


def test_a_file_that_was_never_sent_is_removed_after_a_day(
    bea: User, stored: Stored, later: Later, waiting_case: Case, buyer: Actor
) -> None:
    accept(upload("a.png", hostile.picture()), bea)
    sent = accept(upload("b.png", hostile.picture()), bea)
    cases.take_step(waiting_case, "comment", buyer, message="Look.", files=[sent])
    later(timedelta(hours=20))
    fresh = accept(upload("c.png", hostile.picture()), bea)
    later(timedelta(hours=5))

    removed = [remove_unsent(), remove_unsent()]

    assert removed == [1, 0]
    assert list(Attachment.objects.order_by("pk")) == [sent, fresh]
    assert stored() == sorted([str(sent.file.name), str(fresh.file.name)])


def test_a_form_no_longer_takes_what_is_about_to_be_removed(
    bea: User, stored: Stored, later: Later
) -> None:
    old = accept(upload("a.png", hostile.picture()), bea)

    later(timedelta(hours=23, minutes=30))

    assert unsent_of(bea, [old.public_id]) == []
    assert remove_unsent() == 0


def test_bytes_that_are_gone_already_do_not_stop_the_removal(
    bea: User, stored: Stored, later: Later
) -> None:
    old = accept(upload("a.png", hostile.picture()), bea)
    old.file.storage.delete(str(old.file.name))
    later(timedelta(days=2))

    assert remove_unsent() == 1

    assert not Attachment.objects.exists()
