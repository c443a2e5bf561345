def parts_of(text: str) -> tuple[int, int] | None:
    return None
