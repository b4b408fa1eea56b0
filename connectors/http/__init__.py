"""`Http`: participants reached over HTTP."""

from amends.connectors.http.connector import Http

__all__ = ["Http"]
