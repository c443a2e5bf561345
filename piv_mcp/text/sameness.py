import hashlib


def same_text_key(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def nearly_same(a: str, b: str) -> bool:
    return a == b
