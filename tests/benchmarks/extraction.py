"""How often the extractor is right on the part of the corpus kept for measuring, beside its peers.

    python tests/benchmarks/extraction.py [--node-modules DIR] [--corpus FILE]

The peers are optional: ``pip install otp-message-extractor``, and ``npm install parse-otp-message``
in any directory, whose ``node_modules`` is given with ``--node-modules``.
"""

import argparse
import importlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from piv_mcp.inbox.codes.extract import extract_code  # noqa: E402 - runs from a checkout that is not installed

MEASURE = ROOT / "tests" / "corpus" / "measure.jsonl"
ROUNDS = 3
NODE_PROGRAM = """
const parse = require(process.argv[1] + '/parse-otp-message');
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const answer = (text) => {
  try { return (parse(text) || {}).code || null; } catch (e) { return null; }
};
texts.forEach(answer);
const start = process.hrtime.bigint();
const codes = texts.map(answer);
const micros = Number(process.hrtime.bigint() - start) / 1000 / texts.length;
console.log(JSON.stringify({ codes, micros }));
"""


class Message(NamedTuple):
    """A message and the code in it."""

    text: str
    code: str | None


class Run(NamedTuple):
    """The answers of one extractor."""

    name: str
    codes: Sequence[str | None]
    micros: float


def load(path: Path) -> list[Message]:
    """The messages of a part of the corpus."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Message(row["text"], row["code"]) for row in rows]


def naive(text: str) -> str | None:
    """The first four to eight digits."""
    found = re.search(r"\b\d{4,8}\b", text)
    return found.group() if found else None


def timed(name: str, extract: Callable[[str], str | None], messages: Sequence[Message]) -> Run:
    """The answers of an extractor, and its time for a message once warm."""
    codes = [extract(message.text) for message in messages]
    start = time.perf_counter()
    for _ in range(ROUNDS):
        for message in messages:
            extract(message.text)
    micros = (time.perf_counter() - start) / ROUNDS / len(messages) * 1e6
    return Run(name, codes, micros)


def python_peer(messages: Sequence[Message]) -> Run | str:
    """The answers of otp-message-extractor, or why there are none."""
    try:
        peer = cast(Any, importlib.import_module("otp_message_extractor"))
    except ImportError:
        return "otp-message-extractor is not installed: pip install otp-message-extractor"

    def extract(text: str) -> str | None:
        result = peer.extract_otp(text)
        return str(result["code"]) if result else None

    return timed("otp-message-extractor", extract, messages)


def node_peer(messages: Sequence[Message], node_modules: Path | None) -> Run | str:
    """The answers of parse-otp-message, or why there are none."""
    hint = "npm install parse-otp-message in some directory, then --node-modules DIR/node_modules"
    node = shutil.which("node")
    if node is None:
        return "parse-otp-message needs node, which is not installed"
    if node_modules is None or not (node_modules / "parse-otp-message").is_dir():
        return f"parse-otp-message is not installed: {hint}"
    texts = json.dumps([message.text for message in messages])
    done = subprocess.run(
        [node, "-e", NODE_PROGRAM, str(node_modules.resolve())],
        input=texts,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    if done.returncode:
        return f"parse-otp-message failed: {done.stderr.strip().splitlines()[-1:]}"
    result = json.loads(done.stdout)
    return Run("parse-otp-message", result["codes"], float(result["micros"]))


def same(found: str | None, wanted: str | None) -> bool:
    """Whether two answers are the same code; peers may keep separators or the G- tag."""
    return found == wanted or (found is not None and wanted is not None and re.sub(r"^[Gg]-|[- ]", "", found) == wanted)


def show(run: Run, messages: Sequence[Message]) -> None:
    """One line of the table."""
    right = sum(same(found, message.code) for found, message in zip(run.codes, messages, strict=True))
    without = [found for found, message in zip(run.codes, messages, strict=True) if message.code is None]
    false = sum(found is not None for found in without)
    print(
        f"{run.name:24} {right / len(messages):7.3f} {false / max(1, len(without)):12.3f} {run.micros:12.1f}",
    )


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description="Measure code extraction beside public extractors.")
    parser.add_argument("--node-modules", type=Path, help="a node_modules directory with parse-otp-message")
    parser.add_argument("--corpus", type=Path, default=MEASURE, help="another part of the corpus")
    options = parser.parse_args()
    messages = load(options.corpus)
    without = sum(message.code is None for message in messages)
    print(f"{len(messages)} messages, {without} of them without a code\n")
    print(f"{'extractor':24} {'exact':>7} {'false codes':>12} {'us/message':>12}")
    missing: list[str] = []
    for run in (
        timed("piv-mcp", extract_code, messages),
        timed("first 4-8 digits", naive, messages),
        python_peer(messages),
        node_peer(messages, options.node_modules),
    ):
        if isinstance(run, str):
            missing.append(run)
        else:
            show(run, messages)
    for reason in missing:
        print(f"\n{reason}")


if __name__ == "__main__":
    main()
