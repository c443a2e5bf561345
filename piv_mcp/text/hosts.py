"""Host names."""


def display(name: str) -> str:
    return name
