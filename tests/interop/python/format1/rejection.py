"""The errors of a verification."""


class Rejected(Exception):
    def __init__(self, stage, reason):
        super().__init__(f"{stage}: {reason}")
        self.stage, self.reason = stage, reason


class UnfitRecord(Exception):
    """A fault of the server's data, which says nothing about the token."""
