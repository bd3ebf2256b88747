"""DMT: the common Distiller, set up for several self-supervised teachers."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS

from ..distiller import Distiller
from ..pairing import Pairing
from .fusion import TeacherFusion
from .tokens import normalised, read_tokens

_EPS = 1e-6  # of the layer norm without parameters


@MODELS.register_module()
class DMT(Distiller):
    """A student learns the tokens of several teachers' last blocks, by default without labels.

    Its state dict has the student (an ordinary host's model), the projectors and the fusion.
    Each teacher k has a projector; the loss is the sum over the teachers of its share times
    ``loss_k_token + relation_weight * loss_k_relation``.

    Args:
        student: Config of any classifier of mmpretrain. A ViT's tokens are taken after its final norm.
            With ``mmpretrain.MAEViT`` as the backbone the student sees a random part of the patches,
            ``1 - mask_ratio``, and only these are compared.
        teachers: Name to ``dict(model=..., checkpoint=..., weight=1.0, tokens=PATH, channels=None,
            extra_tokens=None)`` and the other keys of a Distiller's teacher. ``tokens`` is the module whose
            output is learnt, by default the last block of ``backbone.layers``; ``channels`` and
            ``extra_tokens`` are for backbones that do not tell theirs.
        fusion: 'sum', 'uncertainty' or 'agreement', see :class:`TeacherFusion`.
        projector: 'linear' or 'mlp'.
        token_loss: Settings of :class:`mmext.TokenFeatureLoss`.
        relation_weight: Weight of :class:`mmext.TokenRelationLoss`; 0 leaves it out.
        student_tokens: Module of the student that gives its tokens; found for the ViTs of mmpretrain.
        student_channels: Width of the student's tokens, for backbones that do not tell theirs.
        task_loss: Weight of the student's own losses; None: it learns from the teachers alone.
        **kwargs: As for :class:`mmext.Distiller`.

    Raises:
        UserError: On a wrong name or value, before any training.

    Example:
        >>> model = dict(type='mmext.DMT', student=student, fusion='agreement', teachers=dict(
        ...     mae=dict(model=vit, checkpoint='mae.pth'), moco=dict(model=vit, checkpoint='moco.pth'),
        ...     ibot=dict(model=vit, checkpoint='ibot.pth')))
    """

    def __init__(self, student: Any, teachers: Mapping[str, dict], fusion: str = 'sum',
                 projector: str = 'linear', token_loss: dict[str, Any] | None = None,
                 relation_weight: float = 0.0, student_tokens: str | None = None,
                 student_channels: int | None = None, task_loss: float | None = None, **kwargs: Any) -> None:
        if not teachers:
            raise UserError('DMT: teachers is empty; give one or more')
        if relation_weight < 0:
            raise UserError(f'DMT: relation_weight={relation_weight} must not be negative')
        if fusion == 'agreement' and kwargs.get('router'):
            raise UserError("DMT: fusion='agreement' compares what all teachers say about an image; with "
                            "router= each image has one: take fusion='sum' or 'uncertainty'")
        plain, own = {}, {}
        for name, one in teachers.items():
            rest = {'call': 'extract_feat', **one}
            own[name] = {key: rest.pop(key, value) for key, value in
                         dict(weight=1., tokens=None, channels=None, extra_tokens=None).items()}
            plain[name] = rest
            if own[name]['weight'] < 0:
                raise UserError(f"DMT: teacher '{name}' has weight={own[name]['weight']}; it must not be "
                                'negative')
        super().__init__(student, plain, records={}, losses={}, task_loss=task_loss, **kwargs)
        self.fusion = TeacherFusion(fusion, len(plain))
        backbone = getattr(self.student, 'backbone', None)
        records = dict(student=dict(net='student', module=student_tokens or _student_tokens(backbone)))
        for name, network in self.networks.items():
            path = own[name]['tokens'] or _last_block(name, getattr(network.module, 'backbone', None))
            records[name] = dict(net=name, module=path)
        self._add_records(records)
        width = _width('the student', backbone, student_channels, 'student_channels=')
        ours = _extra(backbone, None)
        self._extra: dict[str, int] = {}
        for name, network in self.networks.items():
            backbone, settings = getattr(network.module, 'backbone', None), own[name]
            theirs = self._extra[name] = _extra(backbone, settings['extra_tokens'])
            channels = _width(f"teacher '{name}'", backbone, settings['channels'], 'channels=')
            self._add_connector(f'to_{name}', dict(input='student', layer=dict(
                type='mmext.TokenProjector', in_channels=width, out_channels=channels, kind=projector)))
            extras = dict(student_extra=ours, teacher_extra=theirs, eps=_EPS)
            weight = self.fusion.share * settings['weight']
            self._add_loss(f'loss_{name}_token', dict(
                loss=dict(dict(type='mmext.TokenFeatureLoss', **extras), **(token_loss or {})),
                pred=f'to_{name}', target=name, weight=weight), 'none')
            if relation_weight:
                self._add_loss(f'loss_{name}_relation', dict(
                    loss=dict(type='mmext.TokenRelationLoss', **extras), pred='student', target=name,
                    weight=weight * relation_weight), 'none')
        self._student_extra = ours
        self._weights = [own[name]['weight'] for name in self.networks]

    def loss(self, inputs: Any, data_samples: Any = None) -> dict[str, Any]:
        """See :meth:`Distiller.loss`; 'uncertainty' adds the term that keeps its variances small."""
        result = super().loss(inputs, data_samples)
        if self.fusion.log_variance is not None:
            variances = self.fusion.log_variance
            weights = variances.new_tensor(self._weights) * (self.fusion.share * self.distilling)
            result['loss_uncertainty'] = (variances * weights).sum()
        return result

    def _one_loss(self, name: str, pairing: Pairing, weight: float, learnt: dict[str, Any],
                  taught: dict[str, Any], routes: Tensor | None, context: dict) -> Tensor:
        teacher = pairing.target
        if self.fusion.kind == 'agreement' and teacher in taught:
            shared = context['shared']  # of all losses of a step
            if 'agreement' not in shared:
                shared['agreement'] = self._agreement(learnt, taught, context)
            context = dict(context, token_weights=shared['agreement'][teacher])
        value = super()._one_loss(name, pairing, weight, learnt, taught, routes, context)
        if self.fusion.log_variance is not None and weight and teacher in taught:
            value = value * (-self.fusion.log_variance[list(self.networks).index(teacher)]).exp()
        return value

    def _agreement(self, learnt: dict[str, Any], taught: dict[str, Any], context: dict) -> dict[str, Tensor]:
        image = tuple(context['inputs'].shape[-2:])
        record = learnt['student']
        grid = read_tokens(record if isinstance(record, list) else [record], image, self._student_extra,
                           "the student's tokens").grid
        patches = []
        for name, value in taught.items():
            values = [one.float() for one in (value if isinstance(value, list) else [value])]
            tokens = read_tokens(values, image, self._extra[name], f"the tokens of teacher '{name}'")
            patches.append(normalised(tokens, _EPS).resized(grid).patches)
        return dict(zip(taught, self.fusion.agreement(patches)))


def _student_tokens(backbone: Any) -> str:
    if isinstance(backbone, MAEViT):
        return 'backbone'  # with it come the places of the visible patches
    if hasattr(backbone, 'layers') and getattr(backbone, 'final_norm', False) and hasattr(backbone, 'ln1'):
        return 'backbone.ln1'
    return 'backbone'


def _last_block(name: str, backbone: Any) -> str:
    layers = getattr(backbone, 'layers', None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise UserError(f"DMT: teacher '{name}' has no backbone.layers: give tokens='PATH' of the module "
                        'that gives its tokens')
    return f'backbone.layers.{len(layers) - 1}'


def _width(who: str, backbone: Any, given: int | None, key: str) -> int:
    found = getattr(backbone, 'embed_dims', None) if hasattr(backbone, 'layers') else None  # a plain ViT's
    if given is not None and found is not None and given != found:
        raise UserError(f'DMT: {key}{given}, but {who} has {found}')
    width = given or found
    if width is None:
        raise UserError(f'DMT: {who} ({type(backbone).__name__}) does not tell its width: give {key}')
    return width


def _extra(backbone: Any, given: int | None) -> int:
    return given if given is not None else int(getattr(backbone, 'num_extra_tokens', 0))
