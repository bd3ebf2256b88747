"""Which arguments a constructor takes."""
from __future__ import annotations

import functools

import pytest

from mmext.engine.config_check.signatures import gives_meaning_to, known_arguments, mentions


class Base:

    def __init__(self, a, b=1):
        pass


class Passes(Base):

    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Pops(Base):

    def __init__(self, **kwargs):
        self.d = kwargs.pop('d', 3)
        self.e = kwargs['e']
        self.f = 'f' in kwargs
        super().__init__(**kwargs)


class Reassigns(Base):

    def __init__(self, **kwargs):
        kwargs = {'b': 2, **kwargs}
        super().__init__(**kwargs)


class Swallows(Base):

    def __init__(self, c, **kwargs):
        super().__init__(c)


class Stores(Base):

    def __init__(self, **kwargs):
        self.rest = kwargs
        super().__init__(**kwargs)


class HandsOn(Base):

    def __init__(self, **kwargs):
        super().__init__(**dict(kwargs))


class Middle(Base):

    def __init__(self, m):
        super().__init__(m)


class SkipsTheMiddle(Middle):

    def __init__(self, **kwargs):
        Base.__init__(self, **kwargs)


class Mixin:

    def __init__(self, x, **kwargs):
        super().__init__(**kwargs)


class Both(Mixin, Base):
    pass


class Empty:
    pass


class Open(Base):

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


def _old_names(function):
    names = {'old': 'new'}

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **{names.get(key, key): value for key, value in kwargs.items()})

    return wrapper


class Renamed:

    @_old_names
    def __init__(self, new):
        pass


@pytest.mark.parametrize('cls, expected', [
    (Base, 'a b'), (Passes, 'a b c'), (Pops, 'a b d e f'), (Reassigns, 'a b'),
    (Swallows, None), (Stores, None), (HandsOn, None), (SkipsTheMiddle, 'a b m'),
    (Both, 'a b x'), (Empty, ''), (Open, 'a b'), (Renamed, 'new old'),
    (tuple, None), (functools.partial, None)])
def test_constructors(cls, expected):
    known = known_arguments(cls)
    assert known == (None if expected is None else frozenset(expected.split()))


def test_functions():
    assert known_arguments(_old_names) == {'function'}
    assert known_arguments(lambda a, *, b=1: None) == {'a', 'b'}
    assert known_arguments(lambda a, **rest: None) is None


def test_a_name_is_mentioned_where_it_is_quoted():
    assert mentions(Pops, 'e')
    assert not mentions(Pops, 'never' + ' quoted')


class Defaults:

    def __init__(self, loss=None, mode='exact'):
        self.loss = loss or dict(type='SomeLoss')
        self.exact = mode == 'exact'


def test_a_default_gives_no_meaning_to_a_type():
    assert gives_meaning_to(Defaults, 'exact')
    assert mentions(Defaults, 'Some' + 'Loss')
    assert not gives_meaning_to(Defaults, 'Some' + 'Loss')
