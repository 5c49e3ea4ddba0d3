"""Imports of finished trials from other programs, and imports of whole studies from other ledgers."""
