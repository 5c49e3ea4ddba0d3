"""Distributed Bayesian hyper-parameter search whose whole state is a PostgreSQL database."""

__version__ = "0.1.0"
