"""LMSeg beyond parity: taxonomies, tables, mixed batches, losses, bad input."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from mmext.errors import UserError
from mmext.models.segmentors.lmseg import CLIPTextContextEncoder, MaskFocalCost, PlainDecoder, read_taxonomy
from mmext.registry import MODELS

TAXONOMIES = dict(
    pets=dict(classes=['cat', 'dog, hound'], prompt='a photo of {}', things=['cat']),
    city=['road', 'cat', 'tree', 'sky'])


def build(**changes: Any) -> Any:
    torch.manual_seed(0)
    cfg: dict[str, Any] = dict(
        type='mmext.LMSeg',
        backbone=dict(type='mmext.CLIPResNet', depth=(1, 1, 1, 1), base_channels=8),
        decode_head=dict(
            type='mmext.LMSegHead', in_channels=[32, 64, 128, 256], feat_channels=32, out_channels=32,
            num_queries=6, decoder=dict(layers=2, heads=4, drop_path_rate=0.)),
        text_encoder=dict(type='mmext.CLIPTextContextEncoder', embed_dim=24, width=16, heads=2, layers=2,
                          num_context=3),
        taxonomies=TAXONOMIES)
    if changes.pop('panoptic', False):
        cfg['panoptic_head'] = cfg.pop('decode_head')
        cfg['type'] = 'mmext.LMSegPanoptic'
        cfg['test_cfg'] = dict(object_mask_thr=0.)
    model = MODELS.build({**cfg, **changes})
    model.init_weights()
    return model


def sample(taxonomy: str | None, label: int = 1, size: tuple[int, int] = (64, 64)) -> SegDataSample:
    meta: dict[str, Any] = dict(img_shape=size, ori_shape=size, seg_map_path='a.png')
    if taxonomy:
        meta['taxonomy'] = taxonomy
    seg = torch.full((1, *size), 255)
    seg[0, 8:40, 8:40] = label
    seg[0, 40:, 40:] = 0
    return SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=seg))


def test_every_trained_parameter_gets_a_gradient_on_every_data_set() -> None:
    """So DDP trains it with find_unused_parameters=False; an image without labels changes nothing."""
    for taxonomy in TAXONOMIES:
        model = build().train()
        empty = sample(taxonomy)
        empty.gt_sem_seg.data.fill_(255)
        losses = model.loss(torch.rand(2, 3, 64, 64), [sample(taxonomy), empty])
        assert len(losses) == 2 * 3 and all(torch.isfinite(loss) for loss in losses.values())
        sum(losses.values()).backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without
        assert all(p.grad is None for p in model.guide.encoder.transformer.parameters())


def test_a_batch_of_several_taxonomies_is_segmented_as_each_alone() -> None:
    model = build().eval()
    images = torch.rand(3, 3, 64, 64)
    names = ['pets', 'city', 'pets']
    with torch.no_grad():
        together = model.predict(images, [sample(name) for name in names])
        for index, name in enumerate(names):
            alone = model.predict(images[index:index + 1], [sample(name)])[0]
            assert len(alone.seg_logits.data) == model.guide.taxonomies[name].num_classes
            torch.testing.assert_close(together[index].seg_logits.data, alone.seg_logits.data)


def test_a_taxonomy_of_one_class() -> None:
    model = build(taxonomies=dict(pets=['cat'])).eval()
    with torch.no_grad():
        found = model.predict(torch.rand(1, 3, 64, 64), [sample(None)])[0]
    assert found.seg_logits.data.shape == (1, 64, 64)
    assert not found.pred_sem_seg.data.any()


def test_text_is_encoded_once_per_test(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    original = CLIPTextContextEncoder.embed

    def embed(self: CLIPTextContextEncoder, prompts: list[str]) -> torch.Tensor:
        encoded.extend(prompts)
        return original(self, prompts)

    monkeypatch.setattr(CLIPTextContextEncoder, 'embed', embed)
    model = build().eval()
    with torch.no_grad():
        first = model.guide(model.guide.taxonomies['city'])
        assert model.guide(model.guide.taxonomies['city']) is first and len(encoded) == 5
        model.guide(model.guide.taxonomies['pets'])
        assert len(encoded) == len(set(encoded)) == 8  # different sentences, all of them
        model.guide.encoder.learnable_contexts.add_(1.)
        assert not torch.allclose(model.guide(model.guide.taxonomies['city']), first)


def test_prompts_longer_than_the_longest_real_one_change_nothing() -> None:
    model = build()
    ids = model.guide.encoder.tokenize(['a photo of cat', 'a photo of dog'])
    longest = int(ids.argmax(1).max()) + 1
    assert longest < ids.shape[1]
    torch.testing.assert_close(model.guide.encoder(ids), model.guide.encoder(ids[:, :longest]))


def test_first_synonym_and_background_last() -> None:
    taxonomy = read_taxonomy('pets', TAXONOMIES['pets'])
    assert taxonomy.prompts == ('a photo of cat', 'a photo of dog', 'a photo of background')
    assert taxonomy.things == {0} and taxonomy.num_classes == 2


@pytest.mark.parametrize(('config', 'message'), [
    ([], 'one or more names'),
    (dict(classes=[]), 'one or more names'),
    (dict(clases=['cat']), 'did you mean classes'),
    (['cat', ''], 'class 1'),
    (['cat', 'Cat, tabby'], "0 and 1 are both called 'Cat'"),
    (['background'], 'both called'),
    (dict(classes=['cat'], prompt='a photo'), "needs '{}'"),
    (dict(classes=['cat'], things=['cta']), 'did you mean cat'),
    (dict(classes=['cat'], things=[1]), 'expected 0 to 0'),
])
def test_a_bad_taxonomy_is_named(config: Any, message: str) -> None:
    with pytest.raises(UserError, match="taxonomy 'pets'") as error:
        read_taxonomy('pets', config)
    assert message in str(error.value)


@pytest.mark.parametrize(('samples', 'message'), [
    ([sample('pets'), sample('city')], 'one_dataset_per_batch'),
    ([sample(None)], 'default_taxonomy'),
    ([sample('citty')], 'did you mean city'),
    ([sample('pets', label=2)], r"a.png has the label 2, but the taxonomy 'pets' has 2 classes"),
])
def test_bad_samples_are_named(samples: list[SegDataSample], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build().train().loss(torch.rand(len(samples), 3, 64, 64), samples)


def test_no_taxonomy_and_unknown_default() -> None:
    with pytest.raises(UserError, match='needs taxonomies'):
        build(taxonomies={})
    with pytest.raises(UserError, match='did you mean pets'):
        build(default_taxonomy='pet')


def test_a_prompt_that_is_too_long_is_named() -> None:
    with pytest.raises(UserError, match='prompt_length'):
        build().guide.encoder.tokenize(['a photo of ' + 'very ' * 9 + 'large cat'])


def test_panoptic_trains_and_segments() -> None:
    model = build(panoptic=True)
    meta = dict(img_shape=(64, 64), ori_shape=(32, 48), taxonomy='pets', img_path='a.jpg')
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8).numpy()
    masks[0, :20, :20] = 1
    masks[1, 30:50, :20] = 1
    seg = torch.full((1, 64, 64), 255)
    seg[0, 40:, 40:] = 1
    seg[0, :20, :20] = 0  # things are in the map too, their masks come from the instances
    data = DetDataSample(metainfo=meta)
    data.gt_instances = InstanceData(labels=torch.tensor([0, 0]), masks=BitmapMasks(masks, 64, 64))
    data.gt_sem_seg = PixelData(sem_seg=seg)
    targets = model._targets(data, model.guide.taxonomies['pets'])
    assert targets.labels.tolist() == [0, 0, 1] and targets.masks[2].sum() == 24 * 24
    losses = model.train().loss(torch.rand(1, 3, 64, 64), [data])
    sum(losses.values()).backward()
    with torch.no_grad():
        found = model.eval().predict(torch.rand(1, 3, 64, 64), [data])[0].pred_panoptic_seg.sem_seg
    assert found.shape == (1, 32, 48)
    labels = {int(code) % 1000 for code in found.unique()}
    assert labels <= {0, 1, 2}
    data.gt_instances.labels[1] = 1
    with pytest.raises(UserError, match="instance of 'dog, hound', which is no thing of the taxonomy 'pets'"):
        model.loss(torch.rand(1, 3, 64, 64), [data])
    data.gt_instances.labels[1] = 0
    seg[0, 0, 0] = 9
    with pytest.raises(UserError, match=r"a.jpg has the label 9, but the taxonomy 'pets'"):
        model.loss(torch.rand(1, 3, 64, 64), [data])


@pytest.mark.parametrize('panoptic', [False, True])
def test_other_names_are_asked_for(panoptic: bool) -> None:
    model = build(default_taxonomy='pets', panoptic=panoptic).eval()
    assert model.classes == ('cat', 'dog, hound')
    alone = build(taxonomies=dict(new=dict(classes=['sky', 'horse', 'tree'], prompt='a photo of {}',
                                           things=[0, 1, 2])), panoptic=panoptic).eval()
    model.set_classes(['lamp'])
    model.set_classes(['sky', 'horse', 'tree'])
    assert model.classes == ('sky', 'horse', 'tree')
    image, structure = torch.rand(1, 3, 64, 64), DetDataSample if panoptic else SegDataSample
    found = []
    for one in (model, alone):
        given = structure(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), batch_input_shape=(64, 64)))
        with torch.no_grad():
            found.append(one.predict(image, [given])[0])
    key = 'pred_panoptic_seg' if panoptic else 'pred_sem_seg'
    first, second = (next(iter(one.get(key).values())) for one in found)
    assert torch.equal(first, second)
    with pytest.raises(UserError, match='both called'):
        model.set_classes(['sky', 'Sky'])
    with pytest.raises(UserError, match='one or more names'):
        model.set_classes([])
    assert build().classes == ()


def test_half_precision_has_finite_costs() -> None:
    """Sure masks: the focal cost of a probability that half precision rounds to 1 was infinite."""
    model = build().train()
    with torch.no_grad():
        for one in model.decode_head.mask_embed.parameters():
            one.mul_(10)
    with torch.autocast('cpu', dtype=torch.float16):
        losses = model.loss(torch.rand(1, 3, 64, 64), [sample('pets')])
    assert all(bool(value.isfinite()) and value.dtype == torch.float32 for value in losses.values())


def test_the_own_background_stays_with_other_names() -> None:
    model = build(taxonomies=dict(pets=dict(classes=['cat', 'dog'], background='something else'))).eval()
    model.set_classes(['horse'])
    assert model.guide.taxonomies[model.guide.default].prompts == ('horse', 'something else')


def test_an_auxiliary_head_is_refused() -> None:
    with pytest.raises(UserError, match='auxiliary_head'):
        build(auxiliary_head=dict(type='FCNHead', in_channels=128, channels=8, num_classes=4))


def test_a_name_is_its_first_synonym_or_all_of_it() -> None:
    names = ['tv, television set', 'bed ']
    assert read_taxonomy('a', names).prompts == ('tv', 'bed', 'background')
    whole = read_taxonomy('a', dict(classes=names, synonym='whole', prompt='a {}'))
    assert whole.prompts == ('a tv, television set', 'a bed', 'a background')
    with pytest.raises(UserError, match="synonym='last'; expected 'first' or 'whole'"):
        read_taxonomy('a', dict(classes=names, synonym='last'))


def test_the_cost_of_a_mask_is_its_focal_loss_however_sure_it_is() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 5) * torch.tensor([1., 8., 60.])[:, None, None]
    masks = torch.rand(2, 4, 5) > 0.5
    cost = MaskFocalCost(20.)(InstanceData(masks=logits), InstanceData(masks=masks))
    expected = [[20 * sigmoid_focal_loss(one, mask.float(), reduction='mean') for mask in masks]
                for one in logits]
    torch.testing.assert_close(cost, torch.tensor(expected))


@pytest.mark.parametrize('pre_norm', [False, True])
def test_a_decoder_without_guidance_is_torchs_and_ignores_the_names(pre_norm: bool) -> None:
    torch.manual_seed(0)
    decoder = PlainDecoder(16, layers=2, heads=4, feedforward_channels=24, dropout=0., encoder_layers=2,
                           pre_norm=pre_norm).eval()
    given: dict[str, Any] = dict(d_model=16, nhead=4, dim_feedforward=24, dropout=0., batch_first=True,
                                 norm_first=pre_norm)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**given), 2,
                                    nn.LayerNorm(16) if pre_norm else None, enable_nested_tensor=False)
    reference = nn.TransformerDecoder(nn.TransformerDecoderLayer(**given), 2, nn.LayerNorm(16))
    assert decoder.encoder is not None
    for ours, theirs in ((decoder.encoder, encoder), (decoder.decoder, reference)):
        values = [torch.randn_like(value) for value in theirs.state_dict().values()]
        theirs.load_state_dict(dict(zip(theirs.state_dict(), values)))
        # Both list a layer's attentions, MLP and norms in the same order.
        ours.load_state_dict(dict(zip(ours.state_dict(), values)))
    query, visual, none = torch.zeros(2, 3, 16), torch.randn(2, 7, 16), torch.zeros(1, 7, 16)
    with torch.no_grad():
        found = decoder(query, visual, none, torch.randn(1, 5, 16))
        torch.testing.assert_close(found[-1], reference(query, encoder(visual)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found, decoder(query, visual, none, torch.randn(1, 4, 16)))


@pytest.mark.parametrize('changes', [
    dict(pixel_channels=64), dict(project=True),
    dict(pixel_decoder=dict(type='mmdet.PixelDecoder', norm_cfg=None)),
    dict(decoder=dict(guided=False, layers=2, heads=4, encoder_layers=1))])
def test_other_heads_train_and_test(changes: dict[str, Any]) -> None:
    model = build(decode_head=dict(
        dict(type='mmext.LMSegHead', in_channels=[32, 64, 128, 256], feat_channels=32, out_channels=24,
             num_queries=6, decoder=dict(layers=2, heads=4)), **changes))
    sum(model.train().loss(torch.rand(1, 3, 64, 64), [sample('pets')]).values()).backward()
    assert all(p.grad is not None for p in model.decode_head.parameters())
    assert model.eval().predict(torch.rand(1, 3, 64, 64), [sample('pets')])[0].pred_sem_seg.shape == (64, 64)
