"""A model zoo for cervical spine fractures on CT."""

__version__ = "0.1.0"
