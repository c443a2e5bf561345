"""The domain tools: what they send and answer."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from examples import domain, record
from harness import ERAS, Connect, Connected, Era, Request, approver, connected

from piv_mcp.api.domains import RegisterDomain
from piv_mcp.sandbox import Sandbox, Timing


async def registered(app: Connected, name: str) -> str:
    """The queue entry of a registration on its way."""
    request = RegisterDomain(domain=name, period=1, cloudflare=True, auto_renew=False)
    return (await app.services.client.domains.register(request)).queue_id


async def test_reads_send_the_documented_request_and_only_what_was_given(app: Connected) -> None:
    id_ = domain(app.sandbox)
    queue_id = await registered(app, "queued-site.com")
    filters = {"status": "active", "search": "mysite", "limit": 20, "offset": 0}
    wire = {"status": "active", "search": "mysite", "limit": "20", "offset": "0"}
    calls: list[tuple[str, Mapping[str, object], Request]] = [
        ("search_domain", {"q": "mysite.com"}, ("GET", "/domains/search", {"q": "mysite.com"}, None)),
        ("list_domains", {}, ("GET", "/domains", {}, None)),
        (
            "list_domains",
            {**filters, "cloudflare": True, "auto_renew": False},
            ("GET", "/domains", {**wire, "cloudflare": "true", "auto_renew": "false"}, None),
        ),
        ("get_domain", {"domain_id": id_}, ("GET", f"/domains/{id_}", {}, None)),
        ("get_domain_queue", {"queue_id": queue_id}, ("GET", f"/domains/queue/{queue_id}", {}, None)),
        ("list_dns_records", {"domain_id": id_}, ("GET", f"/domains/{id_}/dns", {}, None)),
    ]
    for tool, arguments, request in calls:
        await app.ok(tool, **arguments)
        assert app.sent == [request], tool


@pytest.mark.parametrize("era", ERAS)
async def test_record_changes_send_the_given_fields_alone(connect: Connect, era: Era) -> None:
    async with connect(era=era, confirm_destructive=False) as app:
        await check_record_changes(app)


async def check_record_changes(app: Connected) -> None:
    id_, record_id = domain(app.sandbox), record(app.sandbox)
    made = {"type": "TXT", "name": "@", "content": "v=spf1 include:_spf.example.com -all"}
    whole = {"type": "A", "name": "shop", "content": "5.6.7.8", "ttl": 300, "proxied": False}
    calls: list[tuple[str, Mapping[str, object], str, str]] = [
        ("create_dns_record", made, "POST", f"/domains/{id_}/dns"),
        ("create_dns_record", whole, "POST", f"/domains/{id_}/dns"),
        ("update_dns_record", {"content": "9.9.9.9"}, "PUT", f"/domains/{id_}/dns/{record_id}"),
        ("update_dns_record", {"proxied": False, "ttl": 1}, "PUT", f"/domains/{id_}/dns/{record_id}"),
        ("update_dns_record", whole, "PUT", f"/domains/{id_}/dns/{record_id}"),
    ]
    for tool, fields, method, path in calls:
        ids = {"domain_id": id_} | ({"record_id": record_id} if tool == "update_dns_record" else {})
        await app.ok(tool, **ids, **fields)
        *looks, change = app.sent  # an address is read by the type of its record
        assert change == (method, path, {}, fields), tool
        assert {method for method, *_ in looks} <= {"GET"}


# Changes that may be asked about first send nothing else that changes anything.

LASTING: list[tuple[str, Mapping[str, object], Request]] = [
    (
        "set_domain_auto_renewal",
        {"domain_id": "CLOUDFLARE", "auto_renew": False},
        ("POST", "/domains/CLOUDFLARE/auto-renew", {}, {"auto_renew": False}),
    ),
    (
        "delete_dns_record",
        {"domain_id": "CLOUDFLARE", "record_id": "RECORD"},
        ("DELETE", "/domains/CLOUDFLARE/dns/RECORD", {}, None),
    ),
    (
        "enable_cloudflare",
        {"domain_id": "PLAIN"},
        ("POST", "/domains/PLAIN/cloudflare", {}, {"enabled": True}),
    ),
    (
        "set_nameservers",
        {"domain_id": "PLAIN", "nameservers": ["ns1.example.com", "ns2.example.com"]},
        ("POST", "/domains/PLAIN/ns-servers", {}, {"nameservers": ["ns1.example.com", "ns2.example.com"]}),
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "request_"), LASTING, ids=[case[0] for case in LASTING])
async def test_a_lasting_change_sends_the_documented_request_once(
    connect: Connect, sandbox: Sandbox, tool: str, arguments: Mapping[str, object], request_: Request
) -> None:
    ids = {
        "CLOUDFLARE": domain(sandbox),
        "PLAIN": domain(sandbox, cloudflare=False),
        "RECORD": record(sandbox),
    }
    method, path, query, body = request_
    for word, id_ in ids.items():
        path = path.replace(word, id_)
    given = {name: ids.get(str(value), value) for name, value in arguments.items()}
    async with connect(confirm_destructive=False) as app:
        await app.ok(tool, **given)
        assert [sent for sent in app.sent if sent[0] != "GET"] == [(method, path, query, body)]


async def test_the_offer_says_whether_the_domain_is_free_and_what_it_costs(modern_app: Connected) -> None:
    assert await modern_app.ok("search_domain", q="free-name.com") == {
        "domain": "free-name.com",
        "available": True,
        "create_price": "12.50",
        "renew_price": "12.50",
        "currency": "USD",
    }
    assert (await modern_app.ok("search_domain", q="taken-name.com"))["available"] is False


async def test_a_page_says_the_total_and_where_the_next_begins(modern_app: Connected) -> None:
    first = await modern_app.ok("list_domains", limit=1)
    assert (first["total"], first["next_offset"], len(first["domains"])) == (2, 1, 1)
    last = await modern_app.ok("list_domains", limit=1, offset=1)
    assert "next_offset" not in last
    assert set(last["domains"][0]) == {
        *("id", "domain_name", "status", "registered_at", "expires_at", "auto_renew", "cloudflare_enabled")
    }


async def test_a_domain_shows_its_records_or_its_nameservers(modern_app: Connected) -> None:
    behind = await modern_app.ok("get_domain", domain_id=domain(modern_app.sandbox))
    assert [row["type"] for row in behind["dns_records"]] == ["A", "CNAME", "MX"]
    plain = await modern_app.ok("get_domain", domain_id=domain(modern_app.sandbox, cloudflare=False))
    assert [row["nameserver"] for row in plain["nameservers"]] == ["ns1.myhost.com", "ns2.myhost.com"]


async def test_a_registration_is_followed_to_its_end(connect: Connect) -> None:
    slow = Sandbox(rate_limit=0, auto_tick=False, timing=Timing(domain=60))
    async with connect(sandbox=slow) as app:
        queue_id = await registered(app, "queued-site.com")
        begun = await app.ok("get_domain_queue", queue_id=queue_id)
        assert begun["status"] in ("pending", "processing")
        slow.advance(timedelta(minutes=10))
        done = await app.ok("get_domain_queue", queue_id=queue_id)
    assert done["status"] == "completed"
    assert done["domain"]["domain_name"] == "queued-site.com"


async def test_a_change_of_nothing_is_refused_before_anything_is_sent(modern_app: Connected) -> None:
    ids = {"domain_id": domain(modern_app.sandbox), "record_id": record(modern_app.sandbox)}
    said = await modern_app.error("update_dns_record", **ids)
    assert said.startswith("VALIDATION_ERROR: pass at least one of type, name, content, ttl, proxied.")
    assert modern_app.sent == []


async def test_records_without_cloudflare_are_refused_in_the_server_s_words(modern_app: Connected) -> None:
    plain = domain(modern_app.sandbox, cloudflare=False)
    said = await modern_app.error("create_dns_record", domain_id=plain, type="A", name="@", content="1.2.3.4")
    assert said.startswith("VALIDATION_ERROR: ")
    assert "no money moved" in said


@pytest.mark.parametrize("name", ["mysite.com", "xn--bcher-kva.example", "a.b.c.example"])
async def test_a_name_in_its_ascii_form_is_asked_for_as_it_is(modern_app: Connected, name: str) -> None:
    await modern_app.call("search_domain", q=name)
    assert modern_app.sent == [("GET", "/domains/search", {"q": name}, None)]


@pytest.mark.parametrize("name", ["MySite.COM", "mysite.com.", "MYSITE.com."])
async def test_a_name_is_one_name_in_any_case_and_with_a_final_dot(modern_app: Connected, name: str) -> None:
    await modern_app.call("search_domain", q=name)
    assert modern_app.sent == [("GET", "/domains/search", {"q": "mysite.com"}, None)]


@pytest.mark.parametrize("name", ["mysite", ".com", "my site.com", "a..com", "-a.com", "x" * 64 + ".com", "a.b/c.com"])
async def test_what_is_no_domain_is_not_asked_for(modern_app: Connected, name: str) -> None:
    said = await modern_app.error("search_domain", q=name)
    assert said.startswith("VALIDATION_ERROR: q: ")
    assert modern_app.sent == []


# names and contents in one form


async def test_a_name_beyond_ascii_leaves_as_punycode(modern_app: Connected) -> None:
    for typed in ("Bücher.example", "bu\u0308cher.example.", " bücher。example"):
        await modern_app.call("search_domain", q=typed)
        assert modern_app.sent == [("GET", "/domains/search", {"q": "xn--bcher-kva.example"}, None)]


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("https://mysite.com/page", "q: is more than a name; give the name alone: mysite.com."),
        ("my\u200bsite.com", "q: holds the invisible character U+200B; write the name without it."),
        ("x" * 64 + ".com", "q: has a part of more than 63 characters"),
    ],
)
async def test_a_wrong_name_is_refused_in_words(modern_app: Connected, typed: str, problem: str) -> None:
    said = await modern_app.error("search_domain", q=typed)
    assert said.startswith(f"VALIDATION_ERROR: {problem}")
    assert said.endswith("Nothing was sent and no money moved.")
    assert modern_app.sent == []


async def test_a_registration_leaves_in_one_form(sandbox: Sandbox, data_dir: Path) -> None:
    records = [
        {"type": "a", "name": "Bücher.example", "content": " 1.2.3.4 "},
        {"type": "CNAME", "name": "WWW.bücher.example.", "content": "BÜCHER.example."},
        {"type": "TXT", "name": "*.shop", "content": "BÜCHER.example."},
    ]
    async with connected(sandbox, data_dir, approver()) as shop:
        receipt = await shop.ok(
            "register_domain",
            domain="BÜCHER.example.",
            period=1,
            cloudflare=True,
            auto_renew=False,
            dns_records=records,
        )
        assert receipt["status"] == "charged"
        assert [write.body for write in shop.writes] == [
            {
                "domain": "xn--bcher-kva.example",
                "period": 1,
                "cloudflare": True,
                "auto_renew": False,
                "dns_records": [
                    {"type": "A", "name": "@", "content": "1.2.3.4"},
                    {"type": "CNAME", "name": "www", "content": "xn--bcher-kva.example"},
                    {"type": "TXT", "name": "*.shop", "content": "BÜCHER.example."},
                ],
            }
        ]


async def test_nameservers_leave_in_one_form_and_are_two(connect: Connect) -> None:
    async with connect(confirm_destructive=False) as app:
        id_ = domain(app.sandbox, cloudflare=False)
        await app.ok("set_nameservers", domain_id=id_, nameservers=["NS1.bücher.example.", "ns2.Example.com"])
        assert app.writes[-1].body == {"nameservers": ["ns1.xn--bcher-kva.example", "ns2.example.com"]}
        said = await app.error("set_nameservers", domain_id=id_, nameservers=["ns1.example.com", "NS1.example.com."])
        assert said.startswith("VALIDATION_ERROR: nameservers: names a server twice")
        assert app.sent == []


@pytest.mark.parametrize(("typed", "sent"), [("www.{}", "www"), ("{}.", "@"), ("*.Shop.{}", "*.shop")])
async def test_a_record_s_full_name_is_sent_relative_and_that_is_said(
    modern_app: Connected, typed: str, sent: str
) -> None:
    id_ = domain(modern_app.sandbox)
    own = modern_app.sandbox.state.domains[id_].name
    fields = {"type": "A", "name": typed.format(own), "content": "5.6.7.8"}
    note = f"The name was sent as {sent}: record names are relative to {own}."
    made = await modern_app.ok("create_dns_record", domain_id=id_, **fields)
    assert (made["name"], made["note"]) == (sent, note)
    assert [(method, path) for method, path, *_ in modern_app.sent] == [
        ("GET", f"/domains/{id_}"),
        ("POST", f"/domains/{id_}/dns"),
    ]


@pytest.mark.parametrize(("typed", "sent"), [("www.{}", "www"), ("{}.", "@"), ("*.Shop.{}", "*.shop")])
async def test_a_change_s_full_name_is_asked_and_sent_relative(connect: Connect, typed: str, sent: str) -> None:
    person = approver()
    async with connect(person=person) as app:
        id_ = domain(app.sandbox)
        name = typed.format(app.sandbox.state.domains[id_].name)
        await app.ok("update_dns_record", domain_id=id_, record_id=record(app.sandbox), name=name)
        assert f'\nname: "{sent}"\n' in person.asked[0]
        assert app.writes[-1].body == {"name": sent}


@pytest.mark.parametrize("name", ["@", "WWW", "s1._domainkey", "a.b", "www.other.com", "_dmarc.büro"])
async def test_a_relative_record_name_is_sent_without_a_note(modern_app: Connected, name: str) -> None:
    made = await modern_app.ok(
        "create_dns_record", domain_id=domain(modern_app.sandbox), type="TXT", name=name, content="x"
    )
    assert "note" not in made
    assert made["name"] == {"WWW": "www", "_dmarc.büro": "_dmarc.xn--bro-hoa"}.get(name, name)


async def test_a_content_that_does_not_fit_its_type_is_refused_in_words(modern_app: Connected) -> None:
    made = {"domain_id": domain(modern_app.sandbox), "name": "www.mysite.com"}
    for type_, content, problem in (
        ("A", "2001:db8::1", "content: this is an IPv6 address, which belongs in an AAAA record"),
        ("cname", "https://mysite.com/", "content: a CNAME record holds a host name, and this is more than a name"),
        ("MX", "10 1.2.3.4", "content: an MX record holds a host name and no IP address"),
    ):
        said = await modern_app.error("create_dns_record", **made, type=type_, content=content)
        assert said.startswith(f"VALIDATION_ERROR: {problem}")
        assert "no money moved" in said
        assert modern_app.sent == []


async def test_new_content_is_read_as_the_record_s_own_type(connect: Connect) -> None:
    async with connect(confirm_destructive=False) as modern_app:
        await check_contents(modern_app)


async def check_contents(modern_app: Connected) -> None:
    id_ = domain(modern_app.sandbox)
    ids = {row.type: row.id for row in modern_app.sandbox.state.domains[id_].records}
    change = {"domain_id": id_, "record_id": ids["CNAME"]}
    await modern_app.ok("update_dns_record", **change, content="BÜCHER.example")
    assert modern_app.writes[-1].body == {"content": "xn--bcher-kva.example"}
    said = await modern_app.error("update_dns_record", **change, content="https://mysite.com/")
    assert said.startswith("VALIDATION_ERROR: content: a CNAME record holds a host name")
    assert {method for method, *_ in modern_app.sent} == {"GET"}
    said = await modern_app.error("update_dns_record", **change, content="2001:db8::1")
    assert said.startswith("VALIDATION_ERROR: content: a CNAME record holds a host name and no IP address")
    text = {"domain_id": id_, "record_id": record(modern_app.sandbox)}
    await modern_app.ok("update_dns_record", **text, type="TXT", content="https://bücher.example")
    assert modern_app.writes[-1].body == {"type": "TXT", "content": "https://bücher.example"}


async def test_a_priority_is_refused_with_what_to_do_instead(modern_app: Connected) -> None:
    made = {"type": "MX", "name": "@", "content": "mail.example.com", "priority": 10}
    ids = {"domain_id": domain(modern_app.sandbox)}
    bought = {"domain": "free-name.com", "period": 1, "cloudflare": True, "auto_renew": False}
    for tool, arguments in (
        ("create_dns_record", {**ids, **made}),
        ("update_dns_record", {**ids, "record_id": record(modern_app.sandbox), "priority": 10}),
        ("register_domain", {**bought, "dns_records": [made]}),
    ):
        said = await modern_app.error(tool, **arguments)
        assert "priority: the API documents no priority in its requests." in said
        assert "'10 mail.example.com'" in said
        assert "dashboard" in said
        assert "no money moved" in said
        assert modern_app.sent == []


async def test_a_mail_record_is_made_with_a_note_about_its_priority(modern_app: Connected) -> None:
    made = await modern_app.ok(
        "create_dns_record", domain_id=domain(modern_app.sandbox), type="MX", name="@", content="10 Mail.Example.com."
    )
    assert made["content"] == "10 mail.example.com"
    assert "documents no MX priority" in made["note"]
