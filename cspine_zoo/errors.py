"""Every error that leaves the package: what happened, to which file, and the next step."""

from collections.abc import Sequence


class CSpineZooError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: stable identifier; tests and callers branch on it, never on prose.
        reason: what is wrong, in one sentence.
        file: the file or name concerned, as the caller gave it; empty if there is none.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(self, code: str, reason: str, *, file: str = "", hint: str = "") -> None:
        self.code = code
        self.reason = reason
        self.file = file
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.file}: " if self.file else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"[{self.code}] {place}{self.reason}{hint}"

    def to_dict(self) -> dict[str, dict[str, str]]:
        """The object that ``--json`` prints for a refusal."""
        return {
            "error": {
                "code": self.code,
                "file": self.file,
                "reason": self.reason,
                "hint": self.hint,
            }
        }


class UsageError(CSpineZooError):
    """The request itself is wrong: an unknown name, a contradictory option."""

    exit_code = 2


class StudyRejected(CSpineZooError):
    """The study that was given cannot be read rightly, and why."""

    exit_code = 3


class WeightsError(CSpineZooError):
    """A checkpoint is missing, damaged, or does not belong to its architecture."""

    exit_code = 4


class ManifestError(WeightsError):
    """A row of the weights manifest is not what the schema asks for."""


class DownloadError(WeightsError):
    """No source delivered the file; ``attempts`` says what happened at each."""

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        file: str = "",
        hint: str = "",
        attempts: Sequence[str] = (),
    ) -> None:
        self.attempts = tuple(attempts)
        tried = "".join(f"\n  - {attempt}" for attempt in self.attempts)
        super().__init__(code, reason + tried, file=file, hint=hint)


class TrainingStopped(CSpineZooError):
    """Training cannot go on: diverged, or its data is unusable."""
