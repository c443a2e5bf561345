"""The tools that a model sees, one module for each area. Handlers are short and call the other packages."""
