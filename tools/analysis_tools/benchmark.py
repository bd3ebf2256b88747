"""Measure speed: of inference, or of the data pipeline, for any host, on CPU or GPU.

--task inference times the whole test step (normalising, network, decoding and NMS) on a picture of
noise that has been through the test pipeline; --task dataloader times how long training or testing
would wait for a batch.
"""
from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmext import hosts
from mmext.cli._common import add_config_arguments, run_command
from mmext.cli.config import load_config
from mmext.datasets import toy
from mmext.errors import UserError

if TYPE_CHECKING:
    from mmext.engine.analysis.speed import Timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('--task', choices=['inference', 'dataloader'], default='inference',
                        help='what to time (default: %(default)s)')
    parser.add_argument('--checkpoint', help='weights; the speed of a detector depends on how many '
                                             'boxes it finds (default: untrained)')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read a checkpoint even if that runs code from it')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')
    parser.add_argument('--shape', type=int, nargs='+', metavar='N',
                        help='height and width, or one number for both (default: what the test '
                             'pipeline makes of an 800 x 1280 picture)')
    parser.add_argument('--batch-size', type=int,
                        help="pictures per step (default: 1 for inference, the config's for "
                             'dataloader)')
    parser.add_argument('--amp', choices=['fp16', 'bf16'], help='run under autocast')
    parser.add_argument('--fuse-conv-bn', action='store_true',
                        help='fold batch norms into convolutions first')
    parser.add_argument('--phase', choices=['train', 'val', 'test'], default='train',
                        help='whose data loader (default: %(default)s)')
    parser.add_argument('--num-workers', type=int,
                        help="of the data loader (default: the config's)")
    parser.add_argument('--warmup', type=int, default=10,
                        help='steps before the clock starts (default: %(default)s)')
    parser.add_argument('--repetitions', type=int, default=100,
                        help='steps to time (default: %(default)s)')
    parser.add_argument('--max-seconds', type=float, default=60,
                        help='stop timing after this long (default: %(default)s)')
    parser.add_argument('--out', type=Path,
                        help='.json (replaced) or .csv (a row is added), with what it ran on')


def _time_inference(args: argparse.Namespace, cfg: Any) -> tuple[Timing, dict[str, Any]]:
    import torch
    from mmengine.registry import DefaultScope

    from mmext.apis.model import build_model, load_weights, pick_device, read_checkpoint
    from mmext.engine.analysis.dummy import dummy_batch
    from mmext.engine.analysis.speed import machine, measure
    device = pick_device(args.device)
    shape = (args.shape[0], args.shape[-1]) if args.shape else None
    batch_size = args.batch_size or 1
    model = build_model(cfg)
    if args.checkpoint:
        load_weights(model, read_checkpoint(args.checkpoint, args.trust_checkpoint)[0],
                     args.checkpoint)
    if args.fuse_conv_bn:
        from mmcv.cnn import fuse_conv_bn
        model = fuse_conv_bn(model)
    model.to(device)
    dtype = dict(fp16=torch.float16, bf16=torch.bfloat16).get(args.amp)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        batch = dummy_batch(cfg, shape, batch_size)
        seen = model.data_preprocessor(batch, False)['inputs'].shape

        def step() -> None:
            autocast = torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()
            with torch.inference_mode(), autocast:
                model.test_step(batch)

        timing = measure(step, items=batch_size, warmup=args.warmup, device=device,
                         repetitions=args.repetitions, max_seconds=args.max_seconds)
    settings = dict(height=seen[-2], width=seen[-1], batch_size=batch_size,
                    precision=args.amp or 'fp32', fused=args.fuse_conv_bn,
                    trained=bool(args.checkpoint))
    return timing, dict(**settings, **machine(device))


def _time_loading(args: argparse.Namespace, cfg: Any) -> tuple[Timing, dict[str, Any]]:
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner

    from mmext.engine.analysis.speed import endless, machine, measure
    loader_cfg = cfg.get(f'{args.phase}_dataloader')
    if not loader_cfg:
        raise UserError(f'the config has no {args.phase}_dataloader')
    problem = toy.missing(loader_cfg)
    if problem:
        raise UserError(problem)
    if args.batch_size:
        loader_cfg.batch_size = args.batch_size
    if args.num_workers is not None:
        loader_cfg.num_workers = args.num_workers
    if not loader_cfg.get('num_workers'):
        loader_cfg.pop('persistent_workers', None)  # needs workers
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        try:
            loader = Runner.build_dataloader(loader_cfg, seed=0)
        except (OSError, ImportError, ValueError) as error:
            raise UserError(f'cannot read the {args.phase} data: {error}') from error
        batches = endless(loader)
        timing = measure(lambda: next(batches), items=loader_cfg.batch_size, warmup=args.warmup,
                         repetitions=args.repetitions, max_seconds=args.max_seconds)
    return timing, dict(phase=args.phase, batch_size=loader_cfg.batch_size,
                        num_workers=loader_cfg.get('num_workers', 0), **machine('cpu'))


def _write(path: Path, record: dict[str, Any]) -> None:
    """Write the record: the whole of a .json, one more row of a .csv."""
    from mmext.apis.writers import replacing
    text = json.dumps(record, indent=2) + '\n'
    if path.suffix == '.csv':
        rows = list(csv.DictReader(path.open(encoding='utf-8'))) if path.exists() else []
        rows.append(record)
        columns = list(dict.fromkeys(column for row in rows for column in row))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, restval='', lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def _show(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    table = Table(title=f"{record['task']}: {record['config']}", show_header=False)
    table.add_column()
    table.add_column(justify='right', overflow='fold')
    for key, value in record.items():
        if key not in ('task', 'config'):
            table.add_row(key, str(value))
    Console().print(table)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write.

    Raises:
        UserError: If an argument is wrong, or there is no such device or data.
    """
    if args.shape and (len(args.shape) > 2 or min(args.shape) < 1):
        raise UserError(f'--shape {" ".join(map(str, args.shape))}: expected one or two positive '
                        'numbers, height and width')
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError(f'--batch-size {args.batch_size}: expected 1 or more')
    if args.out is not None and args.out.suffix not in ('.json', '.csv'):
        raise UserError(f"--out '{args.out}': expected a .json or .csv file")
    cfg = load_config(args.config, args.cfg_options)
    hosts.repair(args.trust_checkpoint)
    from mmext.apis.model import quiet_hosts
    time_it = _time_inference if args.task == 'inference' else _time_loading
    with quiet_hosts():
        timing, settings = time_it(args, cfg)
    now = datetime.now(timezone.utc).isoformat(timespec='seconds')
    record = dict(task=args.task, config=args.config, **timing.to_dict(), **settings, date=now)
    _show(record)
    if args.out is not None:
        _write(args.out, record)
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))
