"""`Sql`: participants that are a database, SQLite or PostgreSQL."""

from amends.connectors.sql.connector import Sql
from amends.connectors.sql.transaction import Transaction

__all__ = ["Sql", "Transaction"]
