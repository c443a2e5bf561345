"""What is invisible never reaches a model or a person as it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piv_mcp.api.quoting import clean
from piv_mcp.text.invisible import is_invisible
from piv_mcp.text.untrusted import Fence, one_line, visible

DEFAULT_IGNORABLE = [
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
]
"""Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties.txt, which gives their number as 4174."""

SEPARATORS = [0x2028, 0x2029, 0x0085, 0x000B, 0x000C, 0x000D]


def test_no_invisible_character_passes_in_any_text() -> None:
    assert len(set(DEFAULT_IGNORABLE)) == 4174
    for code in DEFAULT_IGNORABLE + SEPARATORS:
        char = chr(code)
        assert is_invisible(char), hex(code)
        for shown in (visible(f"a{char}b"), one_line(f"a{char}b"), Fence().wrap(f"a{char}b")):
            assert char not in shown, hex(code)
            assert f"a⟨U+{code:04X}⟩b" in shown
        assert char not in clean(f"a{char}b", secret="key")


@pytest.mark.parametrize(
    "text", ["Ваш код 1234 ✓ 😀", "验证码：057596", "e\u0301", "שלום", "नमस्ते", "a\u00a0b\u3000c", "☎"]
)
def test_what_can_be_seen_stays(text: str) -> None:
    assert visible(text) == text


def test_hidden_text_in_variation_selectors_is_laid_open() -> None:
    hidden = "".join(chr(0xE0100 + byte - 16) for byte in b"buy")
    assert visible(f"Hi😀{hidden}") == "Hi😀⟨U+E0152⟩⟨U+E0165⟩⟨U+E0169⟩"


@settings(max_examples=300)
@given(st.text(max_size=100))
def test_a_text_made_visible_holds_nothing_invisible(text: str) -> None:
    assert not any(is_invisible(char) for char in visible(text) if char not in "\n\t")
    assert not any(is_invisible(char) for char in one_line(text) if char != "\t")
