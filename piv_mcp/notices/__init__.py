"""Notices: what a person is told of where they are, by the services that Apprise knows."""
