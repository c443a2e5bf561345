"""Helpers for text and time: untrusted text, host names, phone numbers. They import nothing else of the package."""
