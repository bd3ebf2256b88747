"""Names: found lazily from any scope, and answered helpfully when they are wrong."""
from __future__ import annotations

import pytest
from mmengine.registry import MODELS as ROOT

from mmext import catalogue, registry
from mmext.registry import HOOKS, MODELS


@pytest.mark.parametrize(('name', 'message'), [
    ('mmext.EMOv3', r"mmext has no model called 'EMOv3'; did you mean EMOv2"),
    ('mmext.emov2', r'did you mean EMOv2'),
    ('mmext.Nonsense', r"mmext has no model called 'Nonsense' \(all names: mmext list\)"),
])
def test_unknown_names_are_answered(name: str, message: str) -> None:
    with pytest.raises(KeyError, match=message) as caught:
        ROOT.get(name)
    assert not str(caught.value).startswith('"')


def test_a_name_of_another_registry_is_located() -> None:
    with pytest.raises(KeyError, match=r'mmext.EMOv2 is a model \(backbone\)'):
        HOOKS.get('mmext.EMOv2')


def test_a_hosts_name_is_located() -> None:
    import mmdet.models  # noqa: F401
    with pytest.raises(KeyError, match=r"that is mmdet's: write type='mmdet.RetinaHead'"):
        ROOT.get('mmext.RetinaHead')


def test_membership_does_not_raise() -> None:
    assert 'EMOv2' in MODELS
    assert 'Nonsense' not in MODELS


def test_ancestors_and_dotted_paths_resolve() -> None:
    import torch.nn as nn
    assert MODELS.get('Conv2d') is nn.Conv2d
    assert ROOT.get('mmext.models.backbones.emov2.EMOv2') is MODELS.get('EMOv2')


def test_a_missing_host_breaks_only_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    needy = catalogue.Entry(
        name='Needy', registry='model', kind='neck', module='mmext.nowhere', hosts=('mmrotate', ),
        requires=('mmrotate', ), summary='needs a host')
    monkeypatch.setattr(catalogue, 'CATALOGUE', (*catalogue.CATALOGUE, needy))
    find_spec = registry.importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, 'find_spec',
                        lambda name, *rest: None if name == 'mmrotate' else find_spec(name, *rest))
    with pytest.raises(ImportError, match=r'mmext.Needy needs mmrotate.*"onedl-mmrotate>='):
        MODELS.get('Needy')
    assert MODELS.get('EMOv2').__name__ == 'EMOv2'
