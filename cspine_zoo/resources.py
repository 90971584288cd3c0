"""Where the package's own files are, installed as a wheel or run from a checkout."""

from pathlib import Path
from typing import Final

from cspine_zoo.errors import ManifestError

_PACKAGE: Final = Path(__file__).resolve().parent


def _package_first(name: str) -> Path:
    packaged = _PACKAGE / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


def manifest_path() -> Path:
    """``weights_manifest.json``, the list of every checkpoint.

    Raises:
        ManifestError: the installation lacks it.
    """
    path = _package_first("weights_manifest.json")
    if not path.is_file():
        raise ManifestError(
            "no_manifest",
            "The installation is incomplete: it has no weights manifest.",
            file=str(path),
            hint="Install the package again.",
        )
    return path


def weights_dir() -> Path:
    """The directory of bundled checkpoints; it need not exist."""
    return _PACKAGE / "weights"


def demo_dir() -> Path:
    """The Streamlit app: in the wheel inside the package, in a checkout beside it."""
    return _package_first("demo")


def samples_dir() -> Path:
    """The sample studies that the demo offers; it need not exist."""
    return _package_first("samples")
