"""DisWOT's score of a candidate network, for the search of a student."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmext.errors import UserError, did_you_mean
from mmext.registry import TASK_UTILS

from ..recorder import Record, Recorder
from ..teacher import run_network
from .metrics import Response, classifier_gradient, scores

_RELATIONS = ('batch', 'first_image')
_INITS = ('gaussian', 'own')
_TEACHER = 100_000  # the teacher's weights are not drawn like a student's of the same shape


@TASK_UTILS.register_module()
class DisWOTScore:
    """How alike an untrained student and an untrained teacher answer to one labelled batch.

    One forward pass for each: the gradient of the classifier follows from its input and output. The
    weights depend on the seed alone, so that a candidate has the same score in whatever order the search
    comes to it.

    Args:
        relation: 'batch' (the paper) or 'first_image' (the authors' scripts), see :func:`scores`.
        init: 'gaussian', weights of convolutions and linear layers from N(0, 1), the authors'; or 'own',
            the network's own initialisation.
        inits: Average over so many draws of the weights.
        maps: Path of the module whose (last) output is the map before pooling.
        classifier: Path of the linear classifier.
        teacher_maps, teacher_classifier: The same in the teacher; None: as in the student.

    Raises:
        UserError: On an unknown value.
    """

    #: Name of the score that candidates are ranked by.
    ranked_by = 'diswot'

    def __init__(self, relation: str = 'batch', init: str = 'gaussian', inits: int = 1,
                 maps: str = 'backbone', classifier: str = 'head.fc', teacher_maps: str | None = None,
                 teacher_classifier: str | None = None) -> None:
        for key, value, known in (('relation', relation, _RELATIONS), ('init', init, _INITS)):
            if value not in known:
                raise UserError(f"DisWOTScore: {key}='{value}'{did_you_mean(str(value), known)} (choose from "
                                f'{", ".join(known)})')
        if inits < 1:
            raise UserError(f'DisWOTScore: inits={inits} must be at least 1')
        self.relation, self.init, self.inits = relation, init, inits
        self.student_layers = maps, classifier
        self.teacher_layers = teacher_maps or maps, teacher_classifier or classifier
        self._teacher: list[Response] = []

    def prepare(self, teacher: Callable[[], nn.Module], inputs: Tensor, labels: Tensor, seed: int) -> None:
        """Keep the batch and the teacher's answers to it.

        Args:
            teacher: Builds the teacher on the device of the batch.
            inputs: Preprocessed images ``(B, 3, H, W)``.
            labels: ``(B,)``.
            seed: Of all weights.

        Raises:
            UserError: If the teacher has no such layers.
        """
        self._inputs, self._labels, self._seed = inputs, labels, seed
        self._teacher = [self._response('teacher', teacher, self.teacher_layers, seed + _TEACHER + number)
                         for number in range(self.inits)]

    def __call__(self, student: Callable[[], nn.Module]) -> dict[str, float]:
        """Scores of a candidate, by name; higher is better.

        Args:
            student: Builds it on the device of the batch.

        Raises:
            UserError: If it has no such layers, or other classes than the teacher.
        """
        found = []
        for number, teacher in enumerate(self._teacher):
            own = self._response('student', student, self.student_layers, self._seed + number)
            if len(own.gradient) != len(teacher.gradient):
                raise UserError(f'the student has {len(own.gradient)} classes, the teacher '
                                f'{len(teacher.gradient)}: they must be the same')
            found.append(scores(own, teacher, self.relation))
        return {name: sum(one[name] for one in found) / len(found) for name in found[0]}

    def _response(self, net: str, build: Callable[[], nn.Module], layers: tuple[str, str],
                  seed: int) -> Response:
        device = self._inputs.device
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            network: Any = build().to(device).train()  # batch statistics, as when it learns
            if self.init == 'gaussian':
                draw_gaussian(network)
            elif hasattr(network, 'init_weights'):
                network.init_weights()
            return respond(net, network, layers, self._inputs, self._labels)


def respond(net: str, network: nn.Module, layers: tuple[str, str], inputs: Tensor, labels: Tensor
            ) -> Response:
    """What a network says to a batch, from one forward pass.

    Args:
        net: 'student' or 'teacher', for messages.
        network: The network.
        layers: Paths of the module with the maps and of the linear classifier.
        inputs: ``(B, 3, H, W)``.
        labels: ``(B,)``.

    Raises:
        UserError: If there is no such module, or the classifier is none.
    """
    maps, classifier = layers
    recorder = Recorder(network, [Record('maps', net, maps), Record('logits', net, classifier),
                                  Record('pooled', net, classifier, source='input')])
    layer = network.get_submodule(classifier)
    if not isinstance(layer, nn.Linear):
        raise UserError(f"classifier='{classifier}' of the {net} is a {type(layer).__name__}; DisWOT needs "
                        'the gradient of a Linear')
    with recorder.recording(network) as records:
        run_network(network, 'tensor', inputs, None)
    values: dict[str, Any] = {name: value[-1] if isinstance(value, list) else value
                              for name, value in records.items()}
    if int(labels.max()) >= values['logits'].shape[1]:
        raise UserError(f"the {net} has {values['logits'].shape[1]} classes, but the batch has the label "
                        f'{int(labels.max())}')
    gradient = classifier_gradient(values['logits'].float(), labels, values['pooled'].float())
    return Response(values['maps'].float(), gradient)


def draw_gaussian(network: nn.Module) -> None:
    """The authors' initialisation: weights from N(0, 1), biases 0, norms the identity; in place."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_()
            elif isinstance(module, _BatchNorm | nn.GroupNorm) and module.weight is not None:
                module.weight.fill_(1)
            else:
                continue
            if module.bias is not None:
                module.bias.zero_()
