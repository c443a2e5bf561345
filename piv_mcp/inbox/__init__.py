"""SMS and events: how they arrive, what code they hold, and waiting for them."""
