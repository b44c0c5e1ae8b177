"""The errors of a connection to a server."""


class CutError(Exception):
    """Reports that the connection, or what came over it, ended too early: worth another try. Never reaches people."""
