"""A model zoo for cervical spine fractures on CT: from a study to probabilities per vertebra.

>>> import cspine_zoo as cz
>>> cz.LEVELS
('C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7')

Names are imported when they are first used, so that ``import cspine_zoo`` stays quick and torch
is loaded only by those who run a network.

For research and education only; not a medical device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
    from cspine_zoo.ct.geometry import Geometry
    from cspine_zoo.ct.read import inspect_study, read_ct
    from cspine_zoo.ct.volume import CTVolume
    from cspine_zoo.errors import (
        CSpineZooError,
        DownloadError,
        ManifestError,
        StudyRejected,
        UsageError,
        WeightsError,
    )
    from cspine_zoo.evaluation.stored import StoredEvaluation, stored_evaluation
    from cspine_zoo.export.html import to_html
    from cspine_zoo.export.nifti import write_nifti
    from cspine_zoo.inference.compare import compare
    from cspine_zoo.inference.grad_cam import grad_cam
    from cspine_zoo.inference.predict import predict
    from cspine_zoo.inference.segment import segment
    from cspine_zoo.results import Comparison, SensitivityMap, StudyPrediction
    from cspine_zoo.samples import SampleStudy, sample_studies
    from cspine_zoo.zoo.catalog import list_models
    from cspine_zoo.zoo.load import load_model
    from cspine_zoo.zoo.locate import find_entry
    from cspine_zoo.zoo.manifest import ManifestEntry
    from cspine_zoo.zoo.verify import download
    from cspine_zoo.zoo.watch import Watch

__version__ = "0.1.0"

__all__ = [
    "LEVELS",
    "PATIENT_OVERALL",
    "CSpineZooError",
    "CTVolume",
    "Comparison",
    "DownloadError",
    "Geometry",
    "ManifestEntry",
    "ManifestError",
    "SampleStudy",
    "SensitivityMap",
    "StoredEvaluation",
    "StudyPrediction",
    "StudyRejected",
    "UsageError",
    "Watch",
    "WeightsError",
    "__version__",
    "compare",
    "download",
    "find_entry",
    "grad_cam",
    "inspect_study",
    "list_models",
    "load_model",
    "predict",
    "read_ct",
    "sample_studies",
    "segment",
    "stored_evaluation",
    "to_html",
    "write_nifti",
]

_HOME = {
    "LEVELS": "anatomy",
    "PATIENT_OVERALL": "anatomy",
    "CSpineZooError": "errors",
    "CTVolume": "ct.volume",
    "Comparison": "results",
    "DownloadError": "errors",
    "Geometry": "ct.geometry",
    "ManifestEntry": "zoo.manifest",
    "ManifestError": "errors",
    "SampleStudy": "samples",
    "SensitivityMap": "results",
    "StoredEvaluation": "evaluation.stored",
    "StudyPrediction": "results",
    "StudyRejected": "errors",
    "UsageError": "errors",
    "Watch": "zoo.watch",
    "WeightsError": "errors",
    "compare": "inference.compare",
    "download": "zoo.verify",
    "find_entry": "zoo.locate",
    "grad_cam": "inference.grad_cam",
    "inspect_study": "ct.read",
    "list_models": "zoo.catalog",
    "load_model": "zoo.load",
    "predict": "inference.predict",
    "read_ct": "ct.read",
    "sample_studies": "samples",
    "segment": "inference.segment",
    "stored_evaluation": "evaluation.stored",
    "to_html": "export.html",
    "write_nifti": "export.nifti",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
