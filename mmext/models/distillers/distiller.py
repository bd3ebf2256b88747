"""One distiller for the models of all hosts: records, connectors and losses by config."""
from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS, TASK_UTILS

from .frozen_network import TeacherOwner, network_cfg
from .pairing import Pairing, scaled
from .recorder import Record, Recorder
from .teacher import CALLS, Teacher

Records = dict[str, Any]


@MODELS.register_module()
class Distiller(TeacherOwner, BaseModel):
    """A student that learns from its task and from records of teachers; it predicts alone.

    The state dict has the student (``student.*``), the connectors and trained losses, never a teacher.
    Teachers run first, without gradient and in eval mode; then the student; then the losses, after which
    nothing of the records is kept.

    Args:
        student: Config of any host's model, or the path of a config file.
        teachers: Name to ``dict(model=<config or path>, checkpoint=..., strict=True, call='tensor',
            dtype=None, early_stop=True, mode='eval', random=False, own_preprocessor=False, cache=None)``, see
            :class:`Teacher`.
        records: Name to ``dict(net='student' or a teacher, module='path or glob')``, see :class:`Record`.
        losses: Name (with 'loss' in it) to ``dict(loss=dict(type=...), pred='record or
            connector', target='record', weight=1.0, schedule=None, resize=...)``, see :class:`Pairing` and
            :class:`WeightSchedule`.
        connectors: Name to ``dict(input='record', layer=dict(type=...))``.
        task_loss: Weight of the student's own losses; None runs it without (pre-training).
        student_call: How the student runs where its own losses are not asked for.
        router: Config of a task util ``f(inputs, data_samples) -> LongTensor (B,)``: which teacher, by
            position, each image goes to. None: all teachers see all images. A loss counts by the share of
            the images that its teacher sees, unless the router says ``group_mean``.
        resize: 'none', 'teacher_to_student' or 'student_to_teacher': bilinear, for maps of other sizes.
        task_branch: The branch of multi-branch data on which the student's own losses are computed.
        data_preprocessor: For the student, where its config has none.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: On an unknown name, path or key, before any training.

    Example:
        >>> model = dict(
        ...     type='mmext.Distiller', student=student,
        ...     teachers=dict(big=dict(model='big.py', checkpoint='big.pth')),
        ...     records=dict(s=dict(net='student', module='head.fc'), t=dict(net='big', module='head.fc')),
        ...     losses=dict(loss_kd=dict(loss=dict(type='mmext.KLDistillLoss', tau=4.0), pred='s',
        ...                              target='t')))
    """

    def __init__(self, student: Any, teachers: Mapping[str, dict], records: Mapping[str, dict],
                 losses: Mapping[str, dict], connectors: Mapping[str, dict] | None = None,
                 task_loss: float | None = 1.0, student_call: str = 'extract_feat',
                 router: dict | None = None, resize: str = 'teacher_to_student',
                 task_branch: str | None = None, data_preprocessor: dict | None = None,
                 init_cfg: Any = None) -> None:
        cfg = network_cfg(student if isinstance(student, str) else copy.deepcopy(student))
        if data_preprocessor is not None and isinstance(cfg, dict):
            cfg.setdefault('data_preprocessor', data_preprocessor)
        if 'student' in teachers:
            raise UserError("a teacher cannot be called 'student'")
        if student_call not in CALLS:
            raise UserError(f"student_call='{student_call}'{did_you_mean(student_call, CALLS)} "
                            f'(choose from {", ".join(CALLS)})')
        network: Any = MODELS.build(ConfigDict(cfg))
        if not isinstance(network, BaseModel):
            raise UserError(f'student: {type(network).__name__} has no losses of its own; give a whole model '
                            '(classifier, detector, segmentor)')
        super().__init__(data_preprocessor=network.data_preprocessor, init_cfg=init_cfg)
        self.student = network
        self.networks: dict[str, Any] = {name: Teacher.from_cfg(name, one) for name, one in teachers.items()}
        for teacher in self.networks.values():
            teacher.gets(network.data_preprocessor)
        self.task_loss, self.student_call, self.task_branch = task_loss, student_call, task_branch
        self.router = TASK_UTILS.build(router) if router else None
        self.distilling = True
        self._add_records(records)
        self.connectors = nn.ModuleDict()
        self.connected: dict[str, str] = {}
        for name, one in (connectors or {}).items():
            self._add_connector(name, dict(one))
        self.losses = nn.ModuleDict()
        self.pairings: dict[str, Pairing] = {}
        for name, one in losses.items():
            self._add_loss(name, one, resize)

    def _add_records(self, records: Mapping[str, dict]) -> None:
        """Set what is recorded, in place of what was."""
        parsed = [Record.from_cfg(name, one) for name, one in records.items()]
        nets = ('student', *self.networks)
        for record in parsed:
            if record.net not in nets:
                raise UserError(f"record '{record.name}': no net '{record.net}'"
                                f'{did_you_mean(record.net, nets)} (choose from {", ".join(nets)})')
        self.records = {record.name: record for record in parsed}
        self._recorder = Recorder(self.student, [one for one in parsed if one.net == 'student'])
        for name, teacher in self.networks.items():
            teacher.watch([one for one in parsed if one.net == name])

    def _add_loss(self, name: str, cfg: Mapping[str, Any], resize: str) -> None:
        pairing = Pairing.from_cfg(name, cfg, self.records, self.connected, resize)
        self.pairings[name] = pairing
        self.losses[name] = MODELS.build(ConfigDict(pairing.loss))

    def _add_connector(self, name: str, cfg: dict) -> None:
        if set(cfg) != {'input', 'layer'}:
            raise UserError(f"connector '{name}' is dict(input='RECORD', layer=dict(type=...)); it has "
                            f'{", ".join(sorted(cfg)) or "nothing"}')
        source = cfg['input']
        known = [record for record, one in self.records.items() if one.net == 'student']
        if source not in known:
            raise UserError(f"connector '{name}': input='{source}' is no record of the student"
                            f'{did_you_mean(str(source), known)}')
        if name in self.records:
            raise UserError(f"connector '{name}' has the name of a record")
        self.connected[name] = source
        self.connectors[name] = MODELS.build(ConfigDict(cfg['layer']))

    # ------------------------------------------------------------------------------------- running

    def __getattr__(self, name: str) -> Any:
        """What tools ask a model for (``dataset_meta``, ``backbone``, ...) is the student's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            student = self.__dict__.get('_modules', {}).get('student')
            if student is None or name.startswith('_'):
                raise
            return getattr(student, name)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor', **kwargs: Any) -> Any:
        """As every mmengine model; only 'loss' sees the teachers.

        Args:
            inputs: Preprocessed images ``(B, 3, H, W)``, or a dict of branches.
            data_samples: Their data samples.
            mode: 'loss', 'predict' or 'tensor'.
            kwargs: For the student, in the other modes.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode=mode, **kwargs)

    def loss(self, inputs: Any, data_samples: Any = None) -> dict[str, Any]:
        """The student's own losses and the distillation losses, by their names in the config.

        Raises:
            UserError: If shapes do not fit, a loss has no gradient or a name is taken; it names the record.
        """
        weights = {name: one.weight() if self.distilling else 0. for name, one in self.pairings.items()}
        active = any(weights.values())
        routes = self._routes(inputs, data_samples) if active else None
        taught: Records = {}
        reduced: set[str] = set()
        for position, (name, teacher) in enumerate(self.networks.items()):
            if not any(weights[loss] and self.records[one.target].net == name
                       for loss, one in self.pairings.items()):
                continue
            chosen = None if routes is None else routes == position
            for branch in self._branches(name):
                part, samples = _branch(inputs, data_samples, branch, self.task_branch)
                if chosen is not None:
                    if not chosen.any():
                        continue
                    part = part[chosen.to(part.device)]
                    samples = [one for one, keep in zip(samples, chosen.tolist()) if keep]
                reducers = self._reducers(name, len(part))
                reduced.update(reducers)
                taught.update(teacher.run(part, samples, branch, reducers))
        # Recorded even while nothing is learnt from it: every trained part is to have a gradient.
        losses, learnt = self._run_student(inputs, data_samples)
        result = {name: scaled(value, self.task_loss) if 'loss' in name else value
                  for name, value in losses.items()}
        learnt.update({name: self._connect(name, learnt) for name in self.connected})
        shared: Records = {}
        for name, pairing in self.pairings.items():
            if name in result:
                raise UserError(f"loss '{name}' has the name of one of the student's own losses")
            part, samples = _branch(inputs, data_samples, self._student_branch(pairing), self.task_branch)
            result[name] = self._one_loss(name, pairing, weights[name], learnt, taught, routes, dict(
                inputs=part, data_samples=samples, losses=losses, shared=shared,
                reduced=pairing.target in reduced))
        return result

    def _routes(self, inputs: Any, data_samples: Any) -> Tensor | None:
        if self.router is None:
            return None
        if isinstance(inputs, Mapping):
            raise UserError('router= needs data without branches')
        return self.router(inputs, data_samples)

    def _student_branch(self, pairing: Pairing) -> str | None:
        return self.records[self.connected.get(pairing.pred, pairing.pred)].branch

    def _connect(self, name: str, learnt: Records) -> Any:
        try:
            return self.connectors[name](learnt[self.connected[name]])
        except (RuntimeError, ValueError) as error:
            raise UserError(f"connector '{name}': record '{self.connected[name]}' does not fit it ({error})"
                            ) from None

    def _branches(self, net: str) -> list[str | None]:
        return list(dict.fromkeys(one.branch for one in self.records.values() if one.net == net))

    def _run_student(self, inputs: Any, data_samples: Any) -> tuple[dict, Records]:
        losses: dict[str, Any] = {}
        learnt: Records = {}
        branches = self._branches('student')
        task = self.task_branch if isinstance(inputs, Mapping) and self.task_branch in branches else None
        for branch in dict.fromkeys([*branches, *([task] if self.task_loss is not None else [])]):
            part, samples = _branch(inputs, data_samples, branch, self.task_branch)
            own = self.task_loss is not None and branch == task
            with self._recorder.recording(self.student, branch) as records:
                found = self._call_student('loss' if own else self.student_call, part, samples)
            learnt.update(records)
            if own:
                losses = found
        return losses, learnt

    def _call_student(self, call: str, inputs: Any, data_samples: Any) -> Any:
        if call == 'extract_feat':
            return self.student.extract_feat(inputs)
        return self.student(inputs, data_samples, mode=call)

    def _one_loss(self, name: str, pairing: Pairing, weight: float, learnt: Records, taught: Records,
                  routes: Tensor | None, context: dict) -> Tensor:
        if not weight or pairing.target not in taught:
            return self._zero(name, learnt[pairing.pred])
        share = 1.
        pred, target = learnt[pairing.pred], taught[pairing.target]
        if routes is not None:
            chosen = routes == list(self.networks).index(self.records[pairing.target].net)
            if not getattr(self.router, 'group_mean', False):
                share = float(chosen.float().mean())
            pred = [one[chosen.to(one.device)] for one in pred] if isinstance(pred, list) else \
                pred[chosen.to(pred.device)]
            images = context['inputs']
            context = dict(context, inputs=images[chosen.to(images.device)], data_samples=[
                one for one, keep in zip(context['data_samples'], chosen.tolist()) if keep])
        return pairing(self.losses[name], pred, target, context) * (weight * share)

    def _reducers(self, net: str, batch: int) -> dict[str, Any]:
        """Of a teacher's records that only one loss sees: what that loss needs of them, if it says."""
        if self.networks[net].cache is not None:
            return {}
        seen = [one.target for one in self.pairings.values()]
        found = {}
        for name, pairing in self.pairings.items():
            loss: Any = self.losses[name]
            own = self.records[pairing.target].net == net and seen.count(pairing.target) == 1
            if own and hasattr(loss, 'reducer'):
                found[pairing.target] = loss.reducer(batch)
        return found

    def _zero(self, name: str, pred: Any) -> Tensor:
        """Nothing, with a gradient to every trained part: the keys stay, and DDP misses no parameter."""
        parts = [*(pred if isinstance(pred, list) else [pred]), *self.losses[name].parameters()]
        return torch.stack([one.flatten()[:0].sum().float() for one in parts]).sum()

    # ------------------------------------------------------------------------------------ the rest

    def export_student(self) -> dict[str, Tensor]:
        """State dict of the plain student."""
        return self.student.state_dict()


def _branch(inputs: Any, data_samples: Any, branch: str | None, task: str | None) -> tuple[Any, Any]:
    if not isinstance(inputs, Mapping):
        if branch is not None:
            raise UserError(f"a record asks for branch '{branch}', but the data have no branches")
        return inputs, data_samples
    name = branch or task
    if name not in inputs:
        raise UserError(f"the data have no branch '{name}'{did_you_mean(str(name), inputs)} (they have "
                        f'{", ".join(inputs)}): give task_branch=, and branch= in the records')
    return inputs[name], data_samples[name]
