"""What the guards of a training cost: a step with them against the host's own step.

    python tools/benchmarks/guards.py                       # RetinaNet R-50 and the demo's model, CPU
    python tools/benchmarks/guards.py --device cuda --out docs/benchmarks/guards_gpu.md

Asserts first that the guarded step gives the same weights. Times are of the hooks themselves,
summed over a step, beside the step's own (processor time on a CPU, one thread; wall time on a GPU).
"""
from __future__ import annotations

import argparse
import copy
import platform
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.optim import OptimWrapper

import mmext  # noqa: F401
from mmext.apis.writers import replacing
from mmext.engine.draws import seed_step
from mmext.engine.hooks.nonfinite_hook import NonFiniteHook

HEADING = """# Guards of a training

Made by `python tools/benchmarks/guards.py`: what `mmext.NonFiniteHook` and the seeding of
`mmext.ExactResumeHook` take in each step."""
MODELS = {
    'RetinaNet R-50, 2 x 320 px': ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 320),
    "the demo's ATSS, 8 x 128 px": ('configs/emov2/atss_emov2_fpn_toy.py', 128),
}


def clock(device: str) -> float:
    if device == 'cuda':
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def build(config: str, size: int, device: str) -> tuple[Any, dict]:
    from mmdet.registry import MODELS as REGISTRY
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.structures import InstanceData

    from mmext.cli.config import load_config
    register_all_modules()
    cfg = load_config(config)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = REGISTRY.build(cfg.model).to(device).train()
    samples = []
    for _ in range(2 if size > 200 else 8):
        sample = DetDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size), img_path='a.jpg',
                                             scale_factor=(1., 1.)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[10., 10., 90., 90.]]),
                                           labels=torch.tensor([1]))
        samples.append(sample)
    return model, dict(inputs=[torch.randint(0, 255, (3, size, size), dtype=torch.uint8) for _ in samples],
                       data_samples=samples)


def measure(model: Any, data: dict, device: str, steps: int) -> tuple[float, float]:
    """Seconds of a step and of the guards in it: the least of several steps."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    runner: Any = SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0, rank=0)
    hook, spent = NonFiniteHook(), [0.]
    look = hook._before_step

    def timed(*args: Any) -> None:
        start = clock(device)
        look(*args)
        spent[0] += clock(device) - start

    hook._before_step = timed  # type: ignore
    hook.before_train(runner)
    best: list[tuple[float, float]] = []
    for step in range(steps):
        spent[0], start = 0., clock(device)
        seed_step(0, 0, step)
        hook.before_train_iter(runner, step, data)
        spent[0] += clock(device) - start
        outputs = model.train_step(copy.deepcopy(data), wrapper)
        after = clock(device)
        hook.after_train_iter(runner, step, data, outputs)
        end = clock(device)
        best.append((end - start, spent[0] + end - after))
    hook.after_train(runner)
    return min(whole for whole, _ in best[1:]), min(guards for _, guards in best[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--steps', type=int, default=6)
    parser.add_argument('--out', type=Path, help='also write the table here')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (config, size) in MODELS.items():
        model, data = build(config, size, args.device)
        plain = copy.deepcopy(model)
        seed_step(0, 0, 0)
        plain.train_step(copy.deepcopy(data), OptimWrapper(torch.optim.SGD(plain.parameters(), lr=1e-4)))
        fresh = copy.deepcopy(model)
        wrapper = OptimWrapper(torch.optim.SGD(fresh.parameters(), lr=1e-4))
        hook = NonFiniteHook()
        hook.before_train(SimpleNamespace(model=fresh, optim_wrapper=wrapper, iter=0, rank=0))
        seed_step(0, 0, 0)
        fresh.train_step(copy.deepcopy(data), wrapper)
        for one, other in zip(plain.parameters(), fresh.parameters()):
            assert torch.equal(one, other), f'{name}: the guarded step gives other weights'
        whole, guards = measure(model, data, args.device, args.steps)
        rows.append(f'| {name} | {whole * 1e3:.0f} ms | {guards * 1e3:.2f} ms | {guards / whole:.2%} |')
        print(rows[-1], flush=True)
    machine = f'{platform.machine()} CPU, one thread' if args.device == 'cpu' else \
        torch.cuda.get_device_name()
    table = '\n'.join([HEADING, '', f'{machine}, torch {torch.__version__}.', '',
                       '| model | step | guards | share |', '|---|--:|--:|--:|', *rows, ''])
    if args.out:
        with replacing(args.out) as path:
            path.write_text(table)


if __name__ == '__main__':
    main()
