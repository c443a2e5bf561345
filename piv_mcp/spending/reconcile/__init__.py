"""Finds the outcome of requests whose answer was lost."""
