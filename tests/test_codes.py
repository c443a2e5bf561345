"""The one-time code extractor: examples by name, properties, and floors on the corpus."""

import json
import time
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piv_mcp.inbox.codes.extract import extract_code
from piv_mcp.inbox.codes.text import normalise

CORPUS = Path(__file__).parent / "corpus"
DIGIT_SCRIPTS = (
    "٠١٢٣٤٥٦٧٨٩",
    "۰۱۲۳۴۵۶۷۸۹",
    "०१२३४५६७८९",
    "০১২৩৪৫৬৭৮৯",
    "๐๑๒๓๔๕๖๗๘๙",
    "０１２３４５６７８９",
    "၀၁၂၃၄၅၆၇၈၉",
)
TEMPLATES = ("Your OTP is {}.", "验证码：{}，请勿泄露", "رمز التحقق {}", "आपका ओटीपी {} है", "รหัส OTP {}")
HOSTILE = {
    "digits": "1" * 10_000,
    "hyphens": "a1-" * 3_400,
    "names": "code " * 2_000,
    "spelt": "1 " * 5_000,
    "dots": "x." * 5_000,
    "hosts": "@a.b" * 2_500,
    "run": "验证码" * 3_400,
    "invisible": "\u200b1" * 5_000,
    "many-codes": "code 1234 " * 1_000,
    "many-codes-in-a-run": "验证码1234" * 1_500,
    "letters": "KXJQWZ " * 1_500,
    "mixed": "a1b2 " * 2_000,
}
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202c\u2066\u2069\u00ad"


class Row(NamedTuple):
    """A line of the corpus."""

    text: str
    code: str | None
    language: str
    source: str
    kind: str


@cache
def part(name: str) -> tuple[Row, ...]:
    lines = (CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Row(**json.loads(line)) for line in lines)


CODES = {
    "plain": ("Your verification code is 482913.", "482913"),
    "code-first": ("1234 is your Lyft code", "1234"),
    "google-tag": ("G-551902 is your Google verification code.", "551902"),
    "facebook-tag": ("FB-71093 is your Facebook confirmation code", "71093"),
    "bank-tag": ("KQJ-337812 is your OTP", "337812"),
    "split-3-3": ("Your code is 123-456", "123456"),
    "split-by-space": ("902 118 is your Instagram code.", "902118"),
    "split-3-4": ("Your TextSecure verification code: 337-1337", "3371337"),
    "split-4-4": ("Code: 1337-1337", "13371337"),
    "split-2-2-2": ("Security code: 44 19 07", "441907"),
    "spelt-digits": ("Your passcode is 7 3 0 2 8 4", "730284"),
    "dotted": ("Enter 614.905 to continue signing in.", "614905"),
    "alphanumeric-keeps-case": ("Your login code is a9F3c2", "a9F3c2"),
    "hyphenated-alphanumeric": ("Your recovery code: AB12-CD34.", "AB12CD34"),
    "letters-only": ("Your confirmation code:\nKXJQWZ", "KXJQWZ"),
    "lower-case-letters": ("TRUSTED LOCATION PASSCODE: mifsuc", "mifsuc"),
    "spelt-alphanumeric": ("TAN\n a u 8 k u f", "au8kuf"),
    "web-otp": ("Sign in below.\n\n@login.example.com #771045", "771045"),
    "apple": ("Your Apple Account Code is: 338201.\n@apple.com #338201 %apple.com", "338201"),
    "android-hash": ("<#> Your WhatsApp code: 105-876\n4sgLq1p5sV6", "105876"),
    "code-in-text-and-link": ("WhatsApp code 569-485. Or tap v.whatsapp.com/569485", "569485"),
    "code-only-in-link": ("Verify your phone: https://acme.example/v?code=620917", "620917"),
    "own-line": ("Acme\nVerification code\n559023\nExpires 4:35 PM", "559023"),
    "bare": ("5WGU8G", "5WGU8G"),
    "year-like": ("Your code is 2024.", "2024"),
    "glued-to-word": ("OTP:718293 for login", "718293"),
    "chinese-glued": ("您的动态密码是7718请勿转发", "7718"),
    "chinese-colon": ("【美团】验证码：482013，5分钟内有效", "482013"),
    "japanese": ("本人確認コード【90412】を入力してください", "90412"),
    "korean": ("[토스]인증번호[338201]를 입력하세요", "338201"),
    "arabic-digits": ("رمز التحقق: ٥٥١٩٢٠ لا تشاركه مع أحد", "551920"),
    "persian-digits": ("کد ورود شما ۷۷۱۲۰ است", "77120"),
    "thai-digits": ("รหัส OTP ของคุณคือ ๗๗๑๘", "7718"),
    "bidi-controls": ("\u202bקוד האימות שלך: \u202c\u200e551204\u200e", "551204"),
    "turkish-suffix": ("Doğrulama kodunuz: 448021", "448021"),
    "finnish-suffix": ("Vahvistuskoodisi on 440912.", "440912"),
    "german-compound": ("Ihr Bestätigungscode lautet 558201.", "558201"),
    "amount-card-and-code": (
        "OTP for transaction of Rs 5,000.00 on card XX1234 at FLIPKART is 998877. Valid till 14:32:10.",
        "998877",
    ),
    "reference-and-code": ("Ref. 4455, OTP 889900. Do not disclose.", "889900"),
    "old-and-new": ("Code 1234 is no longer valid. Use 5678 instead.", "5678"),
    "warning-before-code": ("We will NEVER call you for this code. Code: 290117", "290117"),
    "stop-after-code": ("480031 is your code. Reply STOP to 41411.", "480031"),
    "amount-before-linked-code": ("Your One-Time Password for INR 1234.00 is 672643.", "672643"),
    "unknown-language": ("Blorp zib: 482913. Quux fnord.", "482913"),
}

NONE = {
    "empty": "",
    "amount": "You spent $1,234.00 at WALMART on card ending 5678.",
    "rupees": "Rs.5000 debited from A/c XX4321 on 12-11-25. UPI Ref 531209887123",
    "date": "Reminder: your appointment is on 12/11/2025 at 14:30.",
    "phone": "Call us on 0800 123 456 if you did not make this request.",
    "order": "Order #204417 has shipped.",
    "expiry": "Your link expires in 10 minutes.",
    "pick-up-code": "Your parcel is in the locker. Pickup code: 482913.",
    "delivery-pin": "Give the driver PIN 5521 to receive your parcel.",
    "chinese-pick-up": "【菜鸟驿站】请凭取件码8-2-1034到12号领取",
    "booking": "Booking confirmed: PNR X7K92P, flight BA2490",
    "booking-code": "Your reservation code is HMQ4ZT.",
    "coupon": "Use code SAVE20 at checkout for 20% off!",
    "gift-card": "Your gift card code is WXYZ8821.",
    "warning": "Never share your one-time password with anyone. Call 0345 600 0023",
    "wrong-code": "Wrong code. You have 2 attempts left.",
    "expired-code": "The code 482913 has expired. Request a new one.",
    "stop": "If you didn't request this, reply STOP to 12345.",
    "reference": "Your complaint has been registered. Reference 20251134.",
    "customer-code": "Κωδικός πελάτη 5512044",
    "error-code": "Error code 50012: payment failed.",
    "door-code": "Door code is 4821#. Check-in is at 3 PM",
    "post-code": "Delivering to ZIP code 90210?",
    "token-in-link": "Reset here: https://x.example/9f81ka22",
    "version": "App version 4.2.1800 is available.",
    "barcode": "barcode 123456",
    "dialling-code": "Dial *123*5# to top up.",
}


@pytest.mark.parametrize(("text", "code"), CODES.values(), ids=CODES)
def test_finds_the_code(text: str, code: str) -> None:
    assert extract_code(text) == code


@pytest.mark.parametrize("text", NONE.values(), ids=NONE)
def test_finds_no_code(text: str) -> None:
    assert extract_code(text) is None


PIECES = [
    "code",
    "is",
    "OTP",
    ":",
    " ",
    "123456789",
    "0",
    "12",
    "-",
    ".",
    "ABC",
    "x",
    "\n",
    "#",
    "@a.b",
    "验证码",
    "₹",
    "١٢٣",
]
TEXTS = (
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
    | st.text(max_size=300)
    | st.text(alphabet="code is:OTP 0123456789-./#@\n₹x*", max_size=200)
)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_any_text_gives_none_or_three_to_ten_plain_characters_from_it(text: str) -> None:
    code = extract_code(text)
    if code is not None:
        assert 3 <= len(code) <= 10
        assert code.isascii()
        assert code.isalnum()
        rest = iter(normalise(text))
        assert all(char in rest for char in code)


@given(st.from_regex(r"[0-9]{4,8}", fullmatch=True), st.data())
@settings(max_examples=100, deadline=None)
def test_invisible_characters_change_nothing(digits: str, data: st.DataObject) -> None:
    text = f"Your verification code is {digits}."
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    for place in sorted(places, reverse=True):
        text = text[:place] + data.draw(st.sampled_from(INVISIBLE)) + text[place:]
    assert extract_code(text) == digits


@given(
    st.from_regex(r"[0-9]{4,8}", fullmatch=True),
    st.sampled_from(DIGIT_SCRIPTS),
    st.sampled_from(TEMPLATES),
)
@settings(max_examples=100, deadline=None)
def test_digits_of_every_script_are_answered_in_ascii(digits: str, script: str, template: str) -> None:
    assert extract_code(template.format(digits.translate(str.maketrans("0123456789", script)))) == digits


@given(st.text(alphabet="0123456789", min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_separators_are_dropped(digits: str) -> None:
    for separator in ("-", " ", "\u00a0", "\u2011"):
        assert extract_code(f"Your verification code: {digits[:3]}{separator}{digits[3:]}") == digits


def cpu_seconds(*texts: str) -> float:
    """The least of a few measurements: CPU time of this process alone, so that a busy machine changes little."""

    def measure() -> float:
        start = time.process_time()
        for text in texts:
            extract_code(text)
        return time.process_time() - start

    return min(measure() for _ in range(3))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_ten_thousand_hostile_characters_are_quick(text: str) -> None:
    assert cpu_seconds(text) < 0.1  # under 20 ms on a quiet machine


def test_a_message_takes_little_time() -> None:
    texts = [row.text for row in part("develop")]
    assert cpu_seconds(*texts) / len(texts) < 0.0005  # under 100 us on a quiet machine


def test_corpus_is_large_various_and_sourced() -> None:
    rows = part("develop") + part("measure")
    assert len(rows) >= 600
    assert len({row.language.split("-")[0] for row in rows}) >= 45
    assert sum(row.code is None for row in rows) >= 0.35 * len(rows)
    assert all(row.source and row.kind and row.text for row in rows)
    assert all(row.code is None or (row.code.isascii() and row.code.isalnum()) for row in rows)


def test_corpus_parts_have_nothing_in_common() -> None:
    def plain(row: Row) -> str:
        return " ".join(unicodedata.normalize("NFKC", row.text).split())

    develop = {plain(row) for row in part("develop")}
    measure = {plain(row) for row in part("measure")}
    assert len(develop) == len(part("develop"))
    assert len(measure) == len(part("measure"))
    assert not develop & measure


@pytest.mark.parametrize("name", ["develop", "measure"])
def test_corpus_floors(name: str) -> None:
    rows = part(name)
    answers = [(row, extract_code(row.text)) for row in rows]
    exact = sum(found == row.code for row, found in answers) / len(rows)
    without = [found for row, found in answers if row.code is None]
    false = sum(found is not None for found in without) / len(without)
    assert exact >= 0.95
    assert false <= 0.02
