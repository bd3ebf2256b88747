"""What the classes of a data set are called."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import UserError, did_you_mean

_KEYS = ('classes', 'prompt', 'background', 'things', 'synonym')
_SYNONYMS = ('first', 'whole')


@dataclass(frozen=True)
class Taxonomy:
    """The label space of one or several data sets.

    Attributes:
        name: As samples and configs call it.
        prompts: K + 1 sentences: one of each class, in the order of the label ids, then that of
            everything else.
        classes: K names, as they were given.
        template: The sentence around a name, with ``{}`` in its place.
        things: Ids of the classes whose instances are told apart (panoptic segmentation).
        background: The name of everything else.
    """

    name: str
    prompts: tuple[str, ...]
    classes: tuple[str, ...]
    template: str = '{}'
    things: frozenset[int] = frozenset()
    background: str = 'background'

    @property
    def num_classes(self) -> int:
        """K, without the background."""
        return len(self.prompts) - 1


def read_taxonomy(name: str, config: Any) -> Taxonomy:
    """A taxonomy from a config.

    Args:
        name: Of the taxonomy.
        config: Class names, or ``dict(classes=..., prompt=..., background=..., things=..., synonym=...)``.
            Of a name with commas the first synonym is used, or with ``synonym='whole'`` all of it.
            ``prompt`` is the sentence around a name, with ``{}`` in its place; ``background`` the name of
            everything else; ``things`` names or ids.

    Raises:
        UserError: If there are no classes, two classes have the same prompt, or a key, thing or prompt
            is not valid; the message names the taxonomy.
    """
    where = f"taxonomy '{name}'"
    if not isinstance(config, Mapping):
        config = dict(classes=config)
    for key in config:
        if key not in _KEYS:
            raise UserError(f"{where} has the unknown key '{key}'{did_you_mean(key, _KEYS)} "
                            f'Known: {", ".join(_KEYS)}')
    classes = config.get('classes')
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise UserError(f'{where}: classes={classes!r}; expected a list of one or more names')
    template = config.get('prompt', '{}')
    if '{}' not in template:
        raise UserError(f"{where}: prompt={template!r} needs '{{}}' where the name goes")
    synonym = config.get('synonym', 'first')
    if synonym not in _SYNONYMS:
        raise UserError(f'{where}: synonym={synonym!r}; expected {" or ".join(map(repr, _SYNONYMS))}')

    def used(name: str) -> str:
        return (name.split(',')[0] if synonym == 'first' else name).strip()

    names = [*classes, config.get('background', 'background')]
    first: dict[str, int] = {}
    for index, one in enumerate(names):
        word = used(one) if isinstance(one, str) else ''
        if not word:
            raise UserError(f'{where}: class {index} is {one!r}; expected a name')
        before = first.setdefault(word.lower(), index)
        if before != index:
            raise UserError(f"{where}: classes {before} and {index} are both called '{word}': text cannot "
                            'tell them apart; give one of them another name')
    prompts = tuple(template.replace('{}', used(one)) for one in names)
    return Taxonomy(name, prompts, tuple(classes), template,
                    _things(where, config.get('things', ()), list(classes)), names[-1])


def _things(where: str, things: Sequence[int | str], classes: list[str]) -> frozenset[int]:
    found = set()
    for thing in things:
        if isinstance(thing, str):
            if thing not in classes:
                raise UserError(f"{where}: the thing '{thing}' is no class{did_you_mean(thing, classes)}")
            thing = classes.index(thing)
        if not 0 <= thing < len(classes):
            raise UserError(f'{where}: thing {thing}; expected 0 to {len(classes) - 1}')
        found.add(thing)
    return frozenset(found)


def of_samples(metas: Sequence[Mapping[str, Any]], known: Mapping[str, Taxonomy],
               default: str | None) -> list[Taxonomy]:
    """The taxonomy of each sample, by its meta keys ``taxonomy`` or else ``dataset_name``.

    Args:
        metas: Meta information of the samples.
        known: Taxonomies by name.
        default: That of samples without a name.

    Raises:
        UserError: If a sample's taxonomy is not known, or it has none and there is no default.
    """
    found = []
    for meta in metas:
        name = meta.get('taxonomy') or meta.get('dataset_name') or default
        if name is None:
            raise UserError('LMSeg: a sample has no taxonomy; use mmext.MultiDataset, or set '
                            f'default_taxonomy to one of {", ".join(known)}')
        if name not in known:
            raise UserError(f"LMSeg has no taxonomy '{name}'{did_you_mean(name, known)} It has "
                            f'{", ".join(known)}; a new one needs only names: taxonomies=dict({name}=[...])')
        found.append(known[name])
    return found
