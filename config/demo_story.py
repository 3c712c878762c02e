"""Who is who in the demo, what was paid, and what became of it: data that demo_history.py tells.

Days and hours count back from the moment of loading, or on from the entry before; amounts are minor
units. People, shops and addresses are made up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resolution.terms import Party, Reason, Remedy

PASSWORD = "demo-pass-2026"  # noqa: S105 (printed by the demo, and only good there)

NOT_RECEIVED, NOT_AS_DESCRIBED, UNACCEPTABLE, CANCELED, FRAUDULENT = Reason


@dataclass(frozen=True)
class Person:
    """Somebody with a login."""

    name: str
    email: str
    time_zone: str
    staff_role: str = ""
    superuser: bool = False


BUYERS = {
    "maya": Person("Maya Okafor", "maya.okafor@buyers.example", "Europe/London"),
    "daniel": Person("Daniel Reyes", "daniel.reyes@buyers.example", "America/New_York"),
    "sofia": Person("Sofia Lindqvist", "sofia.lindqvist@buyers.example", "Europe/Stockholm"),
    "kenji": Person("Kenji Tanaka", "kenji.tanaka@buyers.example", "Asia/Tokyo"),
    "ruth": Person("Ruth Adler", "ruth.adler@buyers.example", "Europe/Berlin"),
    "liam": Person("Liam O’Connor", "liam.oconnor@buyers.example", "America/Los_Angeles"),
}
STAFF = {
    "priya": Person("Priya Shah", "priya.shah@staff.example", "America/New_York", "agent"),
    "omar": Person("Omar Haddad", "omar.haddad@staff.example", "Europe/London", "agent"),
    "judith": Person("Judith Klein", "judith.klein@staff.example", "Europe/Berlin", "finance"),
    "ben": Person("Ben Carter", "ben.carter@staff.example", "America/Chicago", "finance"),
    "robin": Person("Robin Vale", "admin@staff.example", "UTC", "finance", superuser=True),
}
TEAM = {
    "marta": Person("Marta Nowak", "marta@sideproject.example", "Europe/Warsaw"),
    "theo": Person("Theo Brandt", "theo@sideproject.example", "Europe/Berlin"),
    "lena": Person("Lena Fischer", "lena@sideproject.example", "Europe/Vienna"),
    "amara": Person("Amara Diallo", "amara@loop-lens.example", "Europe/Paris"),
    "felix": Person("Felix Grant", "felix@loop-lens.example", "America/Toronto"),
    "ines": Person("Ines Carvalho", "ines@loop-lens.example", "Europe/Lisbon"),
    "hana": Person("Hana Mori", "hana@kiln-school.example", "America/Vancouver"),
    "tom": Person("Tom Ashby", "tom@kiln-school.example", "America/Denver"),
    "greta": Person("Greta Lund", "greta@kiln-school.example", "Europe/Copenhagen"),
    "jonas": Person("Jonas Weber", "jonas.weber@partners.example", "Europe/Zurich"),
}


@dataclass(frozen=True)
class Shop:
    """A company and the places in its team, by the keys of TEAM."""

    name: str
    team: dict[str, str]


SHOPS = {
    "club": Shop(
        "Sideproject Club",
        {"marta": "owner", "jonas": "admin", "theo": "support", "lena": "viewer"},
    ),
    "lens": Shop("Loop & Lens", {"amara": "owner", "felix": "support", "ines": "viewer"}),
    "kiln": Shop(
        "Kiln School",
        {"hana": "owner", "jonas": "admin", "tom": "support", "greta": "viewer"},
    ),
}


@dataclass(frozen=True)
class Article:
    """A product of a shop."""

    shop: str
    name: str
    price: int
    description: str
    interval: str = "once"
    currency: str = "USD"


ARTICLES = {
    "founders": Article(
        "club", "Founders circle", 4900, "Weekly calls and a feedback forum.", "month"
    ),
    "templates": Article(
        "club", "Launch week templates", 2900, "Forty pages, e-mails and posts to launch with."
    ),
    "pricing": Article(
        "club", "Pricing teardown workshop", 14900, "Two hours on your prices, live."
    ),
    "review": Article(
        "club", "One-to-one launch review", 39900, "Ninety minutes with Marta, and a written plan."
    ),
    "year": Article(
        "club", "A year of coaching", 150000, "A call with Marta every other week, for a year."
    ),
    "playbook": Article("club", "Cold e-mail playbook", 1900, "Twelve sequences that get answers."),
    "clinic": Article("club", "Landing page clinic", 7900, "Your page, taken apart on video."),
    "presets": Article("lens", "Golden Hour presets", 6400, "Sixty presets for warm light."),
    "luts": Article("lens", "Street Light LUTs", 3800, "Twenty looks for night video."),
    "circle": Article("lens", "Critique circle", 2400, "Your pictures, discussed.", "month"),
    "portrait": Article(
        "lens", "Portrait lighting course", 18900, "Nine lessons with one lamp and one window."
    ),
    "overlays": Article("lens", "Night city overlays", 4500, "Rain, neon and headlights."),
    "grain": Article("lens", "Film grain pack", 3200, "Scans of eleven films."),
    "walk": Article(
        "lens", "Tokyo street walk", 12000, "A live walk through Yanaka.", currency="JPY"
    ),
    "wheel": Article("kiln", "Wheel throwing basics", 9500, "Eight lessons from lump to bowl."),
    "glaze": Article("kiln", "Glaze library", 3500, "Tested recipes, new each month.", "month"),
    "raku": Article("kiln", "Raku weekend, recorded", 21000, "Two days by the kiln."),
    "handbook": Article(
        "kiln", "Handbuilding handbook", 2200, "Slabs, coils and pinch pots.", currency="EUR"
    ),
}


@dataclass(frozen=True)
class Paid:
    """A payment that nobody opened a case for; `given_back` is what the shop refunded by itself."""

    buyer: str
    article: str
    by: str
    days_ago: float
    given_back: int = 0


STRIPE, PAYPAL, CRYPTO, COINBASE = "stripe", "paypal", "crypto", "coinbase"
PAYPAL_SALE = "paypal sale"
"""Through PayPal's first API, as old memberships still are."""

PAYMENTS = [
    # Maya has much to choose from, of two shops, and time enough left for each.
    Paid("maya", "templates", STRIPE, 0.4),
    Paid("maya", "presets", PAYPAL, 0.6),
    Paid("maya", "clinic", STRIPE, 1.1),
    Paid("maya", "luts", STRIPE, 1.3),
    Paid("maya", "playbook", PAYPAL, 1.7),
    Paid("maya", "overlays", PAYPAL, 2.2),
    Paid("maya", "pricing", STRIPE, 2.4),
    Paid("maya", "portrait", STRIPE, 2.9),
    Paid("maya", "founders", PAYPAL, 3.5),
    Paid("maya", "circle", STRIPE, 4.2),
    Paid("maya", "review", PAYPAL, 5.1),
    Paid("maya", "grain", STRIPE, 1.9, given_back=1200),
    Paid("maya", "presets", STRIPE, 12.3, given_back=6400),
    Paid("maya", "luts", CRYPTO, 6.2),
    Paid("maya", "templates", COINBASE, 8.4),
    Paid("maya", "founders", PAYPAL, 33.5),
    Paid("maya", "circle", STRIPE, 34.2),
    Paid("maya", "founders", PAYPAL, 58.6),
    # Daniel too.
    Paid("daniel", "clinic", STRIPE, 0.8),
    Paid("daniel", "overlays", PAYPAL, 1.4),
    Paid("daniel", "presets", STRIPE, 2.6),
    Paid("daniel", "playbook", STRIPE, 3.3),
    Paid("daniel", "templates", PAYPAL, 4.8),
    Paid("daniel", "founders", STRIPE, 9.7),
    Paid("daniel", "pricing", STRIPE, 3.9, given_back=5000),
    Paid("daniel", "luts", PAYPAL, 15.2, given_back=3800),
    Paid("daniel", "portrait", CRYPTO, 11.5),
    Paid("daniel", "grain", COINBASE, 20.4),
    Paid("daniel", "founders", STRIPE, 39.7),
    Paid("daniel", "review", PAYPAL, 47.3),
    # The others, as people do.
    Paid("sofia", "glaze", STRIPE, 6.4),
    Paid("sofia", "wheel", PAYPAL, 3.2),
    Paid("sofia", "glaze", STRIPE, 36.4),
    Paid("sofia", "circle", PAYPAL, 13.1),
    Paid("kenji", "walk", STRIPE, 2.3),
    Paid("kenji", "luts", PAYPAL, 9.9),
    Paid("kenji", "walk", PAYPAL, 41.8),
    Paid("ruth", "handbook", STRIPE, 4.4),
    Paid("ruth", "raku", PAYPAL, 7.7, given_back=6000),
    Paid("ruth", "wheel", CRYPTO, 18.3),
    Paid("ruth", "clinic", STRIPE, 52.9),
    Paid("liam", "review", STRIPE, 10.6),
    Paid("liam", "glaze", COINBASE, 16.2),
    Paid("liam", "templates", PAYPAL, 2.1),
]


@dataclass(frozen=True)
class Changed:
    """What somebody made of a rule later, by its columns."""

    days_ago: float
    by: str
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class AutoRespond:
    """A rule of a shop's, with the reasons that it covers, as `by` wrote it at the beginning.

    Amounts are minor units by currency; `day` and `month` are limits of 24 hours and of 30 days,
    `buyer` of refunds to one buyer.
    """

    shop: str
    by: str
    name: str
    reasons: tuple[Reason, ...]
    message: str
    maximums: Mapping[str, int] = field(default_factory=dict)
    day: Mapping[str, int] = field(default_factory=dict)
    month: Mapping[str, int] = field(default_factory=dict)
    buyer: int | None = None
    articles: tuple[str, ...] = ()
    processor: str = ""
    membership: str = ""
    delay_hours: int = 0
    changes: tuple[Changed, ...] = ()


RULES = [
    AutoRespond(
        "kiln",
        "hana",
        "Canceled in time",
        (CANCELED,),
        "Hi {{ first_name }}, no hard feelings: {{ amount }} for {{ product }} is on its way back "
        "to your {{ method }}. The recipes that you saved stay yours. {{ company }}",
        maximums={"USD": 3500},
        changes=(
            Changed(51.0, "jonas", {"maximums": {"USD": 5000, "EUR": 4500}}),
            Changed(
                33.0,
                "hana",
                {"day_limits": {"USD": 15000, "EUR": 13000}, "month_limits": {"USD": 60000}},
            ),
        ),
    ),
    AutoRespond(
        "kiln",
        "hana",
        "Handbook that never came",
        (NOT_RECEIVED,),
        "Hi {{ first_name }}, sorry that {{ product }} didn’t reach you. {{ amount }} goes back to "
        "your {{ method }} now. If you still want to read it, write to us and we send a copy.",
        articles=("handbook",),
        buyer=1,
    ),
    AutoRespond(
        "kiln",
        "hana",
        "Recipes, after a day to look",
        (NOT_AS_DESCRIBED, NOT_RECEIVED),
        "Hi {{ first_name }}, sorry about {{ product }}. {{ amount }} is on its way back to your "
        "{{ method }}, and there is nothing more for you to do. {{ company }}",
        maximums={"USD": 3500},
        day={"USD": 7000},
        month={"USD": 21000},
        articles=("glaze",),
        buyer=1,
        delay_hours=24,
        changes=(Changed(19.0, "jonas", {"delay_hours": 48}),),
    ),
]


@dataclass(frozen=True)
class Act:
    """What somebody did `hours` after what came before; `who` is a key, or a side of the case."""

    hours: float
    who: str
    step: str
    words: str = ""
    files: tuple[str, ...] = ()
    gives: tuple[Remedy, int] | None = None
    asks: Party | None = None


@dataclass(frozen=True)
class Story:
    """One case, from its payment on. What the system does by itself is not told: it happens."""

    buyer: str
    article: str
    by: str
    opened: float
    reason: Reason
    words: str
    acts: tuple[Act, ...] = ()
    asked: int | None = None
    files: tuple[str, ...] = ()
    paid_before: float = 3.0
    refund_fails: bool = False


STORIES = [
    # ── Long ago, and closed ──────────────────────────────────────────────────────────────────────
    Story(
        "sofia", "circle", STRIPE, 37.6, UNACCEPTABLE,
        "I joined for the weekly critiques, and in three weeks there was one. "
        "I’d like this month back, please.",
        (
            Act(20, "felix", "accept", "You’re right, we were short of hosts. Sorry about that."),
        ),
        paid_before=21,
    ),
    Story(
        "liam", "pricing", PAYPAL, 36.2, NOT_AS_DESCRIBED,
        "The page says live. It was a recording from last year, and nobody answered questions.",
        (
            Act(9, "theo", "request_info", "Which date did you book, and what did you see when you "
                "joined?"),
            Act(15, "buyer", "reply", "The one on Tuesday. The player showed a date in the corner, "
                "see the picture.", ("player.png",)),
            Act(22, "marta", "deny", "The first hour is always recorded; the second is live. "
                "You left after forty minutes."),
            Act(18, "buyer", "appeal", "I left because a chat message said that there would be no "
                "live part that day.", ("chat.png",)),
            Act(26, "priya", "decide", "The chat shows that the live hour was canceled on that "
                "day. Half of the workshop was given, so half goes back.",
                gives=(Remedy.REFUND, 7450)),
            Act(30, "marta", "appeal", "Everyone was offered the next live date instead."),
            Act(29, "judith", "decide_final", "The next live date is a month away. A live workshop "
                "was sold and not given, so the whole price goes back.",
                gives=(Remedy.REFUND, 14900)),
        ),
        files=("invoice.pdf",),
    ),
    Story(
        "ruth", "wheel", STRIPE, 34.8, NOT_AS_DESCRIBED,
        "Lessons 5 to 8 are missing. The page lists eight.",
        (
            Act(30, "tom", "deny", "Lessons 5 to 8 open one a week, as the page says under “How it "
                "works”. They are all there for you now."),
            Act(8, "buyer", "accept_decision"),
        ),
        files=("lessons.png",),
    ),
    Story(
        "kenji", "luts", PAYPAL, 33.1, UNACCEPTABLE,
        "The looks are too dark on my camera. I expected something like the samples.",
        (
            Act(40, "amara", "deny", "The samples were made with the footage that comes with the "
                "pack, and the guide has a page on darker cameras."),
        ),
    ),
    Story(
        "daniel", "founders", PAYPAL, 31.4, CANCELED,
        "I canceled two days before I was charged.",
        (
            Act(5, "buyer", "withdraw", "Found it: I had canceled another membership. My mistake."),
        ),
    ),
    Story(
        "maya", "grain", PAYPAL, 29.7, NOT_RECEIVED,
        "The download link gives an error, and nobody answers my e-mails.",
        (
            Act(24 * 8, "omar", "decide", "The shop did not answer in seven days, and the link is "
                "indeed gone. The price comes to you as credits at once.",
                gives=(Remedy.CREDIT, 3200)),
        ),
        files=("error.png",),
    ),
    Story(
        "ruth", "glaze", PAYPAL, 27.5, CANCELED,
        "I canceled last week, and was charged again.",
    ),
    Story(
        "liam", "handbook", STRIPE, 25.9, NOT_RECEIVED,
        "I never got the file. The order page stays empty.",
    ),
    Story(
        "sofia", "wheel", PAYPAL, 24.3, FRAUDULENT,
        "I don’t recognize this charge. I have never heard of this school.",
        (
            Act(11, "hana", "request_info", "The membership was started with your e-mail address. "
                "Could somebody in your household have signed up?"),
            Act(24 * 8, "ben", "decide", "Nobody answered the school’s question, the course was "
                "begun from the address that the buyer always uses. There is no refund.",
                gives=(Remedy.NONE, 0)),
        ),
    ),
    Story(
        "daniel", "review", STRIPE, 22.8, NOT_AS_DESCRIBED,
        "Ninety minutes were sold, and the call ended after thirty-five. The plan never came.",
        (
            Act(24 * 7 + 20, "judith", "ask_party", "Please send the written plan that belongs to "
                "the review.", asks=Party.CREATOR),
            Act(30, "marta", "reply", "Attached. It was sent to an old address.", ("plan.pdf",)),
            Act(24, "judith", "decide", "The plan was made, and part of the call was given. Two "
                "thirds of the price go back for the hour that was not.",
                gives=(Remedy.REFUND, 26600)),
            Act(10, "buyer", "accept_decision"),
            Act(12, "marta", "accept_decision"),
        ),
        files=("calendar.png",),
    ),
    Story(
        "kenji", "walk", PAYPAL, 20.1, NOT_RECEIVED,
        "It rained, the walk was called off, and no other date was offered.",
        (Act(16, "amara", "accept", "So sorry, Kenji. We owe you a walk."),),
    ),
    Story(
        "sofia", "founders", STRIPE, 18.4, FRAUDULENT,
        "This is not mine. My bank says the same.",
        (
            Act(50, "system", "freeze"),
            Act(24 * 6, "system", "void"),
        ),
    ),
    # ── Decided, and open to an appeal or waiting for the money ───────────────────────────────────
    Story(
        "maya", "playbook", STRIPE, 6.3, NOT_AS_DESCRIBED,
        "Twelve sequences were promised. I count nine, and two of them are the same.",
        (
            Act(21, "theo", "deny", "There are twelve: three of them are on the last page, as one "
                "table. Have another look."),
        ),
        files=("contents.png",),
    ),
    Story(
        "daniel", "portrait", PAYPAL, 14.2, UNACCEPTABLE,
        "The sound of lessons 3, 4 and 6 is so low that I can’t follow them.",
        (
            Act(24 * 7 + 30, "priya", "decide", "Three of nine lessons cannot be used, and the "
                "shop did not answer. A third of the price goes back.",
                gives=(Remedy.REFUND, 6300)),
        ),
        files=("volume.png",),
    ),
    Story(
        "liam", "overlays", STRIPE, 8.0, NOT_AS_DESCRIBED,
        "Half of the overlays have a watermark.",
        (
            Act(30, "amara", "deny", "Only the previews have one. The full files are in the second "
                "folder."),
            Act(40, "buyer", "appeal", "The second folder holds the same files. Here is a picture "
                "of both.", ("folders.png",)),
            Act(44, "omar", "decide", "Both folders do hold the previews. The price is given as "
                "credits.", gives=(Remedy.CREDIT, 4500)),
        ),
    ),
    Story(
        "kenji", "circle", PAYPAL_SALE, 2.8, CANCELED,
        "I canceled in the spring, and this is the second month that was charged since.",
        (Act(14, "felix", "accept", "You did, Kenji. It ends for good now."),),
        paid_before=2,
    ),
    Story(
        "ruth", "templates", STRIPE, 5.2, UNACCEPTABLE,
        "The templates only open in a program that costs more than they do.",
        (Act(60, "marta", "accept", "Fair. We’ll say so on the page."),),
        refund_fails=True,
    ),
    Story(
        "sofia", "presets", PAYPAL, 1.9, NOT_AS_DESCRIBED,
        "They don’t work on the phone, and the page shows a phone.",
        (Act(41, "amara", "accept", "The phone version is late, and you shouldn’t wait for it."),),
    ),
    # ── In front of staff ─────────────────────────────────────────────────────────────────────────
    Story(
        "maya", "circle", PAYPAL, 8.1, UNACCEPTABLE,
        "My pictures were passed over three weeks in a row. I wrote twice and got no answer.",
        files=("queue.png",),
        paid_before=22,
    ),
    Story(
        "kenji", "grain", STRIPE, 4.9, NOT_AS_DESCRIBED,
        "Eleven films are on the page. The download has seven.",
        (
            Act(26, "felix", "deny", "The other four come with the next update, which is free."),
            Act(52, "buyer", "appeal", "The page doesn’t mention an update. I paid for eleven.",
                ("page.png", "download.png")),
        ),
    ),
    Story(
        "liam", "founders", PAYPAL, 11.3, CANCELED,
        "I canceled before the trial was over, and was charged all the same.",
        (
            Act(28, "theo", "request_info", "Which address did you cancel from? There is nothing "
                "under this one."),
            Act(24 * 7 + 40, "priya", "ask_party", "The shop has asked for the address that you "
                "canceled from. Please send it, or the confirmation.", asks=Party.BUYER),
        ),
    ),
    Story(
        "daniel", "raku", STRIPE, 9.6, NOT_RECEIVED,
        "The recordings were to be there at once. There is still only a trailer.",
        (Act(24 * 7 + 9, "omar", "note", "Third case about this recording. Ask the school when it "
             "is ready."),),
    ),
    Story(
        "ruth", "review", PAYPAL, 8.6, UNACCEPTABLE,
        "The review was the same advice that is in the free guide, word by word.",
        (
            Act(40, "marta", "deny", "The plan was written for you. I can’t refund work that is "
                "done."),
            Act(30, "buyer", "appeal", "Compare the two: I have marked what is the same.",
                ("compared.pdf", "marked.png")),
            Act(47, "ben", "decide", "Large parts of the plan are the guide’s. Half of the price "
                "goes back for them.", gives=(Remedy.REFUND, 19950)),
            Act(50, "marta", "appeal", "The guide was written out of my reviews, not the other way "
                "round. The dates are in the attached file.", ("dates.pdf",)),
        ),
    ),
    Story(
        "sofia", "portrait", STRIPE, 10.4, NOT_AS_DESCRIBED,
        "“One lamp and one window” turns out to need three lamps from lesson 4 on.",
        (
            Act(24 * 7 + 26, "priya", "decide", "Lessons 4 to 9 need more than the page says, but "
                "they can be followed. There is no refund.", gives=(Remedy.NONE, 0)),
            Act(29, "buyer", "appeal", "I bought it because I have one lamp. Two thirds of it are "
                "of no use to me."),
        ),
    ),
    Story(
        "kenji", "year", STRIPE, 8.9, NOT_AS_DESCRIBED,
        "Every other week, the page says. There were two calls in three months, and then Marta "
        "was away.",
        (
            Act(29, "marta", "deny", "Calls that are put off are made up for at the end of the "
                "year. All of them will take place."),
            Act(27, "buyer", "appeal", "Nobody told me about the end of the year. I have the "
                "e-mails here.", ("coaching.pdf",)),
            Act(45, "judith", "propose", "Two of six calls were held, and the page says nothing of "
                "making up for them later. Ten of twelve months go back.",
                gives=(Remedy.REFUND, 125000)),
        ),
        paid_before=18,
    ),
    # ── Between buyer and creator ─────────────────────────────────────────────────────────────────
    Story(
        "liam", "clinic", STRIPE, 5.8, NOT_RECEIVED,
        "I sent my page in two weeks ago, and there is still no video.",
        paid_before=15,
        acts=(
            Act(19, "theo", "request_info", "Could you send the link of the page once more? The "
                "one we have gives an error."),
            Act(31, "buyer", "reply", "It’s https://liam-bakes.example/ and it works for me.",
                ("bakery.png",)),
        ),
    ),
    Story(
        "kenji", "walk", STRIPE, 4.6, UNACCEPTABLE,
        "The stream froze for a third of the walk, as the chat can tell.",
        (
            Act(25, "felix", "request_info", "Could you send the times at which it froze? We have "
                "the recording here."),
        ),
        asked=4000,
        files=("frozen.png",),
    ),
    Story(
        "maya", "pricing", PAYPAL, 3.4, NOT_AS_DESCRIBED,
        "I booked the workshop for shops, and it was all about subscriptions.",
        (
            Act(18, "theo", "request_info", "Did the booking page say “shops” when you paid? We "
                "changed the topic once, and I want to be sure."),
        ),
        files=("booking.png",),
    ),
    Story(
        "ruth", "founders", STRIPE, 5.3, CANCELED,
        "I had canceled the day before. Here is the confirmation.",
        files=("confirmation.pdf",),
    ),
    Story(
        "daniel", "luts", STRIPE, 2.7, NOT_AS_DESCRIBED,
        "Five of the twenty looks are the same file under another name.",
        (Act(7, "buyer", "comment", "It’s numbers 4, 9, 11, 15 and 16."),),
        asked=1500,
    ),
    Story(
        "sofia", "playbook", PAYPAL, 1.6, UNACCEPTABLE,
        "It is written for sales teams. I work alone, and the page says “for makers”.",
    ),
    Story(
        "maya", "overlays", STRIPE, 6.7, NOT_RECEIVED,
        "There was no download in the e-mail.",
        (Act(35, "felix", "comment", "We are looking into it, Maya, and come back to you soon."),),
    ),
    Story(
        "kenji", "wheel", PAYPAL, 3.8, NOT_AS_DESCRIBED,
        "There are no subtitles. The page says English and Japanese.",
    ),
    Story(
        "liam", "portrait", PAYPAL, 5.6, FRAUDULENT,
        "I don’t recognize this charge.",
        (Act(40, "system", "freeze"),),
    ),
    Story(
        "ruth", "glaze", STRIPE, 0.9, CANCELED,
        "I had canceled before it renewed. Could you have a look?",
    ),
    Story(
        "maya", "glaze", PAYPAL, 13.4, NOT_AS_DESCRIBED,
        "This month’s recipes are last month’s with new names.",
        (
            Act(9, "tom", "cancel_refund"),
            Act(2, "tom", "request_info", "They look alike, I know. Which two did you compare?"),
            Act(21, "buyer", "reply", "Celadon 4 and Sea 2. The amounts are the same to the gram."),
            Act(5, "tom", "accept", "You are right, that was my mistake. Sorry, Maya."),
        ),
    ),
    Story(
        "daniel", "glaze", STRIPE, 1.2, NOT_AS_DESCRIBED,
        "Three of the recipes have no firing temperature, so I can’t use them.",
    ),
]  # fmt: skip

LAST = Story(
    "daniel", "grain", PAYPAL, 0.0, NOT_RECEIVED,
    "I paid an hour ago and there is nothing to download.",
    paid_before=0.05,
)  # fmt: skip
"""Opened as the loading ends: the workers find it when they start."""
