"""Asks a person for approval, through several channels."""
