"""Prints the lowest version of each dependency that pyproject.toml allows, one `name==version` a line. Those of
the extras `server` and `notify` are among them.

The output is a file of constraints for pip:

    python3 tests/lowest.py > lowest.txt
    PIP_CONSTRAINT=lowest.txt python3 tests/run.py

Standard library only.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def lowest(requirement: str) -> str:
    """`name>=1.2,<2` as `name==1.2`.

    Raises:
        ValueError: the requirement has no lower bound.
    """
    bound = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?\s*>=\s*([\w.]+)", requirement)
    if bound is None:
        raise ValueError(f"no lower bound in pyproject.toml: {requirement}")
    return f"{bound[1]}=={bound[2]}"


def main() -> int:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["server"], *extras["notify"]]:
        print(lowest(requirement))
    return 0


if __name__ == "__main__":
    sys.exit(main())
