"""The errors of a connection to a server."""


class CutError(Exception):
    """Reports that the connection, or what came over it, ended too early: worth another try. Never reaches people."""


class SourceCutError(CutError):
    """Reports a cut connection from which bytes to be sent are read. The text says which, and reaches people."""
