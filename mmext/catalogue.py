"""The one table of what mmext offers.

The registries import a module when its name is first asked for, so they need to know where each
name lives: here. ``mmext list``, the README's table and the model zoo are made from the same rows.
A test holds the table equal to the ``@register_module`` decorators found in the source.
"""
from __future__ import annotations

from dataclasses import dataclass

ALL_HOSTS = ('mmdet', 'mmseg', 'mmpretrain', 'mmrotate')


@dataclass(frozen=True)
class Entry:
    """One registered name.

    Attributes:
        name: The class name; configs say ``type='mmext.<name>'``.
        registry: Name of mmengine's root registry ('model', 'hook', 'transform', 'metric', ...).
        kind: Role in a config: 'backbone', 'neck', 'head', 'detector', 'segmentor', 'distiller',
            'layer', 'hook', 'dataset', 'transform', 'metric', ...
        module: Where the class is defined.
        hosts: Hosts whose configs can use it.
        requires: Hosts that must be installed for the module to import.
        summary: What it is, in a few words.
        method: The plug-in it belongs to: its folder under ``configs/`` and its converter's name.
            Empty for parts that are not a published method.
        paper: Title of the paper; url: where to read it; year: of publication.
        aliases: Other names under which the same class is registered.
    """

    name: str
    registry: str
    kind: str
    module: str
    hosts: tuple[str, ...]
    summary: str
    requires: tuple[str, ...] = ()
    method: str = ''
    paper: str = ''
    url: str = ''
    year: int = 0
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name the class answers to."""
        return (self.name, *self.aliases)

    @property
    def page(self) -> str:
        """The plug-in's page in the repository, or an empty string."""
        return f'configs/{self.method}/README.md' if self.method else ''


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name='EMOv2',
        aliases=('EMO2', ),
        registry='model',
        kind='backbone',
        module='mmext.models.backbones.emov2',
        hosts=ALL_HOSTS,
        summary='lightweight backbone, 1M to 50M parameters, spanning window attention',
        method='emov2',
        paper='EMOv2: Pushing 5M Vision Model Frontier',
        url='https://arxiv.org/abs/2412.06674',
        year=2024,
    ),
)


def find(name: str, registry: str | None = None) -> Entry | None:
    """The entry that answers to ``name`` (in ``registry``, if given), or None."""
    for entry in CATALOGUE:
        if name in entry.names and registry in (None, entry.registry):
            return entry
    return None


def methods() -> tuple[Entry, ...]:
    """One entry, the main one, for each published method."""
    first: dict[str, Entry] = {}
    for entry in CATALOGUE:
        if entry.method:
            first.setdefault(entry.method, entry)
    return tuple(first.values())
