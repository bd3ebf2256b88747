"""One record for each evaluation, and its form as JSON."""
from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import UserError

#: Phases a record can be of.
PHASES = ('test', 'val')


@dataclass(frozen=True)
class Picture:
    """A picture of one image with its truth and predictions.

    Attributes:
        name: File name of the image.
        score: How well it was done, from 0 to 1; see :mod:`mmext.leaderboard.quality`.
        best: One of the best images, else one of the worst.
        jpeg: The picture, a JPEG file.
    """

    name: str
    score: float
    best: bool
    jpeg: bytes


@dataclass(frozen=True)
class Submission:
    """What was handed to an evaluation server, and what it said.

    Attributes:
        server: A key of :data:`mmext.leaderboard.submit.SERVERS`.
        date: When it was written, UTC, ISO 8601.
        archive: Path of the file that was written, or empty.
        digest: SHA-256 of that file, or empty.
        answer_name: File name of the server's answer, or empty.
        answer: The server's answer as it came, byte by byte.
    """

    server: str
    date: str
    archive: str = ''
    digest: str = ''
    answer_name: str = ''
    answer: bytes = b''


@dataclass(frozen=True)
class Record:
    """One evaluation.

    Attributes:
        run: Name of the run. Not unique: every evaluation is a record of its own.
        dataset: 'COCO', 'ADE20K', ...; see :func:`mmext.leaderboard.figures.dataset_name`.
        metrics: As the evaluator returned them; None where it was not a number.
        phase: 'test', or 'val': a validation during training.
        config: Path of the config file.
        config_text: The resolved config.
        checkpoint: Path or address of the weights; empty for untrained ones.
        checkpoint_digest: SHA-256 of that file in hexadecimal; empty if there is no file.
        published: For each published figure of this config: ``task``, ``metric``, ``value``,
            ``tolerance``, ``source``, ``model``.
        per_class: A row for each class: ``class`` and its figures.
        epoch, iteration: Of the training when validated; None in a test.
        images: Number of images evaluated.
        seconds: Of the evaluation.
        parameters: Of the model.
        flops: Multiply-adds for one image of ``input_size`` ('HEIGHT x WIDTH').
        latency_ms: Median time for one image, of the model with its pre- and postprocessing.
        memory_mb: Largest memory, of the GPU if one is used, else of the process.
        environment: Versions and machine.
        work_dir: Where the run's files are.
        date: UTC, ISO 8601.
        uid: Identity of the record in all stores.
        id: Number in its store; None before it is stored.
        pictures, submissions: See there.
    """

    run: str
    dataset: str
    metrics: Mapping[str, float | None]
    phase: str = 'test'
    config: str = ''
    config_text: str = ''
    checkpoint: str = ''
    checkpoint_digest: str = ''
    published: tuple[Mapping[str, Any], ...] = ()
    per_class: tuple[Mapping[str, Any], ...] = ()
    epoch: int | None = None
    iteration: int | None = None
    images: int | None = None
    seconds: float | None = None
    parameters: int | None = None
    flops: int | None = None
    input_size: str = ''
    latency_ms: float | None = None
    memory_mb: float | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    work_dir: str = ''
    date: str = field(default_factory=lambda: now())
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)
    id: int | None = None
    pictures: tuple[Picture, ...] = ()
    submissions: tuple[Submission, ...] = ()

    @property
    def config_digest(self) -> str:
        """SHA-256 of ``config_text``."""
        return hashlib.sha256(self.config_text.encode()).hexdigest()

    @property
    def key(self) -> str:
        """What names this record alone: 'RUN#ID'."""
        return self.run if self.id is None else f'{self.run}#{self.id}'


def now() -> str:
    """The time in UTC, to the second, as records have it."""
    return datetime.now(timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """``value`` as JSON has it: arrays and tensors become lists, what is not finite None."""
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# ------------------------------------------------------------------------------------------ JSON

_TYPES: dict[str, tuple[type, ...]] = dict(
    run=(str, ), dataset=(str, ), metrics=(dict, ), phase=(str, ), config=(str, ), config_text=(str, ),
    checkpoint=(str, ), checkpoint_digest=(str, ), published=(list, ), per_class=(list, ),
    epoch=(int, ), iteration=(int, ), images=(int, ), seconds=(int, float), parameters=(int, ),
    flops=(int, ), input_size=(str, ), latency_ms=(int, float), memory_mb=(int, float),
    environment=(dict, ), work_dir=(str, ), date=(str, ), uid=(str, ), pictures=(list, ),
    submissions=(list, ))
_REQUIRED = ('run', 'dataset', 'metrics', 'uid', 'date')
_MAY_BE_NONE = ('epoch', 'iteration', 'images', 'seconds', 'parameters', 'flops', 'latency_ms',
                'memory_mb')


def to_dict(record: Record) -> dict[str, Any]:
    """A record as JSON has it; files are in base64. Without ``id``, which is of one store only."""
    content = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name != 'id'}
    content['pictures'] = [dict(dataclasses.asdict(one), jpeg=base64.b64encode(one.jpeg).decode())
                           for one in record.pictures]
    content['submissions'] = [dict(dataclasses.asdict(one), answer=base64.b64encode(one.answer).decode())
                              for one in record.submissions]
    return plain(content)


def from_dict(content: Any, where: str) -> Record:
    """The record that :func:`to_dict` made.

    Args:
        content: The parsed JSON.
        where: File and place, for the errors.

    Raises:
        UserError: If a value is missing, unknown or of the wrong type.
    """
    if not isinstance(content, dict):
        raise UserError(f'{where}: expected a record (a JSON object), not {type(content).__name__}')
    for key in _REQUIRED:
        if key not in content:
            raise UserError(f"{where}: '{key}' is missing")
    for key, value in content.items():
        if key not in _TYPES:
            raise UserError(f"{where}: a record has no '{key}'")
        if value is None and key in _MAY_BE_NONE:
            continue
        if not isinstance(value, _TYPES[key]) or isinstance(value, bool):
            raise UserError(f"{where}: '{key}' must be {_TYPES[key][0].__name__}, not {value!r:.60}")
    if content.get('phase', 'test') not in PHASES:
        raise UserError(f"{where}: 'phase' must be test or val, not '{content['phase']}'")
    for name, value in content['metrics'].items():
        if not isinstance(value, int | float | None) or isinstance(value, bool):
            raise UserError(f"{where}: metric '{name}' must be a number, not {value!r:.60}")
    made = dict(content)
    for key in ('published', 'per_class'):
        rows = content.get(key, [])
        if not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{where}: '{key}' must be a list of objects")
        made[key] = tuple(rows)
    try:
        made['pictures'] = tuple(Picture(**dict(one, jpeg=base64.b64decode(one['jpeg'])))
                                 for one in content.get('pictures', ()))
        made['submissions'] = tuple(Submission(**dict(one, answer=base64.b64decode(one['answer'])))
                                    for one in content.get('submissions', ()))
    except (TypeError, KeyError, binascii.Error) as error:
        raise UserError(f'{where}: a picture or submission is not as exported ({error})') from None
    return Record(**made)
