"""Rows are read from the pages of an SQLite file as SQLite reads them, and from damaged pages without a fault."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piv_mcp.store.connection import Value
from piv_mcp.store.pages import Image, read_image

pytestmark = pytest.mark.sqlite

LEAST, MOST = -(2**63), 2**63 - 1
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
long_texts = st.builds(str.__mul__, texts, st.integers(1, 120))
values: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.sampled_from([0, 1, -1, 127, 128, -129, 2**15, 2**23, -(2**31), 2**31, 2**47, LEAST, MOST]),
    st.integers(LEAST, MOST),
    st.floats(allow_nan=False),
    texts,
    long_texts,
)
rowids = st.one_of(st.integers(LEAST, MOST), st.integers(0, 20_000))
tables = st.dictionaries(rowids, st.tuples(values, values), max_size=40)


def rows(image: Image, first: int = LEAST, last: int = MOST) -> list[tuple[int, list[Value]]]:
    """The rows of the one table that a test makes; that of the schema has five columns."""
    return sorted((row for row in image.rows(first, last) if len(row[1]) == 3), key=lambda row: row[0])


def made(path: Path, table: dict[int, tuple[Value, Value]], page_size: int = 512) -> sqlite3.Connection:
    """A file with this table, without a write-ahead log."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY, a, b)")
    connection.executemany("INSERT INTO kept VALUES (?, ?, ?)", [(key, *row) for key, row in table.items()])
    return connection


def as_stored(table: dict[int, tuple[Value, Value]]) -> list[tuple[int, list[Value]]]:
    """What the pages hold: the place of the key is empty."""
    return [(key, [None, *row]) for key, row in sorted(table.items())]


@settings(max_examples=60)
@given(tables, st.sampled_from([512, 1024, 4096, 65536]), st.booleans())
def test_all_rows_are_read_as_sqlite_reads_them(
    table: dict[int, tuple[Value, Value]], page_size: int, logged: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        with closing(made(path, {} if logged else table, page_size)) as connection:
            if logged:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executemany("INSERT INTO kept VALUES (?, ?, ?)", [(key, *row) for key, row in table.items()])
            assert rows(read_image(path)) == as_stored(table)
            found = connection.execute("SELECT id FROM kept WHERE id BETWEEN 5 AND 9000 ORDER BY id").fetchall()
            assert [(key,) for key, _ in rows(read_image(path), 5, 9000)] == found


@settings(max_examples=30)
@given(st.sets(st.integers(1, 400)), st.integers(1, 60))
def test_rows_that_were_deleted_are_not_read(deleted: set[int], length: int) -> None:
    table: dict[int, tuple[Value, Value]] = {key: (f"{key}-{'x' * length}", key) for key in range(1, 401)}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        with closing(made(path, table)) as connection:
            connection.executemany("DELETE FROM kept WHERE id = ?", [(key,) for key in deleted])
            left = {key: row for key, row in table.items() if key not in deleted}
            assert rows(read_image(path)) == as_stored(left)


def test_thousands_of_free_pages_are_known_as_such(tmp_path: Path) -> None:
    """Their list takes more than one page."""
    table: dict[int, tuple[Value, Value]] = {key: ("x" * 400, key) for key in range(1, 2001)}
    with closing(made(tmp_path / "file", table)) as connection:
        connection.execute("DELETE FROM kept WHERE id > 3")
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] > 500
        assert [key for key, _ in rows(read_image(tmp_path / "file"))] == [1, 2, 3]


def test_a_list_of_free_pages_that_leads_back_to_itself_has_an_end(tmp_path: Path) -> None:
    with closing(made(tmp_path / "file", {key: ("x" * 400, key) for key in range(1, 30)})) as connection:
        connection.execute("DELETE FROM kept WHERE id > 3")
    content = bytearray((tmp_path / "file").read_bytes())
    trunk = int.from_bytes(content[32:36], "big")
    content[(trunk - 1) * 512 : (trunk - 1) * 512 + 4] = content[32:36]
    (tmp_path / "file").write_bytes(content)
    assert [key for key, _ in rows(read_image(tmp_path / "file"))] == [1, 2, 3]


def test_what_was_not_committed_is_not_read(tmp_path: Path) -> None:
    with closing(made(tmp_path / "file", {1: ("first", 1)})) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO kept VALUES (2, 'second', 2)")
        connection.execute("PRAGMA cache_size = 1")  # so that pages go to the log before the commit
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO kept VALUES (?, ?, ?)", [(key, "x" * 300, key) for key in range(3, 400)])
        assert (tmp_path / "file-wal").stat().st_size > 20_000
        assert [key for key, _ in rows(read_image(tmp_path / "file"))] == [1, 2]


def test_of_a_log_that_began_anew_the_old_rest_is_not_read(tmp_path: Path) -> None:
    with closing(made(tmp_path / "file", {1: ("first", 1)})) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for key in range(2, 60):
            connection.execute("INSERT INTO kept VALUES (?, ?, ?)", (key, "x" * 300, key))
        connection.execute("DELETE FROM kept WHERE id > 1")
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("INSERT INTO kept VALUES (1000, 'new', 1)")
        assert [key for key, _ in rows(read_image(tmp_path / "file"))] == [1, 1000]


@settings(max_examples=40)
@given(st.dictionaries(texts.filter(bool), st.tuples(texts, st.one_of(texts, st.floats(0.25, 0.75))), max_size=30))
def test_rows_without_a_rowid_are_read_whole(table: dict[str, tuple[str, Value]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, a, b) WITHOUT ROWID")
            connection.executemany("INSERT INTO facts VALUES (?, ?, ?)", [(key, *row) for key, row in table.items()])
            # The entries of an index lie in pages of the same kind.
            connection.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY, a, b)")
            connection.execute("CREATE INDEX by_text ON kept (a, b)")
            connection.execute("INSERT INTO kept VALUES (7, 'in the index', 'too')")
        assert {str(row[0]): (row[1], row[2]) for row in read_image(path).keyed_rows()} == table


@settings(max_examples=150)
@given(tables, st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=30))
def test_damaged_pages_are_read_without_a_fault(
    table: dict[int, tuple[Value, Value]], rubbish: list[tuple[int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        made(path, table).close()
        content = bytearray(path.read_bytes())
        for at, bytes_ in rubbish:
            at %= len(content)
            content[at : at + len(bytes_)] = bytes_
        path.write_bytes(content)
        image = read_image(path)
        assert all(LEAST <= key <= MOST for key, _ in image.rows(LEAST, MOST))
        assert all(row for row in image.keyed_rows())


def test_a_file_without_a_page_has_no_rows(tmp_path: Path) -> None:
    for content in (b"", b"SQLite format 3\0", bytes(99)):
        (tmp_path / "file").write_bytes(content)
        assert list(read_image(tmp_path / "file").rows(LEAST, MOST)) == []
