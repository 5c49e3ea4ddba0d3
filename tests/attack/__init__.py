"""Attacks on a ledger by each role, by objectives, by files and by neighbours, while a real study runs."""
