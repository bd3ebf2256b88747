"""What the doctor found: findings, each with a few examples, and a report per dataset."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

#: Examples kept per finding; what is drawn and listed as JSON. The text shows the first three.
MAX_EXAMPLES = 20
_SHOWN = 3


@dataclass(frozen=True)
class Example:
    """One place where a finding holds.

    Attributes:
        text: The place in words, for example ``'0012.jpg, annotation 31'``.
        image: Path of the image to draw, or None.
        polygons: What is wrong in it, each as corners ``(x1, y1, x2, y2, ...)`` in pixels.
    """

    text: str
    image: str | None = None
    polygons: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one dataset.

    Attributes:
        kind: Short name, stable between versions (``'box-outside'``).
        message: What is wrong and what comes of it, in one sentence.
        severity: 'error' (training would fail or learn nonsense) or 'warning'.
        count: How often.
        suggestion: What to do about it; may be empty.
        examples: Up to :data:`MAX_EXAMPLES` places.
    """

    kind: str
    message: str
    severity: str = 'error'
    count: int = 1
    suggestion: str = ''
    examples: tuple[Example, ...] = ()

    def __str__(self) -> str:
        places = '; '.join(example.text for example in self.examples[:_SHOWN])
        text = self.message + (f' ({places}{", ..." if self.count > _SHOWN else ""})' if places else '')
        return f'{text}, {self.suggestion}' if self.suggestion else text

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Finding:
        """The inverse of ``dataclasses.asdict`` after a way through JSON."""
        examples = tuple(
            Example(one['text'], one['image'], tuple(tuple(p) for p in one['polygons']))
            for one in raw['examples'])
        return Finding(**{**raw, 'examples': examples})


@dataclass
class DatasetReport:
    """All that was found in one dataset.

    Attributes:
        path: Its place in the config (``'train_dataloader.dataset'``).
        name: Its class.
        summary: What was looked at: label -> number (``{'images': 5000, 'boxes': 36781}``).
        findings: Errors first, frequent ones before rare ones.
        images: Paths of the images it names.
        cached: Whether all of this came from the cache.
        note: Why nothing was looked at; empty otherwise.
    """

    path: str
    name: str
    summary: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    cached: bool = False
    note: str = ''

    @property
    def errors(self) -> list[Finding]:
        """The findings that must stop a training."""
        return [finding for finding in self.findings if finding.severity == 'error']

    def add(self, findings: Iterable[Finding]) -> None:
        """Add ``findings``, worst first, each kind and message once."""
        unique = {(one.kind, one.message): one for one in [*self.findings, *findings]}
        self.findings = sorted(unique.values(), key=lambda one: (one.severity != 'error', -one.count))

    def headline(self) -> str:
        """One line: place, class, what was looked at."""
        counted = ', '.join(f'{number:,} {label}' for label, number in self.summary.items())
        return f'{self.path} ({self.name}): {self.note or counted or "nothing there"}'

    def lines(self) -> list[str]:
        """Every finding as ``severity: place: sentence``."""
        return [f'{one.severity}: {self.path}: {one}' for one in self.findings]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the list of images, for ``--json``."""
        return dict(path=self.path, name=self.name, summary=self.summary, cached=self.cached, note=self.note,
                    findings=[asdict(one) for one in self.findings])


def counted(number: int, what: str, of: int | None = None) -> str:
    """``'1 box'``, ``'3 of 20 boxes'``; ``what`` may hold its plural: ``'box|boxes'``."""
    one, _, many = what.partition('|')
    plural = many or f'{one}s'
    if of is None:
        return f'{number} {one if number == 1 else plural}'
    return f'{number} of {of} {one if of == 1 else plural}'


def quoted(names: Sequence[Any], most: int = 5) -> str:
    """The first names in quotes, and how many more there are."""
    shown = ', '.join(repr(name) for name in names[:most])
    return shown + (f' and {len(names) - most} more' if len(names) > most else '')
