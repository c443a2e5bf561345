"""How a person is asked, and by which channels."""
