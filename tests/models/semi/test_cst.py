"""Cycle Self-Training: who teaches whom, with what weight, and that nothing else changes."""
from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

import mmext  # noqa: F401
from mmext.cli.config import find_config
from mmext.engine.hooks.cycle_mean_teacher_hook import CycleMeanTeacherHook, move_towards
from mmext.errors import UserError
from mmext.models.semi.consistency import DistributionConsistency, binary_jensen_shannon, jensen_shannon
from mmext.models.semi.roi_options import background_scores, box_scatter
from mmext.models.semi.weighted_loss import weighted_losses
from mmext.registry import MODELS

_RESNET = dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
_NECK = dict(in_channels=[8, 16, 32, 64], out_channels=16)

# Host configs nobody here wrote, made small.
DETECTORS = {
    'faster_rcnn': ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', dict(
        backbone=_RESNET, neck=_NECK,
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(bbox_roi_extractor=dict(out_channels=16),
                      bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=3)))),
    'retinanet': ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', dict(
        backbone=_RESNET, neck=_NECK,
        bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=3),
        test_cfg=dict(score_thr=0.))),
    'fcos': ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', dict(
        backbone=_RESNET, neck=_NECK,
        bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=3,
                       norm_cfg=None))),
    'atss': ('mmdet::atss/atss_r50_fpn_1x_coco.py', dict(
        backbone=_RESNET, neck=_NECK,
        bbox_head=dict(in_channels=16, feat_channels=32, stacked_convs=1, num_classes=3))),
    'dino': ('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', dict(
        num_queries=20, backbone=dict(_RESNET, num_stages=4), neck=dict(in_channels=[16, 32, 64],
                                                                         out_channels=32),
        encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=dict(embed_dims=32, num_heads=4),
                                                  ffn_cfg=dict(embed_dims=32, feedforward_channels=32))),
        decoder=dict(num_layers=2, layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=32, num_heads=4), cross_attn_cfg=dict(embed_dims=32, num_heads=4),
            ffn_cfg=dict(embed_dims=32, feedforward_channels=32))),
        positional_encoding=dict(num_feats=16), bbox_head=dict(num_classes=3, embed_dims=32),
        dn_cfg=dict(group_cfg=dict(num_dn_queries=4)), test_cfg=dict(max_per_img=10))),
    'relation_detr': ('mmext::relation_detr/relation-detr_emov2_toy.py', dict(
        num_queries=20, hybrid_cfg=dict(num_queries=20, num_assign=2),
        bbox_head=dict(num_classes=3), dn_cfg=dict(group_cfg=dict(num_dn_queries=4)),
        test_cfg=dict(max_per_img=10))),
}
EACH = pytest.mark.parametrize('name', DETECTORS)


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def detector(name: str) -> dict:
    base, changes = DETECTORS[name]
    cfg = Config.fromfile(find_config(base))
    cfg.merge_from_dict(dict(model=changes))
    return cfg.model


def build(name: str, seed: int = 0, **cfg):
    torch.manual_seed(seed)
    cfg = dict(burn_in_iters=0, pseudo_label_initial_score_thr=0.0, rpn_pseudo_thr=0.0,
               cls_pseudo_thr=0.0) | cfg
    model = MODELS.build(dict(
        type='mmext.CycleSelfTraining', detector=detector(name), semi_train_cfg=cfg,
        data_preprocessor=dict(type='mmdet.MultiBranchDataPreprocessor',
                               data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))))
    model.init_weights()
    for teacher in (model.teacher1, model.teacher2):
        with torch.no_grad():
            for parameter in teacher.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model.train()


def sample(boxes: int, seed: int = 0, **fields) -> DetDataSample:
    dice = np.random.RandomState(seed)
    result = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), batch_input_shape=(64, 64),
                                         pad_shape=(64, 64), scale_factor=(1., 1.),
                                         homography_matrix=np.eye(3, dtype=np.float32)))
    corner = torch.from_numpy(dice.uniform(0, 30, (boxes, 2))).float()
    size = torch.from_numpy(dice.uniform(12, 30, (boxes, 2))).float()
    result.gt_instances = InstanceData(bboxes=torch.cat([corner, corner + size], 1),
                                       labels=torch.from_numpy(dice.randint(0, 3, boxes)), **fields)
    return result


def batch(seed: int = 0, images: int = 2) -> dict:
    torch.manual_seed(seed)
    branches = ('sup', 'unsup_teacher', 'unsup_student1', 'unsup_student2')
    return dict(inputs={name: [torch.rand(3, 64, 64) * 255 for _ in range(images)] for name in branches},
                data_samples={name: [sample(3 if name == 'sup' else 0, seed + i) for i in range(images)]
                              for name in branches})


@pytest.fixture(autouse=True)
def message_hub():
    MessageHub.get_current_instance().update_info('iter', 0)
    yield
    MessageHub.get_current_instance().update_info('iter', 0)


# ------------------------------------------------------------------------------------- consistency


distributions = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(
    lambda values: torch.tensor(values, dtype=torch.float64) / sum(values))


@given(distributions, distributions)
def test_divergence_is_a_bounded_symmetric_distance(p, q):
    value = jensen_shannon(p, q)
    assert 0 <= value <= 1 and torch.isclose(value, jensen_shannon(q, p))
    assert jensen_shannon(p, p) < 1e-12
    torch.testing.assert_close(binary_jensen_shannon(p[0], q[0]),
                               jensen_shannon(torch.stack([p[0], 1 - p[0]]), torch.stack([q[0], 1 - q[0]])))


def test_disjoint_distributions_are_one_apart():
    assert jensen_shannon(torch.tensor([1., 0.]), torch.tensor([0., 1.])) == 1


def test_match_finds_the_same_class_at_the_same_place():
    a = InstanceData(bboxes=torch.tensor([[0., 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]]),
                     scores=torch.tensor([0.9, 0.9, 0.9]), labels=torch.tensor([0, 1, 0]))
    b = InstanceData(bboxes=torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9]]), scores=torch.tensor([0.9, 0.9]),
                     labels=torch.tensor([0, 0]))
    consistency = DistributionConsistency(w_min=0.1)
    assert torch.allclose(consistency.match(a, b), torch.tensor([1., 0.1, 0.1]))
    assert torch.allclose(consistency.match(a, b[:0]), torch.full((3, ), 0.1))
    assert consistency.match(a[:0], b).shape == (0, )


@pytest.mark.parametrize('arguments, says', [
    (dict(mode='liner'), "mode cannot be 'liner'; did you mean linear?"), (dict(divergence='kl'), 'js'),
    (dict(w_min=2.), 'w_min <= 1'),
])
def test_bad_settings_are_named(arguments, says):
    with pytest.raises(UserError) as error:
        DistributionConsistency(**arguments)
    assert says in str(error.value)


# ----------------------------------------------------------------------------------- weighted losses


def _loss(model, inputs, samples, head):
    torch.manual_seed(5)  # sampling of regions, denoising
    with weighted_losses(head, samples):
        return {key: sum(value) if isinstance(value, list) else value
                for key, value in model.loss(inputs, samples).items()}


@EACH
def test_weight_one_changes_nothing_and_weight_zero_takes_the_box_out(name):
    torch.manual_seed(0)
    from mmdet.registry import MODELS as HOST
    model = HOST.build(detector(name))
    model.init_weights()
    model.train()
    head = model.roi_head if hasattr(model, 'roi_head') else model.bbox_head
    inputs = torch.rand(2, 3, 64, 64)

    def samples(weight: float) -> list[DetDataSample]:
        return [sample(3, i, consistency=torch.full((3, ), weight)) for i in range(2)]

    torch.manual_seed(5)
    plain = {key: sum(value) if isinstance(value, list) else value
             for key, value in model.loss(inputs, samples(1.)).items()}
    one, half, zero = (_loss(model, inputs, samples(weight), head) for weight in (1., 0.5, 0.))
    boxes = [key for key in plain if 'loss' in key and ('bbox' in key or 'iou' in key) and 'rpn' not in key]
    assert boxes
    for key, value in plain.items():
        torch.testing.assert_close(one[key], value, msg=lambda text, key=key: f'{key}: {text}')
    for key in boxes:
        assert plain[key] > 0, key
        torch.testing.assert_close(half[key], plain[key] / 2, rtol=1e-4, atol=1e-6,
                                   msg=lambda text, key=key: f'{key}: {text}')
        assert zero[key] == 0, key
    classes = [key for key in plain if 'loss_cls' in key and 'rpn' not in key]
    assert classes and all(half[key] < plain[key] for key in classes)
    assert not [key for key in vars(head) if key.startswith('_get') or key == 'get_targets'], 'left patched'


def test_a_head_that_cannot_be_weighed_is_named():
    with (pytest.raises(UserError, match='cannot weigh the losses of Linear'),
          weighted_losses(torch.nn.Linear(1, 1), [])):
        pass


# ------------------------------------------------------------------------------------------ the ring


@EACH
def test_losses_of_both_students(name):
    model = build(name)
    data = model.data_preprocessor(batch(), True)
    losses = model.loss(data['inputs'], data['data_samples'])
    for prefix in ('s1_sup_', 's1_unsup_', 's2_sup_', 's2_unsup_'):
        assert [key for key in losses if key.startswith(prefix)], prefix
    total, _ = model.parse_losses(losses)
    total.backward()
    for student in (model.student1, model.student2):
        assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0
                   for parameter in student.parameters())
    assert all(parameter.grad is None for teacher in (model.teacher1, model.teacher2)
               for parameter in teacher.parameters())
    assert not model.teacher1.training and not model.teacher2.training


@pytest.mark.parametrize('cross', [True, False])
def test_pseudo_labels_cross(cross):
    """What changes T1 changes S2's losses only (S1's, when uncrossed)."""
    model = build('retinanet', cross=cross, consistency=None)
    data = model.data_preprocessor(batch(), True)

    def losses():
        torch.manual_seed(1)
        return {key: sum(value).item() if isinstance(value, list) else value.item()
                for key, value in model.loss(data['inputs'], copy.deepcopy(data['data_samples'])).items()}

    before = losses()
    with torch.no_grad():
        for parameter in model.teacher1.bbox_head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    after = losses()
    changed = {key[:9] for key in before if abs(before[key] - after[key]) > 1e-7}
    assert changed == {'s2_unsup_' if cross else 's1_unsup_'}


def test_burn_in_has_no_pseudo_labels():
    model = build('retinanet', burn_in_iters=5)
    data = model.data_preprocessor(batch(), True)
    MessageHub.get_current_instance().update_info('iter', 4)
    assert not [key for key in model.loss(data['inputs'], data['data_samples']) if 'unsup' in key]
    MessageHub.get_current_instance().update_info('iter', 5)
    assert [key for key in model.loss(data['inputs'], data['data_samples']) if 'unsup' in key]


@EACH
def test_without_pseudo_labels_the_losses_stay_at_no_weight(name):
    model = build(name, pseudo_label_initial_score_thr=1.1)
    data = model.data_preprocessor(batch(), True)
    losses = model.loss(data['inputs'], data['data_samples'])
    unsupervised = {key: sum(value) if isinstance(value, list) else value for key, value in losses.items()
                    if 'unsup' in key and 'loss' in key}
    assert unsupervised and all(value == 0 for value in unsupervised.values())


def test_two_backward_passes_equal_the_joint_one():
    model = build('faster_rcnn')
    other = copy.deepcopy(model)
    data = batch()
    torch.manual_seed(3)
    prepared = other.data_preprocessor(copy.deepcopy(data), True)
    total, _ = other.parse_losses(other.loss(prepared['inputs'], prepared['data_samples']))
    total.backward()
    torch.manual_seed(3)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.))
    wrapper.zero_grad = lambda **kwargs: None
    log = model.train_step(copy.deepcopy(data), wrapper)
    torch.testing.assert_close(log['loss'], total.detach())
    assert wrapper._inner_count == 1
    for (name, a), b in zip(model.named_parameters(), other.parameters()):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------------------- averages


@settings(max_examples=20)
@given(st.floats(0.001, 0.999))
def test_average(momentum):
    torch.manual_seed(0)
    student, teacher = (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)) for _ in range(2))
    student(torch.randn(4, 2))
    before = copy.deepcopy(teacher.state_dict())
    move_towards(teacher, student, momentum)
    for key, value in teacher.state_dict().items():
        target = student.state_dict()[key]
        expected = (1 - momentum) * before[key] + momentum * target if value.is_floating_point() else target
        torch.testing.assert_close(value, expected)


class _Runner:
    def __init__(self, model):
        self.model, self.iter = model, 0


def test_hook_averages_within_pairs_after_the_burn_in():
    model = build('retinanet', burn_in_iters=2)
    runner, hook = _Runner(model), CycleMeanTeacherHook(momentum=0.25)

    def weight(member):
        return getattr(model, member).bbox_head.retina_cls.weight.detach().clone()

    hook.before_train(runner)
    assert torch.equal(weight('teacher1'), weight('student1'))
    assert torch.equal(weight('teacher2'), weight('student2'))
    assert not torch.equal(weight('student1'), weight('student2')), 'the students start apart'
    for iteration in range(3):
        runner.iter = iteration
        before = weight('teacher1')
        with torch.no_grad():
            model.student1.bbox_head.retina_cls.weight.add_(1)
        hook.after_train_iter(runner, iteration)
        expected = (before, weight('student1'), 0.75 * before + 0.25 * weight('student1'))[iteration]
        torch.testing.assert_close(weight('teacher1'), expected)
    assert torch.equal(weight('teacher2'), weight('student2'))


def test_hook_refuses_other_models():
    with pytest.raises(UserError, match='Linear has no student1, teacher1'):
        CycleMeanTeacherHook().before_train(_Runner(torch.nn.Linear(1, 1)))


# --------------------------------------------------------------------------------- states and prediction


def test_plain_and_paired_checkpoints_spread():
    model = build('retinanet')
    plain = {key: torch.full_like(value, 2) for key, value in model.student1.state_dict().items()}
    model.load_state_dict(plain)
    assert all((value == 2).all() for value in model.state_dict().values())
    pair = {f'student.{key}': torch.full_like(value, 3) for key, value in plain.items()}
    pair |= {f'teacher.{key}': torch.full_like(value, 4) for key, value in plain.items()}
    model.load_state_dict(pair)
    for member, value in (('student1', 3), ('student2', 3), ('teacher1', 4), ('teacher2', 4)):
        assert all((one == value).all() for one in model.export_detector(member).values())
    whole = model.state_dict()
    model.load_state_dict(whole, strict=True)


@pytest.mark.parametrize('member', ['teacher1', 'student2', 'ensemble'])
def test_prediction(member):
    model = build('retinanet').eval()
    model.semi_test_cfg['predict_on'] = member
    inputs = torch.rand(1, 3, 64, 64)
    found = model.predict(inputs, [sample(0)])[0].pred_instances
    assert len(found) and found.bboxes.shape[1] == 4
    if member != 'ensemble':
        alone = getattr(model, member).predict(inputs, [sample(0)])[0].pred_instances
        assert torch.equal(found.scores, alone.scores)


@pytest.mark.parametrize('cfg, says', [
    (dict(semi_train_cfg=dict(unsup_wieght=1.)), "no 'unsup_wieght'; did you mean unsup_weight"),
    (dict(semi_test_cfg=dict(predict_on='teacher')), "predict_on cannot be 'teacher'"),
])
def test_bad_configs_are_named(cfg, says):
    with pytest.raises(UserError) as error:
        MODELS.build(dict(type='mmext.CycleSelfTraining', detector=detector('retinanet'), **cfg))
    assert says in str(error.value)


# ----------------------------------------------------------------------- what comes from Soft Teacher


def _one_step(**cfg) -> dict[str, float]:
    model = build('faster_rcnn', **cfg)
    data = model.data_preprocessor(batch(images=4), True)
    torch.manual_seed(1)
    return {key: sum(value).item() if isinstance(value, list) else value.item()
            for key, value in model.loss(data['inputs'], data['data_samples']).items()}


def test_region_options_change_their_own_loss_only():
    """Weights and background scores are under 1; what they weigh goes down, the rest stays."""
    plain = _one_step()
    for option, lowered in ((dict(weight_rpn=True), ('rpn_loss_bbox', )),
                            (dict(bg_weight='teacher'), ('loss_cls', ))):
        changed = _one_step(**option)
        assert changed.keys() == plain.keys()
        for key, value in plain.items():
            name = key.partition('unsup_')[2]
            if name in lowered:
                assert changed[key] < value, (option, key)
            elif 'rpn' not in name:  # proposals are weighed in both their losses
                assert changed[key] == pytest.approx(value, abs=1e-6), (option, key)


def test_boxes_are_learned_from_the_steady_ones():
    """No scatter is under 0 and all are under infinity, where the boxes are those of the classes."""
    none, all_of_them = (_one_step(reg_pseudo_thr=limit) for limit in (0., float('inf')))
    assert none['s1_unsup_loss_bbox'] == 0 and none['s2_unsup_loss_bbox'] == 0
    assert all_of_them['s1_unsup_loss_bbox'] > 0 and all_of_them['s2_unsup_loss_bbox'] > 0
    assert none['s1_unsup_loss_cls'] > 0


def test_scatter_is_the_teachers_answer_to_moved_regions():
    class Steady(torch.nn.Module):
        """Answers every region with itself, class 0, or with one fixed box, class 1."""

        def predict_bbox(self, features, metas, regions, rcnn_test_cfg, rescale):
            fixed = [torch.tensor([[1., 2, 3, 4]]).expand(len(one), 4) for one in regions]
            return [InstanceData(bboxes=torch.cat([one.bboxes, box], 1), scores=torch.zeros(len(one), 3))
                    for one, box in zip(regions, fixed)]

    found = InstanceData(bboxes=torch.tensor([[0., 0, 20, 20], [5, 5, 25, 45]]), labels=torch.tensor([0, 1]))
    torch.manual_seed(0)
    own, nothing = box_scatter(Steady(), [], [], [found, found[:0]], times=4000, scale=0.05)
    torch.testing.assert_close(own, torch.tensor([0.05, 0.]), rtol=0.05, atol=1e-6)
    assert nothing.shape == (0, )


def test_background_is_measured_in_the_weak_view():
    asked = []

    class Head(torch.nn.Module):
        def predict_bbox(self, features, metas, regions, rcnn_test_cfg, rescale):
            asked.extend(one.bboxes for one in regions)
            return [InstanceData(bboxes=one.bboxes, scores=one.bboxes[:, :2] / 64) for one in regions]

    weak, strong = sample(0), sample(0)
    weak.set_metainfo(dict(homography_matrix=np.diag([2., 2, 1]).astype(np.float32)))
    flip = np.array([[-1., 0, 64], [0, 1, 0], [0, 0, 1]], np.float32)
    strong.set_metainfo(dict(homography_matrix=flip))
    scores = background_scores(Head(), [], [weak], [strong])([torch.tensor([[40., 0, 60, 10]])])
    torch.testing.assert_close(asked[0], torch.tensor([[8., 0, 48, 20]]))  # turned back, then twice as large
    torch.testing.assert_close(scores[0], torch.tensor([0.]))


def test_labelled_images_are_dealt_out():
    model = build('retinanet', burn_in_iters=5, sup_split=True)
    seen = []
    for student in (model.student1, model.student2):
        student.loss = (lambda inputs, samples: seen.append((inputs, samples))
                        or dict(loss=inputs.sum() * 0))
    data = model.data_preprocessor(batch(images=3), True)
    model.loss(data['inputs'], data['data_samples'])
    (first, one), (second, other) = seen
    assert torch.equal(first, data['inputs']['sup'][[0, 2]]) and len(one) == 2
    assert torch.equal(second, data['inputs']['sup'][[1]]) and other == [data['data_samples']['sup'][1]]
    alone = model.data_preprocessor(batch(images=1), True)
    with pytest.raises(UserError, match='two labelled images in a batch, got 1'):
        model.loss(alone['inputs'], alone['data_samples'])


@pytest.mark.parametrize('cfg, says', [
    (dict(bg_weight='techer'), "bg_weight cannot be 'techer'; did you mean teacher?"),
    (dict(reg_pseudo_thr=0.02), 'reg_pseudo_thr is for detectors with an RoI head, RetinaNet has none'),
    (dict(jitter_times=1), 'jitter_times >= 2'),
    (dict(weight_rpn=True, consistency=None), 'weight_rpn'),
])
def test_region_options_that_cannot_be(cfg, says):
    with pytest.raises(UserError, match=says.replace('?', '.')):
        MODELS.build(dict(type='mmext.CycleSelfTraining', detector=detector('retinanet'), semi_train_cfg=cfg))
