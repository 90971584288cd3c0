"""UIDs that follow from names alone, so that the same seed writes the same study."""

from __future__ import annotations

import re
import uuid
from typing import Final

from cspine_zoo.errors import UsageError

# Any fixed value serves: UUIDs of version 5 are a hash of this namespace and the name.
_NAMESPACE: Final = uuid.UUID("0d6c5f0e-7f0b-5c55-9d1a-6a3a4c5b1e21")

_FOLDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def deterministic_uid(*parts: str | int) -> str:
    """A DICOM UID made of a hash of ``parts``: the same parts, the same UID.

    >>> deterministic_uid("study", 7) == deterministic_uid("study", 7)
    True
    >>> deterministic_uid("study", 7) == deterministic_uid("study", 8)
    False

    References:
        DICOM PS3.5 B.2: a UUID as a decimal number under the root 2.25.
    """
    name = "\x1f".join(str(part) for part in parts)
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def require_folder_name(uid: str) -> str:
    """``uid`` itself, if it can name a folder and a file.

    Raises:
        UsageError: it holds a path separator, is hidden, empty or too long.
    """
    if not _FOLDER_NAME.fullmatch(uid):
        raise UsageError(
            "study_uid",
            "a study's UID names its folder: letters, digits, '.', '_' and '-' only.",
            file=uid[:128],
        )
    return uid
