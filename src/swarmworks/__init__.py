"""Swarmworks runs swarms of coding agents in production."""

__version__ = "0.1.0"
