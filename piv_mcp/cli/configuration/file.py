"""A client's configuration file on the disk: read, replaced as a whole, and a copy of what was there."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from piv_mcp.cli.configuration.errors import UnreadableError, UnwritableError

_BOM = "\ufeff"
_COPY = ".before-piv-"
MAX_COPIES = 5
_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class FileState:
    """What is in a file. `text` is None if there is no file; `target` is where a link leads."""

    path: Path
    target: Path
    text: str | None
    has_bom: bool = False


def read(path: Path) -> FileState:
    """Read a file as it is, with its line breaks.

    Raises:
        UnreadableError: it is no text file in UTF-8, or cannot be read.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise UnreadableError("it is no file")
        text = target.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return FileState(path, path.resolve(), None)
    except UnicodeDecodeError:
        raise UnreadableError("it is not text in UTF-8", hint="Save it in UTF-8") from None
    except (OSError, RuntimeError) as error:
        raise UnreadableError(f"it cannot be read ({_reason(error)})") from None
    return FileState(path, target, text.removeprefix(_BOM), text.startswith(_BOM))


def check_writable(state: FileState) -> None:
    """Refuse a file that somebody has closed, also where the system would let its replacement through.

    Raises:
        UnwritableError: it is read-only, or in a folder that cannot be written.
    """
    target = state.target
    if state.text is not None and not (target.stat().st_mode & _WRITE_BITS and os.access(target, os.W_OK)):
        raise UnwritableError(f"{target} is read-only", hint="Change it where it is made, or make it writable")
    folder = next(parent for parent in target.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UnwritableError(f"the folder {folder} cannot be written")


def write(state: FileState, text: str | None) -> Path | None:
    """Put `text` into the file; returns the copy of what was there, if anything was. None deletes the file, without a
    copy: that is for one that nobody else has written.

    Raises:
        UnwritableError: nothing was changed.
    """
    check_writable(state)
    try:
        if read(state.path) != state:
            raise UnwritableError(f"{state.path} was changed in the meantime", hint="Run this again")
        copy = _copied(state) if None not in (state.text, text) else None
        if text is None:
            state.target.unlink(missing_ok=True)
        else:
            replace(state.target, (_BOM if state.has_bom else "") + text)
    except UnicodeEncodeError:
        raise UnwritableError("a path holds bytes that are no text") from None
    except OSError as error:
        raise UnwritableError(f"{state.target} cannot be written ({_reason(error)})") from None
    return copy


def copies(path: Path) -> Iterator[FileState]:
    """The copies of a file that `write` has made, the latest first."""
    target = path.resolve()
    for copy in sorted(target.parent.glob(f"{target.name}{_COPY}*"), reverse=True):
        with suppress(UnreadableError):
            yield read(copy)


def _copied(state: FileState) -> Path:
    """A copy beside the file, for the user alone: files of clients hold tokens. Copies in between make room for it; the
    oldest shows what the file was at first."""
    target = state.target
    known = list(copies(state.path))
    for copy in known:
        if (copy.text, copy.has_bom) == (state.text, state.has_bom):
            return copy.path
    path = target.with_name(f"{target.name}{_COPY}{datetime.now().astimezone():%Y%m%d-%H%M%S-%f}")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(target.read_bytes())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    for copy in known[MAX_COPIES - 2 : -1]:
        copy.path.unlink(missing_ok=True)
    return path


def replace(target: Path, text: str) -> None:
    """Put a new file in the place of the old, so that no reader sees half of it. A file that was not there is for the
    user alone.

    Raises:
        OSError: the old file is as it was.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    new = Path(name)
    try:
        with open(handle, "wb") as out:
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileNotFoundError):
            old = target.stat()
            new.chmod(stat.S_IMODE(old.st_mode))
            if hasattr(os, "chown"):
                with suppress(PermissionError):
                    os.chown(new, old.st_uid, old.st_gid)
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _reason(error: OSError | RuntimeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
