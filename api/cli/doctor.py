"""footnote doctor"""

import io
import os
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.models import Model, current_model, models_folder
from api.profiles import Profile, naming
from api.refusal import refusal_threshold
from api.settings import ANSWER_MODEL, Settings, load_settings
from api.wiring import open_catalog, open_services, workers_folder
from catalog.errors import ConfigurationError, FootnoteError
from generation.backends.openai import OpenAIGenerator
from ingest.parsers import OcrOptions
from ingest.parsers.ocr import OcrUnavailable, open_tesseract
from ingest.worker import living
from retrieval.embedders.calibration import LENGTHS, Calibration, ensure_calibrated
from retrieval.embedders.conversion import ensure_converted

# Below this much free disk the check fails.
_LOW_DISK_BYTES = 2 * 1024**3


@app.command()
def doctor(
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure anew which number format embeds fastest here.")
    ] = False,
) -> None:
    """Check that this machine and these settings can run Footnote, and say what they give."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    table = Table("Check", "State", "Detail", box=None, pad_edge=False)
    failed = False
    for name, check_one in _CHECKS.items():
        try:
            state, detail = "ok", check_one(settings)
        except (FootnoteError, OSError) as error:
            state, detail, failed = "failed", str(error), True
        table.add_row(name, Text(state, "green" if state == "ok" else "red"), Text(detail))
    console.print(table)
    in_use = _model(settings).settings
    if in_use.embedding_backend == "openvino":
        failed = not _show_calibration(in_use, anew=calibrate) or failed
    if failed:
        raise typer.Exit(1)


def _python(_settings: Settings) -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"


def _home(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.home) as probe:
        probe.write(b"written")
    free = shutil.disk_usage(settings.home).free
    if free < _LOW_DISK_BYTES:
        raise OSError(f"{settings.home} has only {free / 1e9:.1f} GB free")
    return f"{settings.home}, {free / 1e9:.0f} GB free"


def _catalog(settings: Settings) -> str:
    with open_catalog(settings) as catalog:
        url = catalog.database.url.render_as_string(hide_password=True)
        return f"{url}, schema revision {catalog.database.revision()}"


def _blobs(settings: Settings) -> str:
    with open_catalog(settings) as catalog:
        # Bytes that no file has: if this process dies now, they are swept like any blob that nobody needs.
        blob = catalog.blobs.stage(io.BytesIO(secrets.token_bytes(32)), max_bytes=32)
        catalog.blobs.store(blob)
        catalog.blobs.delete(blob.sha256)
        return f"{settings.resolved_blob_url}, writable"


def _model(settings: Settings) -> Model:
    """Return the model in use; while the catalog cannot say, that of the settings, so that each part has its check."""
    try:
        with open_catalog(settings) as catalog:
            return current_model(settings, catalog.database)
    except (FootnoteError, OSError):
        return Model(settings=settings)


def _embedder(settings: Settings) -> str:
    model = _model(settings)
    embedder = model.open()
    # 64 texts of about 120 tokens, as chunks are.
    texts = [f"{i} " + "the compressor of a cold store runs warm when its condenser is dirty " * 9 for i in range(64)]
    embedder.embed_documents(texts[:4])
    started = time.perf_counter()
    embedder.embed_documents(texts)
    rate = len(texts) / (time.perf_counter() - started)
    precision = getattr(embedder, "precision", "")
    embedder.close()
    kind = f"{model.settings.embedding_backend} {precision}".strip()
    return f"{embedder.identity.key} on {kind}, {rate:.0f} texts/s of 120 tokens"


def _index(settings: Settings) -> str:
    started = time.perf_counter()
    with open_services(settings) as services:
        count = services.replica.index.count()
        return f"{settings.index}, {count} chunks, open in {time.perf_counter() - started:.1f} s"


def _generator(settings: Settings) -> str:
    """Each profile with its generator; servers of language models are asked whether they serve the model."""
    with open_services(settings) as services:
        return "; ".join(_profile(profile) for profile in services.profiles.values())


def _profile(profile: Profile) -> str:
    generator = profile.generator
    try:
        found = generator.check() if isinstance(generator, OpenAIGenerator) else []
    except FootnoteError as error:
        raise ConfigurationError(f"profile {profile.name}: {error.message}") from error
    if description := getattr(generator, "description", None):
        found = [description]
    return ", ".join((f"{profile.name} answers with {profile.settings.generator}", *found))


def _refusal(settings: Settings) -> str:
    """Below which evidence each profile that quotes refuses, and why."""
    embedding = _model(settings).known_identity()
    return "; ".join(_refuses(settings, name, embedding) for name in (ANSWER_MODEL, *settings.profiles))


def _refuses(settings: Settings, name: str, embedding: str) -> str:
    own = settings.of_profile(name) if name in settings.profiles else settings
    if own.generator != "extractive":
        return f"{name} refuses where its language model does"
    with naming(name):
        threshold = refusal_threshold(own, embedding=embedding)
    return f"{name} refuses below {threshold.evidence:.2f} ({threshold.reason})"


def _ocr(settings: Settings) -> str:
    try:
        tesseract = open_tesseract(OcrOptions(languages=settings.ocr_languages))
    except OcrUnavailable as missing:
        return f"{missing}: scans are stated as unread"
    absent = f"; no data for {', '.join(tesseract.missing_languages)}" if tesseract.missing_languages else ""
    return f"{tesseract.executable}, reads {', '.join(tesseract.languages)}{absent}"


def _workers(settings: Settings) -> str:
    """None is no fault: the service may not run, or its workers run on other machines."""
    return f"{len(living(workers_folder(settings)))} running on this machine"


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "python": _python,
    "home": _home,
    "catalog": _catalog,
    "blobs": _blobs,
    "embedding": _embedder,
    "index": _index,
    "generator": _generator,
    "refusal": _refusal,
    "ocr": _ocr,
    "workers": _workers,
}


def _show_calibration(settings: Settings, *, anew: bool) -> bool:
    """Print what each number format gives on this machine; return whether that could be told."""
    try:
        folder = ensure_converted(settings.embedding_model, models_folder(settings))
        calibration = ensure_calibrated(folder, anew=anew)
    except FootnoteError as error:
        console.print(Text(f"\n{error.message}", "red"))
        return False
    console.print(f"\n{settings.embedding_model} on {calibration.machine}")
    console.print(_calibration_table(settings, calibration))
    return True


def _calibration_table(settings: Settings, calibration: Calibration) -> Table:
    rates = [f"texts/s, {length} tokens" for length in LENGTHS]
    table = Table(
        "Format", *rates, "Query ms", "Mean cosine to f32", "Least", "Embeds with it", box=None, pad_edge=False
    )
    used = calibration.chosen if settings.embedding_precision == "auto" else settings.embedding_precision
    reason = "measured" if settings.embedding_precision == "auto" else "embedding_precision"
    for trial in calibration.trials:
        figures = (f"{rate:.0f}" for rate in trial.texts_per_s)
        cosines = (f"{trial.mean_cosine:.5f}", f"{trial.min_cosine:.5f}")
        mark = f"yes ({reason})" if trial.precision == used else "" if trial.agrees else "only when set"
        table.add_row(trial.precision, *figures, f"{trial.query_ms:.1f}", *cosines, mark)
    return table
