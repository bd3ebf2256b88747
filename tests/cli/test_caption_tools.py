"""The two tools that make CGG's files: nouns of captions, words of a BERT."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from mmext.datasets.captions import read_captions
from mmext.models.language import read_table
from tests.apis.tools import run_tool

NOUNS = 'dataset_converters/caption_nouns.py'
WORDS = 'dataset_converters/word_table.py'
CAPTIONS = ['Two dogs on a bench.', 'A puppy', 'An empty street']


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / 'captions.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=index, file_name=f'{index}.jpg') for index in range(3)],
        annotations=[dict(id=index, image_id=index, caption=text) for index, text in enumerate(CAPTIONS)])))
    return path


def _found(path: Path) -> list[list[str]]:
    content = read_captions(path)  # as the data set reads it
    return [content[index][0]['nouns'] for index in range(3)]


def test_nouns_of_classes_of_a_file_and_of_categories(
        captions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'new' / 'out.json'
    assert run_tool(NOUNS, captions, '--classes', 'dog', 'bench', '--out', out) == 0
    assert _found(out) == [['dog', 'bench'], ['dog'], []]  # a puppy is a dog of COCO
    assert '3 captions, 1 of them without a noun' in capsys.readouterr().out

    words = tmp_path / 'words.txt'
    words.write_text('street\troad\npuppy\n')
    assert run_tool(NOUNS, captions, '--file', words, '--out', out) == 0
    assert _found(out) == [[], ['puppy'], ['street']]

    instances = tmp_path / 'instances.json'
    instances.write_text(json.dumps(dict(categories=[dict(id=1, name='bench')])))
    assert run_tool(NOUNS, captions, '--instances', instances, '--out', out) == 0
    assert _found(out) == [['bench'], [], []]


def test_nouns_say_which_file_is_wrong_and_keep_what_is_there(
        captions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out.json'
    out.write_text('kept')
    good = tmp_path / 'instances.json'
    good.write_text(json.dumps(dict(categories=[dict(id=1, name='bench')])))
    assert run_tool(NOUNS, captions, '--instances', good, '--file', tmp_path / 'none.txt', '--out', out) == 2
    error = capsys.readouterr().err
    assert 'none.txt' in error and 'instances.json' not in error
    assert run_tool(NOUNS, captions, '--instances', captions, '--out', out) == 2
    assert "captions.json: KeyError: 'categories'" in capsys.readouterr().err
    assert run_tool(NOUNS, captions, '--out', out) == 2
    assert 'no nouns' in capsys.readouterr().err
    assert out.read_text() == 'kept'


def _bert(folder: Path) -> transformers.BertModel:
    tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'star', 'ring', '##s', 'disc']
    (folder / 'vocab.txt').write_text('\n'.join(tokens))
    transformers.BertTokenizerFast(str(folder / 'vocab.txt')).save_pretrained(folder)
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(
        vocab_size=len(tokens), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8))
    model.embeddings.LayerNorm.weight.data.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    return model


def test_word_table_has_the_normalised_input_embeddings(tmp_path: Path) -> None:
    model, out = _bert(tmp_path), tmp_path / 'table.safetensors'
    assert run_tool(WORDS, '--model', tmp_path, '--out', out) == 0
    tokens, table = read_table(out)
    assert len(tokens) == 10 and table.shape == (10, 8)
    embeddings = model.embeddings
    torch.testing.assert_close(table, embeddings.LayerNorm(embeddings.word_embeddings.weight).detach())

    texts = tmp_path / 'texts.txt'
    texts.write_text('A star\nstars')
    assert run_tool(WORDS, '--model', tmp_path, '--texts', texts, '--out', out) == 0
    few, part = read_table(out)
    assert {'a', 'star', '##s'} <= set(few) and not {'ring', 'disc'} & set(few)
    torch.testing.assert_close(part[list(few).index('star')], table[list(tokens).index('star')])


def test_word_table_refuses_what_is_no_bert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'table.safetensors'
    assert run_tool(WORDS, '--model', tmp_path / 'nothing', '--out', out) == 2
    assert 'nothing' in capsys.readouterr().err
    assert run_tool(WORDS, '--model', 'minilm', '--texts', tmp_path / 'none.txt', '--out', out) == 2
    assert '--texts' in capsys.readouterr().err
    assert not out.exists()
