"""Helpers for untrusted text, lone surrogates and time. They import nothing else of the package."""
