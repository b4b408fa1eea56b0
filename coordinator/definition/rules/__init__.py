"""The rules a definition must keep, one module for each family, one table of them all."""
