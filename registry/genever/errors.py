"""Errors that a user can meet."""

__all__ = ["UserError"]


class UserError(Exception):
    """The user's input is wrong. Its message says what was found, what is allowed and what to do; the exit code is 2."""
