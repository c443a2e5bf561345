"""The editors of configuration files: one value is set or removed, and all else stays as it was, comments too."""

import difflib
import json
import re
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piv_mcp.cli.configuration import document
from piv_mcp.cli.configuration.document import Form
from piv_mcp.cli.configuration.errors import UnreadableError

PATH = ("servers", "piv")
ENTRY = {"command": "/opt/piv mcp/piv-mcp", "args": ["--from", "a: b"], "env": {"PIV_SANDBOX": "true", "N": "5"}}

WITH_COMMENTS: dict[Form, list[str]] = {
    "json": [
        '// first\n{\n    // of servers\n    "servers": {\n        "other": {"command": "x", /* in */ "args": [1, 2,],}'
        ", // tail\n"
        '        // last\n    }, // after\n    "é": "ü😀 // no comment"  // end\n}\n// done\n',
        '{\n\t"servers": {\n\t\t"other": {}\n\t},\n\t"theme": "dark"\n}\n',
        '{"servers": {"other": {"env": {"TOKEN": "t"}}}, "x": [{}, null, -1.5e3]}',
        '{ /* inline */ "x": 1 }',
        '{\r\n  "x": 1, // one\r\n  "servers": {}\r\n}\r\n',
    ],
    "toml": [
        '# first\nmodel = "x" # of the model\n\n[servers.other] # tail\ncommand = "q"\n# z\n\n[t]\nx = 1979-05-27\n',
        'servers = { other = { command = "x" } } # inline\n',
        'servers.other.command = "x" # dotted\n',
        "[[profiles]] # of an array\nname = 'a'\n",
        '[servers]\r\n# nothing here\r\n\r\n[tui]\r\nx = """\r\na\r\nb"""\r\n',
    ],
    "yaml": [
        "# first\nGOOSE_MODEL: x # of the model\nservers:\n  # of other\n  other:\n    enabled: true # t\n    args:\n"
        "    - a\n    - 'b'\n  # last\n\n# after\ntext: |\n  kept # no comment\n   as it is\n",
        "servers: {other: {command: x}} # inline\n",
        "a: 1\nservers: {}  # empty\nb: 2",
        "servers: # nothing\nz: [1,  2]\n",
        "servers:\r\n    other:\r\n        a: 'b'\r\nz:   1\r\n",
        "---\nx: &a {b: 1}\ny: *a\n",
    ],
}
CASES = [(form, text) for form, texts in WITH_COMMENTS.items() for text in texts]
COMMENT: dict[Form, str] = {"json": r"//[^\n\r]*|/\*.*?\*/", "toml": r"#[^\n\r]*", "yaml": r"#[^\n\r]*"}


def whole(form: Form, text: str) -> dict[str, Any]:
    found = document.get(form, text, ())
    assert isinstance(found, dict)
    return json.loads(json.dumps(found, default=str))


@pytest.mark.parametrize(("form", "text"), CASES)
def test_a_value_is_set_and_all_else_stays(form: Form, text: str) -> None:
    expected = whole(form, text)
    expected["servers"] = {**(expected.get("servers") or {}), "piv": ENTRY}
    changed = document.put(form, text, PATH, ENTRY)
    assert whole(form, changed) == expected
    assert re.findall(COMMENT[form], text) == [
        found for found in re.findall(COMMENT[form], changed) if found in text
    ], "every comment, in its order"
    assert ("\r\n" in text) == ("\r\n" in changed)
    lost = [line for line in difflib.ndiff(text.splitlines(), changed.splitlines()) if line.startswith("- ")]
    assert len(lost) <= 1, "the line of the last server may get a comma, and an empty mapping is opened"


@pytest.mark.parametrize(("form", "text"), CASES)
def test_what_was_set_can_be_changed_and_removed_again(form: Form, text: str) -> None:
    changed = document.put(form, text, PATH, ENTRY)
    other = {**ENTRY, "args": [], "env": {}}
    again = document.put(form, changed, PATH, other)
    assert document.get(form, again, PATH) == other
    assert document.put(form, again, PATH, ENTRY) == document.put(
        form, document.put(form, again, PATH, ENTRY), PATH, ENTRY
    )
    removed = document.remove(form, again, PATH)
    before, after = whole(form, text), whole(form, removed)
    assert {**before, "servers": before.get("servers") or None} == {**after, "servers": after.get("servers") or None}
    assert re.findall(COMMENT[form], removed) == re.findall(COMMENT[form], text)


KEPT: list[tuple[Form, str, str]] = [
    # What stands after our entry is a comment of the next section.
    ("toml", '[servers.piv]\nx = 1\n\n# of work\n[profiles.work]\nmodel = "o"\n', "# of work\n[profiles.work]\n"),
    ("toml", '[servers.a]\nx = 1\n\n# of work\n[profiles.work]\nmodel = "o"\n', "# of work\n[profiles.work]\n"),
    ("toml", '[servers.piv]\nx = 1\n# of env\n[servers.piv.env]\nA = "b"\n\n# last\n', "# last\n"),
    (
        "yaml",
        "servers:\n  piv:\n    text: |\n      hello\n  # of corp\n  corp:\n    cmd: y\n",
        "  # of corp\n  corp:\n",
    ),
    (
        "yaml",
        "servers:\n  piv:\n    text: >-\n      a\n\n      b\n\n  # of corp\n  corp: 1\n",
        "  # of corp\n  corp: 1\n",
    ),
    (
        "json",
        '{\n  "servers": {\n    "piv": {},\n    // of corp\n    "corp": {}\n  }\n}\n',
        '    // of corp\n    "corp": {}\n',
    ),
]


@pytest.mark.parametrize(("form", "text", "kept"), KEPT, ids=range(len(KEPT)))
def test_a_comment_of_the_next_section_stays_with_it(form: Form, text: str, kept: str) -> None:
    changed = document.put(form, text, PATH, ENTRY)
    assert kept in changed
    assert kept in document.put(form, changed, PATH, {**ENTRY, "args": []})
    assert kept in document.remove(form, changed, PATH)
    assert kept in document.remove(form, text, PATH)


NOTHING_THERE: list[tuple[Form, str]] = [
    ("json", '{"servers": null}'),
    ("json", '{"x": 1, "servers": {"piv": null}}'),
    ("yaml", "servers: null\nx: 1\n"),
    ("yaml", "servers: ~\n"),
    ("yaml", "{}\n"),
    ("yaml", "2024-01-01: x\n1: y\n"),
    ("toml", "servers.piv.command = 'x'\n"),
    ("toml", "servers.a.command = 'x'\nservers.b.command = 'y'\n[t]\n"),
]


@pytest.mark.parametrize(("form", "text"), NOTHING_THERE, ids=range(len(NOTHING_THERE)))
def test_odd_ways_to_say_nothing_are_understood(form: Form, text: str) -> None:
    changed = document.put(form, text, PATH, ENTRY)
    assert document.get(form, changed, PATH) == ENTRY


@pytest.mark.parametrize("form", ["json", "toml", "yaml"])
@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_an_empty_file_is_filled(form: Form, text: str) -> None:
    changed = document.put(form, text, PATH, ENTRY)
    assert whole(form, changed) == {"servers": {"piv": ENTRY}}
    assert whole(form, document.render(form, PATH, ENTRY)) == {"servers": {"piv": ENTRY}}
    assert changed.endswith("\n")


@pytest.mark.parametrize(("form", "text"), [("json", "// mine\n"), ("toml", "# mine\n"), ("yaml", "# mine\n")])
def test_a_file_of_comments_is_filled(form: Form, text: str) -> None:
    changed = document.put(form, text, PATH, ENTRY)
    assert changed.startswith(text)
    assert whole(form, changed) == {"servers": {"piv": ENTRY}}


BROKEN: list[tuple[Form, str]] = [
    ("json", '{"servers": {'),
    ("json", '{"servers": {}'),
    ("json", "{servers: {}}"),
    ("json", "{'servers': {}}"),
    ("json", '{"servers": {}} more'),
    ("json", '{"servers": {},, "x": 1}'),
    ("json", '{"x": NaN}'),
    ("json", '{"x": 0x10}'),
    ("json", '{"x": "\n"}'),
    ("json", "/* open"),
    ("json", "nothing"),
    ("json", '{"servers": {}, "servers": {}}'),
    ("json", "[]"),
    ("json", '{"servers": []}'),
    ("json", '{"servers": "x"}'),
    ("json", "[" * 5000),
    ("json", '{"x": ' + "1" * 5000 + "}"),
    ("toml", "[servers"),
    ("toml", "servers"),
    ("toml", "a = 1\na = 2"),
    ("toml", "servers = 1"),
    ("toml", "[[servers]]\na = 1"),
    ("yaml", "servers: ["),
    ("yaml", "- a"),
    ("yaml", "a: 1\na: 2"),
    ("yaml", "a: 1\n---\nb: 2"),
    ("yaml", "servers: 5"),
    ("yaml", "servers:\n- a"),
    ("yaml", "\tservers: 1"),
    ("yaml", "a: !secret b"),
    ("yaml", "servers: &s\n  a: {}\nothers: *s\n"),
]


@pytest.mark.parametrize(("form", "text"), BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_understood_or_changed_alone_is_refused(form: Form, text: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        document.put(form, text, PATH, ENTRY)
    assert "input" not in str(refused.value)


def test_the_line_of_a_fault_is_named_and_its_text_is_not() -> None:
    for form, text in (
        ("json", '{\n"a": 1,\n"secret-1" 5}'),
        ("yaml", "a: 1\nb: 2\nsecret-1: 'x"),
        ("toml", "a=1\nb=2\nsecret-1 5"),
    ):
        with pytest.raises(UnreadableError, match="line 3") as refused:
            document.put(form, text, PATH, ENTRY)  # pyright: ignore[reportArgumentType]
        assert "secret-1" not in str(refused.value)


# Any file

KEYS = st.text("abcpiv_ é\"'#/*{}:,", min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab {}\"'\\/#*,:\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
SERVERS = st.dictionaries(KEYS.filter(lambda key: key != "piv"), st.dictionaries(KEYS, VALUES, max_size=3), max_size=3)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """What may be in a file: servers, between other things."""
    others = list(draw(st.dictionaries(KEYS.filter(lambda key: key != "servers"), VALUES, max_size=3)).items())
    servers = draw(st.none() | SERVERS)
    where = draw(st.integers(0, 3))
    return dict([*others[:where], *([] if servers is None else [("servers", servers)]), *others[where:]])


BLANKS = st.sampled_from(["", " ", "\n", "\t", "/* c */", " // c\n", "\n  "])


@st.composite
def jsonc(draw: st.DrawFn, data: object) -> str:
    """The data as JSON, with white space, comments and final commas anywhere."""

    def around(text: str) -> str:
        return f"{draw(BLANKS)}{text}{draw(BLANKS)}"

    if isinstance(data, dict):
        items = cast("dict[str, object]", data).items()
        inner = [f"{around(json.dumps(key))}:{around(draw(jsonc(value)))}" for key, value in items]
    elif isinstance(data, list):
        inner = [around(draw(jsonc(value))) for value in cast("list[object]", data)]
    else:
        return json.dumps(data, ensure_ascii=draw(st.booleans()))
    comma = "," if inner and draw(st.booleans()) else ""
    opened, closed = "{}" if isinstance(data, dict) else "[]"
    return f"{opened}{','.join(inner)}{comma}{draw(BLANKS)}{closed}"


@given(st.data())
@settings(max_examples=200)
def test_any_json_with_comments_keeps_its_data_and_its_comments(data: st.DataObject) -> None:
    before = data.draw(files())
    text = data.draw(jsonc(before))
    changed = document.put("json", text, PATH, ENTRY)
    assert whole("json", changed) == {**before, "servers": {**before.get("servers", {}), "piv": ENTRY}}
    assert changed.count("c */") + changed.count("// c\n") == text.count("c */") + text.count("// c\n")
    removed = document.remove("json", changed, PATH)
    after = whole("json", removed)
    assert {**before, "servers": before.get("servers") or None} == {**after, "servers": after.get("servers") or None}


@given(st.text(max_size=40), st.sampled_from(["json", "toml", "yaml"]))
@settings(max_examples=200)
def test_any_text_is_filled_or_refused(text: str, form: Form) -> None:
    try:
        changed = document.put(form, text, PATH, ENTRY)
    except UnreadableError:
        return
    assert document.get(form, changed, PATH) == ENTRY
