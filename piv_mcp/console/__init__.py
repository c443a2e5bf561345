"""What the person sees: the pages on which they look, decide and set rules."""
