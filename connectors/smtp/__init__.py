"""`Smtp`: mail."""

from amends.connectors.smtp.connector import Smtp
from amends.connectors.smtp.message import Sent

__all__ = ["Sent", "Smtp"]
