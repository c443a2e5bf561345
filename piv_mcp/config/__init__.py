"""The settings, and where files are kept without any."""

from piv_mcp.config.places import default_directory, former_directories
from piv_mcp.config.settings import (
    ASKED_BY_EXTENSION,
    ENVIRONMENT_ONLY,
    PATHS,
    STORE_FILE,
    TOOLSETS,
    Area,
    Effect,
    Notified,
    PaidArea,
    Settings,
    SpendMode,
    absolute_paths,
    load,
    load_without_key,
)
from piv_mcp.config.values import is_plain_host

__all__ = [
    "ASKED_BY_EXTENSION",
    "ENVIRONMENT_ONLY",
    "PATHS",
    "STORE_FILE",
    "TOOLSETS",
    "Area",
    "Effect",
    "Notified",
    "PaidArea",
    "Settings",
    "SpendMode",
    "absolute_paths",
    "default_directory",
    "former_directories",
    "is_plain_host",
    "load",
    "load_without_key",
]
