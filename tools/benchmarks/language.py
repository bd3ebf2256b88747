"""A training step of LMSeg and CGG beside one of the host's models of the same size.

    python tools/benchmarks/language.py --out docs/benchmarks/language.md     # some minutes of one core
    python tools/benchmarks/language.py --size 256 --only cgg                 # a quick look

Full-size models, random weights, random pictures with a few objects. Every model runs in a process of
its own: one step to warm up, in which floating-point operations are counted, then ``--rounds`` timed
ones, of which the best counts (processor time on the CPU). First it is asserted that what is saved
changes nothing: prompts encoded with their common beginning once against one by one, and captions cut at
the longest against whole ones.
"""
from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch.utils.flop_counter import FlopCounterMode

import mmext
from mmext.registry import MODELS

ROOT = Path(__file__).parents[2]
#: Model -> (config, scope, what it is compared with).
CASES: dict[str, tuple[Any, str, str | None]] = {
    'maskformer': ('mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py', 'mmseg', None),
    'mask2former-seg': ('mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py', 'mmseg', None),
    'lmseg': (ROOT / 'configs/lmseg/lmseg_clip-r50_8xb2-160k_4-semantic-sets.py', 'mmseg', 'mask2former-seg'),
    'mask2former-det': ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', 'mmdet', None),
    'cgg': (ROOT / 'configs/cgg/cgg_r50_8xb2-12e_coco-b48n17.py', 'mmdet', 'mask2former-det'),
}
WORDS = 12  # of a caption of COCO, with its ends 14


def build(name: str) -> Any:
    """The full-size model with random weights."""
    path, scope, _ = CASES[name]
    with DefaultScope.overwrite_default_scope(scope):
        cfg = (Config.fromfile(path) if isinstance(path, Path) else _host_config(path)).model
        for part in ('backbone', 'text_encoder'):
            if part in cfg:
                cfg[part].init_cfg = None
        cfg.pop('pretrained', None)
        _plain_norms(cfg)
        if name == 'cgg':
            cfg.panoptic_head.language = None
            cfg.backbone.frozen_stages = -1  # as the model beside it, for a fair comparison
        torch.manual_seed(0)
        model = MODELS.build(cfg)
    if name == 'cgg':
        head = model.panoptic_head
        head.word_embeddings.normal_(std=0.8)
        head.class_embeddings.normal_(std=0.8)
    return model.train()


def _host_config(path: str) -> Config:
    from mmengine.hub import get_config
    return get_config(path)


def _plain_norms(node: Any) -> None:
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        for value in node.values():
            _plain_norms(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _plain_norms(value)


def samples(scope: str, size: int, batch: int) -> list[Any]:
    """Six objects on each picture."""
    generator = np.random.default_rng(0)
    meta = dict(img_shape=(size, size), ori_shape=(size, size), batch_input_shape=(size, size),
                pad_shape=(size, size), scale_factor=(1., 1.), taxonomy='ade20k',
                caption_ids=[101, *range(1000, 1000 + WORDS), 102], noun_ids=[2000, 2001, 2002])
    found = []
    for _ in range(batch):
        masks = np.zeros((6, size, size), dtype=np.uint8)
        for mask in masks:
            x, y = generator.integers(0, size // 2, 2)
            mask[y:y + size // 3, x:x + size // 3] = 1
        if scope == 'mmseg':
            seg = np.zeros((1, size, size), dtype=np.int64)
            for number, mask in enumerate(masks):
                seg[0, mask > 0] = number + 1
            found.append(SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=torch.from_numpy(seg))))
            continue
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(labels=torch.arange(6), masks=BitmapMasks(masks, size, size))
        found.append(sample)
    return found


def measure(name: str, size: int, batch: int, rounds: int) -> dict[str, float]:
    """Seconds, TFLOP and MiB of a training step, and million parameters that are trained."""
    model = build(name)
    images, data = torch.randn(batch, 3, size, size), samples(CASES[name][1], size, batch)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step() -> float:
        start = time.process_time()
        losses = model.loss(images, data)
        total = sum(value.sum() for value in losses.values())
        total.backward()
        for parameter in trained:
            parameter.grad = None
        return time.process_time() - start

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FlopCounterMode(display=False) as counter:
        step()
    seconds = min(step() for _ in range(rounds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return dict(seconds=seconds, tflop=counter.get_total_flops() / 1e12, mib=peak / 1024,
                parameters=sum(parameter.numel() for parameter in trained) / 1e6)


def check() -> None:
    """What is saved changes nothing."""
    from mmext.models.layers.caption_transformer import CaptionTransformer
    from mmext.models.segmentors.lmseg import CLIPTextContextEncoder
    torch.manual_seed(0)
    encoder = CLIPTextContextEncoder(64, width=64, heads=4, layers=3).eval()
    prompts = [f'a photo of {name}' for name in ('cat', 'swivel chair', 'chest of drawers')]
    together, alone = encoder.embed(prompts), torch.cat([encoder.embed([one]) for one in prompts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    decoder = CaptionTransformer(50, embed_dims=32, num_heads=4, dropout=0.)
    ids, mask = torch.zeros(2, 35, dtype=torch.long), torch.zeros(2, 35, dtype=torch.bool)
    ids[:, :9], mask[:, :9] = torch.randint(1, 50, (2, 9)), True
    words, memory = torch.randn(2, 35, 32), torch.randn(1, 2, 7, 32)
    states = decoder(words[:, :-1], mask[:, :-1], memory[0])
    whole = torch.nn.functional.cross_entropy(
        decoder.generator(states).flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0, reduction='sum') / 68
    torch.testing.assert_close(decoder.loss(words, ids, mask, memory)[0], whole, rtol=1e-5, atol=1e-5)


def table(rows: dict[str, dict[str, float]], size: int, batch: int) -> str:
    """The page."""
    lines = ['# Models with language', '',
             'A training step (losses and gradients) of the full-size models, random weights, beside the '
             "model of the host. Made by `python tools/benchmarks/language.py`; ratios: same run.", '',
             f'{torch.get_num_threads()} thread; torch {torch.__version__}, mmext {mmext.__version__}, '
             f'{batch} pictures of {size} x {size}; processor time', '',
             '| model | trained parameters | TFLOP | seconds | peak MiB | beside | TFLOP ratio | time ratio '
             '| memory ratio |', '|---|--:|--:|--:|--:|---|--:|--:|--:|']
    for name, row in rows.items():
        other = CASES[name][2]
        ratios = ['', '', '', ''] if other not in rows else [
            other, *(f'{row[key] / rows[other][key]:.2f}' for key in ('tflop', 'seconds', 'mib'))]
        lines.append(f'| {name} | {row["parameters"]:.1f} M | {row["tflop"]:.3f} | {row["seconds"]:.1f} | '
                     f'{row["mib"]:.0f} | {" | ".join(ratios)} |')
    return '\n'.join(lines) + '\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--size', type=int, default=512, help='of the pictures')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=2, help='timed steps, of which the best counts')
    parser.add_argument('--only', choices=list(CASES), help='this model and what it is compared with')
    parser.add_argument('--one', choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument('--out', type=Path, help='write the page here')
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.size, args.batch, args.rounds)))
        return 0
    check()
    rows = {}
    for name in CASES if args.only is None else (*filter(None, [CASES[args.only][2]]), args.only):
        command = [sys.executable, __file__, '--one', name, '--size', str(args.size), '--batch',
                   str(args.batch), '--rounds', str(args.rounds)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows[name] = json.loads(output.splitlines()[-1])
        print(name, rows[name], flush=True)
    page = table(rows, args.size, args.batch)
    print(page)
    if args.out:
        args.out.write_text(page)
    return 0


if __name__ == '__main__':
    sys.exit(main())
