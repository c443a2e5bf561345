"""Host names, record names and record contents: every text has one form or a problem in words."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piv_mcp.text.dns import record_content, record_name, relative_name
from piv_mcp.text.hosts import HostNameError, display, host_name
from piv_mcp.text.invisible import is_invisible

LOOK_ALIKE = "p\u0430ypal.com"
"""The second letter is Cyrillic."""


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("mysite.com", "mysite.com"),
        (" MySite.COM. ", "mysite.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("日本語。ｊｐ", "xn--wgv71a119e.jp"),
        ("ｍｙｓｉｔｅ．ｃｏｍ", "mysite.com"),
        ("правда.рф", "xn--80aafi6cg.xn--p1ai"),
        (LOOK_ALIKE, "xn--pypal-4ve.com"),
        ("r3---sn-a.example.com", "r3---sn-a.example.com"),
        ("1and1.com", "1and1.com"),
        ("x" * 63 + ".com", "x" * 63 + ".com"),
        (".".join(["x" * 49] * 5) + ".co", ".".join(["x" * 49] * 5) + ".co"),
    ],
)
def test_a_host_name_has_one_form(typed: str, sent: str) -> None:
    assert host_name(typed) == sent


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("a..b.com", "a dot too many"),
        (".com", "a dot too many"),
        ("mysite.com..", "a dot too many"),
        ("my site.com", "holds a space"),
        ("my\u00a0site.com", "holds a space"),
        ("https://me@mysite.com:8080/page?x#y", "give the name alone: mysite.com"),
        ("HTTPS://BÜCHER.example/", "give the name alone: xn--bcher-kva.example"),
        ("//mysite.com", "give the name alone: mysite.com"),
        ("mysite.com/page", "give the name alone: mysite.com"),
        ("mysite.com:443", "give the name alone: mysite.com"),
        ("info@mysite.com", "give the name alone: mysite.com"),
        ("mailto:info@mysite.com", "give the name alone: mysite.com"),
        ("https://my site", "give the name alone, such as mysite.com"),
        ("x" * 64 + ".com", "a part of more than 63 characters"),
        ("ü" * 60 + ".com", "a part of more than 63 characters"),
        (".".join(["x" * 50] * 5) + ".co", "at most 253 characters"),
        ("x." * 100_000, "at most 253 characters"),
        ("-a.com", "a hyphen at the start or end"),
        ("a-.com", "a hyphen at the start or end"),
        ("a.-b.com", "a hyphen at the start or end"),
        ("my_site.com", "holds the character _"),
        ("*.mysite.com", "holds the character *"),
        ("my,site.com", "holds the character ,"),
        ("℀.com", "holds the character /"),
        ("my\u200bsite.com", "invisible character U+200B"),
        ("my\u00adsite.com", "invisible character U+00AD"),
        ("my\u202esite.com", "invisible character U+202E"),
        ("my\U000e0101site.com", "invisible character U+E0101"),
        ("mysite.com\u2060", "invisible character U+2060"),
        ("नी\u200dती.com", "invisible character U+200D"),
        ("my\nsite.com", "invisible character U+000A"),
        ("💩.la", "holds U+1F4A9"),
        ("xn--ls8h.la", "holds U+1F4A9"),
        ("xn--a!.com", "not a valid name"),
        ("xn--paypal-.com", "a hyphen at the start or end"),
        ("ab--ü.com", "not a valid name"),
        ("אa.com", "not a valid name"),
        ("mysite", "lacks its ending"),
        ("mysite.c", "lacks its ending"),
        ("1.2.3.4", "an IP address"),
        ("[::1]", "give the name alone"),
        ("", "is empty"),
        (" . ", "is empty"),
    ],
)
def test_what_is_no_host_name_is_told_in_words(typed: str, problem: str) -> None:
    with pytest.raises(HostNameError) as told:
        host_name(typed)
    assert problem in str(told.value)
    assert len(str(told.value)) < 250


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("@", "@"),
        ("*", "*"),
        ("WWW", "www"),
        ("*.Shop", "*.shop"),
        ("_DMARC", "_dmarc"),
        ("s1._domainkey.mail", "s1._domainkey.mail"),
        ("www.mysite.com.", "www.mysite.com"),
        ("büro", "xn--bro-hoa"),
        ("1", "1"),
    ],
)
def test_a_record_name_has_one_form(typed: str, sent: str) -> None:
    assert record_name(typed) == sent


@pytest.mark.parametrize(
    "typed", ["", "a..b", "www.*", "*www", "*.", "@.mysite.com", "my site", "a\u200bb", "https://www"]
)
def test_what_is_no_record_name_is_told_in_words(typed: str) -> None:
    with pytest.raises(HostNameError):
        record_name(typed)


@pytest.mark.parametrize(
    ("name", "domain", "relative"),
    [
        ("www.mysite.com", "mysite.com", "www"),
        ("mysite.com", "MySite.com", "@"),
        ("*.shop.mysite.com", "mysite.com", "*.shop"),
        ("www.xn--bcher-kva.example", "bücher.example", "www"),
        ("notmysite.com", "mysite.com", "notmysite.com"),
        ("www.other.com", "mysite.com", "www.other.com"),
        ("@", "mysite.com", "@"),
        ("www.mysite.com", "", "www.mysite.com"),
    ],
)
def test_a_full_name_becomes_relative_to_its_domain(name: str, domain: str, relative: str) -> None:
    assert relative_name(name, domain) == relative


@pytest.mark.parametrize(
    ("type_", "typed", "sent"),
    [
        ("A", " 1.2.3.4 ", "1.2.3.4"),
        ("AAAA", "2001:DB8:0::1", "2001:db8::1"),
        ("CNAME", "Shop.BÜCHER.example.", "shop.xn--bcher-kva.example"),
        ("CNAME", "_x.acm-validations.aws", "_x.acm-validations.aws"),
        ("CNAME", "@", "@"),
        ("MX", "10  Mail.Example.com.", "10 mail.example.com"),
        ("MX", "mail.example.com", "mail.example.com"),
        ("MX", "0 .", "0 ."),
        ("SRV", "10 5 5060 SIP.example.com", "10 5 5060 sip.example.com"),
        ("NS", "ns1.EXAMPLE.com", "ns1.example.com"),
        ("TXT", ' "v=spf1  A" ', ' "v=spf1  A" '),
        ("TXT", "https://bücher.example", "https://bücher.example"),
        ("TXT", "null", "null"),
        ("CAA", '0 issue "ca.example"', '0 issue "ca.example"'),
        ("ALIAS", "Anything at all", "Anything at all"),
    ],
)
def test_a_record_content_has_the_form_of_its_type(type_: str, typed: str, sent: str) -> None:
    assert record_content(type_, typed) == sent


@pytest.mark.parametrize(
    ("type_", "typed", "problem"),
    [
        ("A", "2001:db8::1", "belongs in an AAAA record"),
        ("AAAA", "1.2.3.4", "belongs in an A record"),
        ("A", "mysite.com", "holds an IPv4 address, such as"),
        ("A", "1.2.3.04", "holds an IPv4 address, such as"),
        ("A", "", "holds an IPv4 address, such as"),
        ("CNAME", "1.2.3.4", "an address belongs in an A or AAAA record"),
        ("MX", "10 1.2.3.4", "an address belongs in an A or AAAA record"),
        ("CNAME", "https://mysite.com/", "give the name alone: mysite.com"),
        ("CNAME", "a b", "holds one host name"),
        ("MX", "high mail.example.com", "holds one host name"),
        ("MX", "10 20 mail.example.com", "holds one host name"),
        ("NS", "ns1..example.com", "a dot too many"),
        ("CNAME", "", "holds a host name, and this is empty"),
        ("CNAME", "a\u200bb.com", "invisible character U+200B"),
    ],
)
def test_a_clear_mistake_in_a_record_is_told_in_words(type_: str, typed: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        record_content(type_, typed)


# for people


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mysite.com", "mysite.com"),
        (LOOK_ALIKE, f"{LOOK_ALIKE} (xn--pypal-4ve.com)"),
        ("xn--pypal-4ve.com", f"{LOOK_ALIKE} (xn--pypal-4ve.com)"),
        ("*.BÜCHER.example", "*.BÜCHER.example (*.xn--bcher-kva.example)"),
        ("_dmarc.xn--bcher-kva.example", "_dmarc.bücher.example (_dmarc.xn--bcher-kva.example)"),
        ("a\u200bb.com", "a⟨U+200B⟩b.com (xn--ab-g1t.com)"),
        ("xn--paypal-.com", "paypal.com (xn--paypal-.com)"),
        ("💩.la", "💩.la (xn--ls8h.la)"),
        ("xn--!.com", "xn--!.com"),
        ("10 xn--0ca", "10 à (10 xn--0ca)"),
        ("@", "@"),
    ],
)
def test_a_look_alike_never_stands_alone(name: str, shown: str) -> None:
    assert display(name) == shown


# any text at all

letters = st.sampled_from("abz09-._*@ \u200b\u202e\u0430ü。ß日אΣ℀１x:/")
texts = st.text(max_size=80) | st.text(letters, max_size=40) | st.text(letters, max_size=20).map("xn--{}.com".format)
parsers: list[Callable[[str], str]] = [
    host_name,
    record_name,
    *(lambda text, type_=type_: record_content(type_, text) for type_ in ("A", "AAAA", "CNAME", "MX", "SRV")),
]


def form_or_problem(parse: Callable[[str], str], text: str) -> str | ValueError:
    try:
        return parse(text)
    except ValueError as problem:
        return problem


@settings(max_examples=400)
@given(texts)
@example("xn--" + "9" * 59 + ".com")
@example("\ud800.com")
@example("xn--\u00fc.com")
@example("0 \u00c0")
def test_each_text_is_refused_in_words_or_has_a_form_that_stays(text: str) -> None:
    for parse in parsers:
        form = form_or_problem(parse, text)
        if isinstance(form, ValueError):
            assert type(form) in (ValueError, HostNameError)
            assert not any(is_invisible(char) for char in str(form))
            continue
        assert form.isascii()
        assert form == form.lower().strip()
        assert not any(is_invisible(char) for char in form)
        assert parse(form) == form
        assert display(parse(text)).isascii() == ("xn--" not in form)


@settings(max_examples=400)
@given(texts)
def test_a_name_for_people_is_one_visible_line(text: str) -> None:
    shown = display(text)
    assert not any(is_invisible(char) for char in shown if char != "\t")
    if not text.isascii() or "xn--" in text.lower():
        assert shown.isascii() or re.search(r" \(.+\)$", shown)
