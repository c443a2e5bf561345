"""The proxy tools: what they send and answer, and where passwords may be."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from examples import order
from harness import Connect, Connected, Request, content_of

from piv_mcp.sandbox import Failure
from piv_mcp.tools.proxies import MASK, masked


def passwords(app: Connected) -> list[str]:
    return [item.password for item in app.sandbox.state.orders[order(app.sandbox)].proxies]


async def test_reads_send_the_documented_request_and_only_what_was_given(app: Connected) -> None:
    id_ = order(app.sandbox)
    own = f"/proxy/orders/{id_}"
    calls: list[tuple[str, Mapping[str, object], Request]] = [
        ("list_proxy_servers", {}, ("GET", "/proxy/servers", {}, None)),
        ("list_proxy_orders", {}, ("GET", "/proxy/orders", {}, None)),
        (
            "list_proxy_orders",
            {"status": "active", "search": "DE", "limit": 20, "offset": 0},
            (
                "GET",
                "/proxy/orders",
                {"limit": "20", "offset": "0", "status": "active", "search": "DE"},
                None,
            ),
        ),
        ("get_proxy_order", {"order_id": id_}, ("GET", own, {}, None)),
        # What only concerns the answer does not leave.
        ("get_proxy_order", {"order_id": id_, "show_passwords": True}, ("GET", own, {}, None)),
        (
            "export_proxies",
            {"order_id": id_, "format": "both", "show_passwords": True},
            ("GET", f"{own}/export", {"format": "both"}, None),
        ),
    ]
    for tool, arguments, request in calls:
        await app.ok(tool, **arguments)
        assert app.sent == [request], tool


async def test_a_page_of_orders_says_the_total_and_where_the_next_begins(modern_app: Connected) -> None:
    first = await modern_app.ok("list_proxy_orders", limit=1)
    assert (first["total"], first["next_offset"], len(first["orders"])) == (2, 1, 1)
    last = await modern_app.ok("list_proxy_orders", limit=1, offset=1)
    assert last["orders"][0]["id"] != first["orders"][0]["id"]
    assert "next_offset" not in last


# passwords


async def test_passwords_are_masked_unless_asked_for(modern_app: Connected) -> None:
    id_ = order(modern_app.sandbox)
    result = await modern_app.call("get_proxy_order", order_id=id_)
    assert not result.is_error
    assert not [password for password in passwords(modern_app) if password in result.model_dump_json()]
    answer = content_of(result)
    assert [item["password"] for item in answer["proxies"]] == [MASK] * 3
    assert all(item["login"] and item["host"] for item in answer["proxies"])
    assert "export_proxies(to_file=true) writes the lines with the passwords to a file" in answer["note"]

    shown = await modern_app.ok("get_proxy_order", order_id=id_, show_passwords=True)
    assert [item["password"] for item in shown["proxies"]] == passwords(modern_app)


async def test_an_export_is_masked_unless_asked_for(modern_app: Connected) -> None:
    id_ = order(modern_app.sandbox)
    result = await modern_app.call("export_proxies", order_id=id_)
    assert not [password for password in passwords(modern_app) if password in result.model_dump_json()]
    answer = content_of(result)
    assert answer["count"] == 3
    assert answer["content"].count(f":{MASK}@") == 3
    assert "to_file=true) writes the lines with the passwords to a file" in answer["note"]
    assert "show_passwords=true returns them here" in answer["note"]

    shown = await modern_app.ok("export_proxies", order_id=id_, show_passwords=True)
    assert all(f":{password}@" in shown["content"] for password in passwords(modern_app))
    assert "real passwords" in shown["note"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def assert_private(path: Path, secrets: list[str]) -> None:
    """A file of its owner's alone, in a folder likewise, that holds these and that nothing was left beside."""
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    lines = path.read_text("utf-8").splitlines()
    assert [line.split("@")[0].split(":")[1] for line in lines] == secrets
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_an_export_to_a_file_is_for_its_owner_alone(modern_app: Connected, data_dir: Path) -> None:
    id_ = order(modern_app.sandbox)
    result = await modern_app.call("export_proxies", order_id=id_, format="http", to_file=True)
    assert not [password for password in passwords(modern_app) if password in result.model_dump_json()]
    answer = content_of(result)
    assert set(answer) == {"count", "format", "file", "note"}
    assert "holds all lines with the passwords" in answer["note"]
    path = Path(answer["file"])
    assert path.parent == data_dir / "exports"
    assert_private(path, passwords(modern_app))


async def test_a_second_export_replaces_the_first_file(modern_app: Connected) -> None:
    id_ = order(modern_app.sandbox)
    path = modern_app.services.exports / f"proxies-{id_}-socks5.txt"
    path.parent.mkdir(mode=0o700)
    path.write_text("old", "utf-8")
    path.chmod(0o644)
    assert (await modern_app.ok("export_proxies", order_id=id_, to_file=True))["file"] == str(path)
    assert_private(path, passwords(modern_app))


async def test_a_link_in_the_way_of_an_export_is_not_followed(modern_app: Connected, tmp_path: Path) -> None:
    id_ = order(modern_app.sandbox)
    victim = tmp_path / "victim"
    victim.write_text("precious", "utf-8")
    modern_app.services.exports.mkdir(parents=True)
    for name in (f"proxies-{id_}-socks5.txt", f"proxies-{id_}-socks5.txt.part"):
        (modern_app.services.exports / name).symlink_to(victim)
    await modern_app.ok("export_proxies", order_id=id_, to_file=True)
    assert victim.read_text("utf-8") == "precious"


async def test_a_directory_that_cannot_be_written_is_said(connect: Connect, data_dir: Path) -> None:
    async with connect() as app:
        (data_dir / "exports").write_text("a file where the directory should be")
        said = await app.error("export_proxies", order_id=order(app.sandbox), to_file=True)
    assert said.startswith(f"STORE_ERROR: the export cannot be written to {data_dir / 'exports'}")


async def test_an_error_shows_no_password(modern_app: Connected, instant_retries: None) -> None:
    modern_app.sandbox.fail_next(Failure(kind="garbage", path="/proxy/orders/*", times=None))
    said = await modern_app.error("get_proxy_order", order_id=order(modern_app.sandbox))
    assert not [password for password in passwords(modern_app) if password in said]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("user1:pass1@1.2.3.4:1080", f"user1:{MASK}@1.2.3.4:1080"),
        ("user1:p@ss:w@rd@1.2.3.4:1080", f"user1:{MASK}@1.2.3.4:1080"),
        ("user1:pass1@[2a00::1]:1080", f"user1:{MASK}@[2a00::1]:1080"),
        ("1.2.3.4:1080:user1:pass1", MASK),
        ("just-a-secret", MASK),
        ("", ""),
    ],
)
def test_whatever_may_be_a_password_is_masked(line: str, shown: str) -> None:
    assert masked(line) == shown
