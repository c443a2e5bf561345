"""SMS and other events: receiving them, storing them, extracting codes, and waiting for them."""
