"""Which of a list of nouns a caption has: whole words, singular or plural, longest first."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_IRREGULAR = {
    'people': 'person', 'men': 'man', 'women': 'woman', 'children': 'child', 'mice': 'mouse',
    'geese': 'goose', 'feet': 'foot', 'teeth': 'tooth', 'oxen': 'ox', 'sheep': 'sheep',
    'knives': 'knife', 'wives': 'wife',
    'leaves': 'leaf', 'loaves': 'loaf', 'halves': 'half', 'scarves': 'scarf', 'shelves': 'shelf',
    'calves': 'calf', 'wolves': 'wolf', 'lives': 'life'}
#: Other words for the classes of COCO, as people write them.
COCO_SYNONYMS = {
    'man': 'person', 'woman': 'person', 'boy': 'person', 'girl': 'person', 'child': 'person', 'kid': 'person',
    'player': 'person', 'motorbike': 'motorcycle', 'motor bike': 'motorcycle', 'bike': 'bicycle',
    'plane': 'airplane', 'aeroplane': 'airplane', 'sofa': 'couch', 'television': 'tv', 'tvmonitor': 'tv',
    'fridge': 'refrigerator', 'phone': 'cell phone', 'cellphone': 'cell phone', 'puppy': 'dog',
    'kitten': 'cat', 'kitty': 'cat', 'doughnut': 'donut', 'stoplight': 'traffic light',
    'hydrant': 'fire hydrant', 'purse': 'handbag', 'luggage': 'suitcase',
    'racket': 'tennis racket', 'ship': 'boat',
    'hotdog': 'hot dog', 'necktie': 'tie', 'cattle': 'cow', 'bull': 'cow', 'lamb': 'sheep', 'mug': 'cup'}


def singular(word: str) -> str:
    """The word without its English plural."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith('ies') and len(word) > 4:
        return f'{word[:-3]}y'
    if re.search('(?:s|x|z|ch|sh)es$', word) and len(word) > 4:
        return word[:-2]
    if word.endswith('s') and not word.endswith(('ss', 'us', 'is')) and len(word) > 3:
        return word[:-1]
    return word


def plurals(word: str) -> list[str]:
    """English plurals that the word may have."""
    return [plural for plural, one in _IRREGULAR.items() if one == word] + [f'{word}s', f'{word}es'] + (
        [f'{word[:-1]}ies'] if word.endswith('y') else [])


class NounFinder:
    """Finds nouns of a list in sentences.

    Args:
        nouns: What to look for; '_' counts as a blank.
        synonyms: Other words that mean one of them.

    Example:
        >>> NounFinder(['person', 'hot dog', 'bus'], {'man': 'person'})('Two men eat hot dogs.')
        ['person', 'hot dog']
    """

    def __init__(self, nouns: Iterable[str], synonyms: Mapping[str, str] = COCO_SYNONYMS) -> None:
        nouns = list(nouns)
        self._known: dict[tuple[str, ...], str] = {}
        forms = [(_words(noun), noun) for noun in nouns]
        forms += [([singular(word) for word in words], noun) for words, noun in forms]
        forms += [(_words(word), noun) for word, noun in synonyms.items() if noun in nouns]
        for form, noun in forms:
            self._known.setdefault(tuple(form), noun)
        for form, noun in forms:  # of what is sought: 'horses' alone could be of a 'hors'
            for last in plurals(form[-1]) if form else ():
                self._known.setdefault((*form[:-1], last), noun)
        self._longest = max(map(len, self._known), default=0)

    def __call__(self, caption: str) -> list[str]:
        """The nouns of a caption in their order, each once; overlapping ones by the longest."""
        words = _words(caption)
        base = [singular(word) for word in words]
        found: dict[str, None] = {}
        start = 0
        while start < len(words):
            for length in range(min(self._longest, len(words) - start), 0, -1):
                noun = self._match(words, base, start, start + length)
                if noun is not None:
                    found[noun] = None
                    start += length - 1
                    break
            start += 1
        return list(found)

    def _match(self, words: Sequence[str], base: Sequence[str], start: int, end: int) -> str | None:
        for form in (words[start:end], base[start:end]):
            if tuple(form) in self._known:
                return self._known[tuple(form)]
        return None


def _words(text: str) -> list[str]:
    return re.findall(r'[^\W_]+', text.lower())
