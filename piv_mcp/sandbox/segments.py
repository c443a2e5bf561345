"""How many SMS segments a text needs: in GSM-7 if its alphabet has every character, else in UCS-2 (3GPP TS 23.038)."""

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED = frozenset("\f^{}\\[~]|€")


def segments(text: str) -> int:
    if _GSM_BASIC.union(_GSM_EXTENDED).issuperset(text):
        return _pack([2 if char in _GSM_EXTENDED else 1 for char in text], alone=160, joined=153)
    return _pack([2 if ord(char) > 0xFFFF else 1 for char in text], alone=70, joined=67)


def _pack(widths: list[int], alone: int, joined: int) -> int:
    """Count the segments. A character of two units is not split between two segments."""
    if sum(widths) <= alone:
        return 1
    count, used = 1, 0
    for width in widths:
        if used + width > joined:
            count, used = count + 1, 0
        used += width
    return count
