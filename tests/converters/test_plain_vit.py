"""Official plain ViTs: an encoder written out over the official keys gives what the converted one gives."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmext import hosts
from mmext.cli.convert import main
from mmext.converters import ConversionReport, convert
from mmext.errors import UserError
from mmext.registry import MODELS

ARGS = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3)
PREFIX = dict(mae='', mocov3='base_encoder.', ibot='', dino='backbone.')
EXTRA = dict(mae=['mask_token', 'decoder_embed.weight'], ibot=['masked_embed', 'head.mlp.0.weight'],
             mocov3=['momentum_encoder.cls_token', 'predictor.0.weight', 'base_encoder.head.0.weight'],
             dino=['head.last_layer.weight_v'])


def official(dim: int = 24, depth: int = 2, tokens: int = 17, patch: int = 8) -> dict[str, Tensor]:
    """Seeded weights under timm's names."""
    generator = torch.Generator().manual_seed(0)
    shapes = {'cls_token': (1, 1, dim), 'pos_embed': (1, tokens, dim),
              'patch_embed.proj.weight': (dim, 3, patch, patch), 'patch_embed.proj.bias': (dim, ),
              'norm.weight': (dim, ), 'norm.bias': (dim, )}
    for index in range(depth):
        linear = {'attn.qkv': (3 * dim, dim), 'attn.proj': (dim, dim), 'mlp.fc1': (4 * dim, dim),
                  'mlp.fc2': (dim, 4 * dim)}
        for name, shape in linear.items():
            shapes |= {f'blocks.{index}.{name}.weight': shape, f'blocks.{index}.{name}.bias': shape[:1]}
        for name in ('norm1', 'norm2'):
            shapes |= {f'blocks.{index}.{name}.{part}': (dim, ) for part in ('weight', 'bias')}
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def encode(state: dict[str, Tensor], images: Tensor, heads: int = 3, patch: int = 8) -> Tensor:
    """The encoder, straight from the keys."""
    def layer(x: Tensor, name: str) -> Tensor:
        return x @ state[f'{name}.weight'].t() + state[f'{name}.bias']

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f'{name}.weight'], state[f'{name}.bias'], 1e-6)

    x = F.conv2d(images, state['patch_embed.proj.weight'], state['patch_embed.proj.bias'], stride=patch)
    x = torch.cat([state['cls_token'].expand(len(images), -1, -1), x.flatten(2).transpose(1, 2)], 1)
    x = x + state['pos_embed']
    for index in range(2):
        block = f'blocks.{index}.'
        q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in
                   layer(norm(x, f'{block}norm1'), f'{block}attn.qkv').chunk(3, dim=2))
        attention = (q @ k.transpose(2, 3) / q.shape[3]**0.5).softmax(3) @ v
        x = x + layer(attention.transpose(1, 2).flatten(2), f'{block}attn.proj')
        x = x + layer(F.gelu(layer(norm(x, f'{block}norm2'), f'{block}mlp.fc1')), f'{block}mlp.fc2')
    return norm(x, 'norm')


@pytest.mark.parametrize('target', ['classifier', 'backbone'])
@pytest.mark.parametrize('constructor', [
    'mae_vit_base_patch16', 'mocov3_vit_base', 'ibot_vit_base', 'dino_vit_base'])
def test_the_encoder_is_the_same(constructor: str, target: str) -> None:
    hosts.repair()
    family = constructor.split('_')[0]
    plain = official()
    state = {PREFIX[family] + key: value for key, value in plain.items()}
    state |= {key: torch.zeros(1) for key in EXTRA[family]}
    report = ConversionReport()
    cfg, converted = convert('plain_vit', ARGS, state, constructor, target, report)
    assert {key for key, _ in report.dropped} == set(EXTRA[family])
    model = MODELS.build(cfg)
    model.eval()
    model.load_state_dict(converted, strict=True)
    images = torch.randn(2, 3, 32, 32)
    found = model(images) if target == 'backbone' else model.extract_feat(images)
    torch.testing.assert_close(found[0], encode(plain, images), atol=1e-4, rtol=1e-4)


def test_published_sizes() -> None:
    hosts.repair()
    for name, millions, heads in [('mocov3_vit_small', 21.7, 12), ('ibot_vit_small', 21.7, 6),
                                  ('mae_vit_base_patch16', 85.8, 12)]:
        cfg, _ = convert('plain_vit', {}, {}, name, 'backbone')
        with torch.device('meta'):
            model = MODELS.build(cfg)
        assert sum(one.numel() for one in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
        assert model.arch_settings['num_heads'] == heads


def test_the_command_refuses_other_files(tmp_path: Path, capsys) -> None:
    path = tmp_path / 'moco.pth'
    torch.save({f'base_encoder.{key}': value for key, value in official().items()}, path)
    assert main(['plain_vit', str(path), str(tmp_path / 'out.pth'), '--constructor', 'mocov3_vit_base']) == 2
    assert 'is not of mocov3_vit_base with these arguments' in capsys.readouterr().err
    with pytest.raises(UserError, match='keys are not of mae_vit_base_patch16: base_encoder'):
        convert('plain_vit', ARGS, torch.load(path, weights_only=True), 'mae_vit_base_patch16')
