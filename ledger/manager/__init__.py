"""Managers of studies: they propose trials, wait for their ends, and tell the optimizer."""
