# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Text models that read a pretrained encoder: what they read of a word equals what the encoder says of its pieces, in any
batch, with any padding and in windows; nothing of it gets lost in a folder.
"""

import copy

import pytest
import torch
from families import GRU, LSTM, PLAIN_TRAINING, assert_close, each_family, first_fast
from tiny_encoders import KINDS, save_encoder
from tokenizers import Tokenizer, models, processors
from transformers import (
    AutoModel,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    DataCollatorForTokenClassification,
    RobertaConfig,
    TrainingArguments,
    pipeline,
)

from hf_lstm import LSTMForTokenClassification, LSTMTokenizer
from hf_lstm.models.piece_alignment import _pieces_of, special_ids
from hf_lstm.models.pieces import Windows
from hf_lstm.training.arguments import ClassifierArguments
from hf_lstm.training.batching import LengthBatchingTrainer
from hf_lstm.training.encoder_arguments import EncoderArguments
from hf_lstm.training.transfer import EncoderTrainer, encoder_parameter_groups, layer_groups


SENTENCES = [
    ["Ada", "met", "Bob", "in", "New-York", "."],
    ["Zoë"],
    ["a", "cat", "and", "a", "dog", ",", "unseen", "日本", "\u200b"],  # a word without a piece in some
    ["McDonald's", "!"],
]
each_encoder = first_fast("kind", {name: name for name in KINDS}, {"bert", "roberta"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Encoders with their tokenizers."""
    root = tmp_path_factory.mktemp("encoders")
    for name in KINDS:
        save_encoder(root / name, name, [" ".join(words) for words in SENTENCES])
    return root


def words_of(folder, **options):
    """A tokenizer of words that cuts texts for the encoder, too."""
    given = {"characters": True, "word_shapes": True, "is_split_into_words": True, "show_progress": False}
    given |= {"encoder_tokenizer": AutoTokenizer.from_pretrained(folder)}
    return LSTMTokenizer.train_from_iterator(SENTENCES[:2], "word", **(given | options))


def build(folder, tokenizer, family=LSTM, head="ForTokenClassification", **fields):
    """A model that reads the encoder, characters and shapes, but words only if told so."""
    sizes = {name: getattr(tokenizer, name) for name in ("char_vocab_size", "shape_vocab_size")}
    labels = {} if "id2label" in fields else {"num_labels": 3}
    fields = {"embedding_size": 0, "encoder_stride": 4} | labels | sizes | fields
    config = family.config(vocab_size=len(tokenizer), **fields)
    torch.manual_seed(1)
    return family.build(head).from_encoder_pretrained(folder, config).eval()


def encode(tokenizer, sentences=SENTENCES, **options):
    return tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt", **options)


def read(model, inputs) -> torch.Tensor:
    """The features (B, T, F) that a model reads of a batch."""
    return model.base_model.piece_encoder(inputs["encoder_ids"], inputs["encoder_spans"], inputs["input_ids"].shape)


def slow_features(folder, words, pooling, layers) -> torch.Tensor:
    """The pieces that have a character of a word, told by the offsets of transformers' own tokenizer."""
    encoder, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(" ".join(words), return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    outputs = encoder(encoded["input_ids"], attention_mask=encoded["attention_mask"], output_hidden_states=True)
    states = outputs.last_hidden_state[0] if layers == "last" else torch.stack(outputs.hidden_states).mean(0)[0]
    features, start = [], 0
    for word in words:
        end = start + len(word)
        pieces = [states[i] for i, (a, b) in enumerate(offsets) if max(a, start) < min(b, end)]
        pooled = {
            "first": lambda rows: rows[0],
            "last": lambda rows: rows[-1],
            "mean": lambda rows: sum(rows) / len(rows),
        }
        features.append(pooled[pooling](pieces) if pieces else torch.zeros(states.shape[1]))
        start = end + 1
    return torch.stack(features)


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
@pytest.mark.parametrize("layers", ["last", "mix"])
@each_encoder
def test_what_is_read_of_a_word_is_what_the_encoder_says_of_its_pieces(kind, layers, pooling, folders):
    tokenizer = words_of(folders / kind)
    model = build(folders / kind, tokenizer, encoder_pooling=pooling, encoder_layers=layers)
    inputs = encode(tokenizer)
    for row, words, mask in zip(read(model, inputs), SENTENCES, inputs["attention_mask"].bool(), strict=True):
        assert_close(row[mask], slow_features(folders / kind, words, pooling, layers)[: mask.sum()])
        assert not row[~mask].any()


@each_encoder
def test_raw_text_has_the_pieces_of_its_words(kind, folders):
    tokenizer = words_of(folders / kind)
    words = ["Ada", "met", "Bob"]
    apart, whole = tokenizer([words], is_split_into_words=True), tokenizer(["Ada  met\n Bob "])
    for name in ("encoder_ids", "encoder_spans"):
        assert apart[name] == whole[name]


@pytest.mark.parametrize("side", ["left", "right"])
@each_encoder
def test_batch_mates_and_padding_change_nothing(kind, side, folders):
    tokenizer = words_of(folders / kind)
    model, inputs = build(folders / kind, tokenizer, encoder_pooling="mean"), None
    inputs = encode(tokenizer, padding_side=side)
    logits = model(**inputs).logits
    for i, words in enumerate(SENTENCES):
        alone = model(**encode(tokenizer, [words])).logits[0]
        assert_close(logits[i][inputs["attention_mask"][i].bool()], alone)
    moved = inputs | {
        "encoder_ids": torch.stack([row[(row != -1).argsort(stable=True)] for row in inputs["encoder_ids"]])
    }
    assert_close(model(**moved).logits, logits)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_text_without_a_piece_and_without_special_ids(kind, folders):
    tokenizer = words_of(folders / kind)
    model = build(folders / kind, tokenizer, encoder_special_ids=[[], []])
    texts = [[], ["Ada"]]
    for sentences in (texts, texts[:1]):
        inputs = encode(tokenizer, sentences)
        assert not inputs["encoder_spans"][0].any()
        assert not read(model, inputs)[0].any()
    alone = read(model, encode(tokenizer, texts[1:]))
    assert_close(read(model, encode(tokenizer, texts))[1], alone[0])


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_long_texts_are_read_in_windows(kind, folders):
    """Each piece is taken from the window in which it is farther from an end, found here piece by piece."""
    tokenizer = words_of(folders / kind)
    model = build(folders / kind, tokenizer, encoder_max_length=9, encoder_stride=3)
    reader, (before, behind) = model.base_model.piece_encoder, tokenizer.encoder_special_ids
    room = 9 - len(before) - len(behind)
    assert reader.room == room
    ids = torch.full((4, 23), -1)
    for row, length in zip(ids, (23, 7, 8, 0), strict=True):
        row[:length] = torch.randint(5, reader.vocab_size, (length,))
    states = reader.read(ids)
    for row, found, length in zip(ids, states, (23, 7, 8, 0), strict=True):
        windows = [(0, min(room, length))]
        while windows[-1][1] < length:
            start = windows[-1][0] + room - 3
            windows.append((start, min(start + room, length)))
        for place in range(length):
            # Where the text itself ends, no context is missing.
            far = [
                min(place - a if a else room, b - 1 - place if b < length else room) if a <= place < b else -1
                for a, b in windows
            ]
            a, b = windows[max(range(len(windows)), key=far.__getitem__)]
            text = torch.tensor([[*before, *row[a:b].tolist(), *behind]])
            wanted = reader.encoder(text, attention_mask=torch.ones_like(text)).last_hidden_state
            assert_close(found[place], wanted[0, len(before) + place - a])


def test_windows_of_an_encoder_with_little_room(folders):
    """As of one for sentences, whose tokenizer says 128: no field has to be set."""
    config = LSTM.config(vocab_size=31, embedding_size=0)
    reader = LSTM.head("ForTokenClassification").from_encoder_pretrained(folders / "bert", config).model.piece_encoder
    assert (reader.room, reader.stride) == (38, 19)
    config = LSTM.config(encoder={"model_type": "bert"}, encoder_special_ids=[[1], [2]])
    assert (config.encoder_window, config.encoder_overlap) == (510, 128)


def test_windows_of_one_text_do_not_depend_on_another():
    ids, lengths = torch.arange(40).view(2, 20), torch.tensor([20, 5])
    both = Windows.of(ids, lengths, 8, 2)
    alone = [Windows.of(ids[i : i + 1, :length], lengths[i : i + 1], 8, 2) for i, length in ((0, 20), (1, 5))]
    assert both.lengths.tolist() == [length for one in alone for length in one.lengths.tolist()]
    states = both.ids[..., None].float()
    assert both.joined(states)[0, :, 0].tolist() == list(range(20))
    assert both.joined(states)[1, :5, 0].tolist() == list(range(20, 25))


@each_family
def test_a_folder_has_all_of_it(family, folders, tmp_path):
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, family, embedding_size=4, use_crf=True, encoder_layers="mix")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, again = (
        AutoModelForTokenClassification.from_pretrained(tmp_path).eval(),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    inputs = encode(again)
    assert {name: value.tolist() for name, value in inputs.items()} == {
        name: value.tolist() for name, value in encode(tokenizer).items()
    }
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    encoder = AutoModel.from_pretrained(folders / "bert").state_dict()
    for name, tensor in model.base_model.piece_encoder.encoder.state_dict().items():
        assert torch.equal(tensor, encoder[name])
    assert again.encoder_special_ids == tokenizer.encoder_special_ids == model.config.encoder_special_ids


def test_every_weight_is_trained(folders):
    """A layer that nothing reads would stop distributed training."""
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, encoder_layers="mix").train()
    inputs = encode(tokenizer)
    model(**inputs, labels=torch.ones_like(inputs["input_ids"])).loss.backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []


def test_frozen_encoders_are_remembered(folders):
    tokenizer = words_of(folders / "roberta")
    model = build(folders / "roberta", tokenizer, train_encoder=False, encoder_layers="mix", encoder_pooling="mean")
    model.train()
    reader, inputs, calls = model.base_model.piece_encoder, encode(tokenizer), []
    assert not any(each.requires_grad for each in reader.encoder.parameters())
    assert all(each.requires_grad for each in reader.mix.parameters())
    assert not reader.encoder.training
    expected = read(model, inputs)
    reader.encoder.register_forward_hook(lambda *given: calls.append(len(given[2].last_hidden_state)))
    reader.remember()
    for _ in range(3):
        assert_close(read(model, inputs), expected)
    one = encode(tokenizer, SENTENCES[2:3])
    assert_close(read(model, one)[0], expected[2][: one["input_ids"].shape[1]])
    assert calls == [len(SENTENCES)]
    with pytest.raises(ValueError, match="`train_encoder` is True"):
        build(folders / "roberta", tokenizer).base_model.piece_encoder.remember()


@pytest.mark.parametrize("layers", ["last", "mix"])
def test_what_is_remembered_may_lie_on_disk(layers, folders, tmp_path):
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, train_encoder=False, encoder_layers=layers)
    sentences = [*SENTENCES, ["\u200b"]]  # and one without any piece
    reader, inputs, calls = model.base_model.piece_encoder, encode(tokenizer, sentences), []
    expected = read(model, inputs)
    reader.encoder.register_forward_hook(lambda *given: calls.append(len(given[2].last_hidden_state)))
    with pytest.raises(ValueError, match=r"`folder` is .*nowhere., which is no folder"):
        reader.remember(folder=tmp_path / "nowhere")
    reader.remember(folder=tmp_path)
    for order in ([0, 1, 2, 3, 4], [3, 0, 4, 2, 1], [1, 1, 2, 0, 4]):
        again = encode(tokenizer, [sentences[i] for i in order])
        for row, i in zip(read(model, again), order, strict=True):
            assert_close(row[: len(sentences[i])], expected[i][: len(sentences[i])])
    assert calls == [len(sentences)]
    assert all(isinstance(kept, tuple) for kept in reader.memory.texts.values())  # places, no numbers
    copied = copy.deepcopy(model).base_model.piece_encoder  # which has a file of its own
    assert copied.memory.texts == {} and copied.memory.file is not reader.memory.file
    with torch.no_grad():
        reader.encoder.get_input_embeddings().weight.mul_(2)
    changed = read(model, inputs)
    assert not torch.allclose(changed, expected) and len(calls) == 2
    reader.remember(0)
    assert_close(read(model, inputs), changed)


def test_capitals_of_an_uncased_encoder_are_seen(folders):
    tokenizer = words_of(folders / "bert")
    low, high = tokenizer(["new-york"]), tokenizer(["New-York"])
    assert low["encoder_ids"] == high["encoder_ids"]
    assert low["shape_ids"] != high["shape_ids"] and low["char_ids"] != high["char_ids"]


def test_a_pipeline_finds_words(folders, tmp_path):
    tokenizer = words_of(folders / "bert")
    labels = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}
    model = build(folders / "bert", tokenizer, use_crf=True, **labels)
    text = "Ada met  McDonald's in New York."
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = pipeline("token-classification", str(tmp_path), ignore_labels=[])(text)
    inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = inputs.pop("offset_mapping")[0].tolist()
    assert [[each["start"], each["end"]] for each in found] == offsets
    best = model(**inputs).logits[0].argmax(-1).tolist()
    assert [each["entity"] for each in found] == [labels["id2label"][i] for i in best]


def test_it_trains(folders, tmp_path):
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, use_crf=True)
    rows = [
        {**tokenizer(words, is_split_into_words=True), "labels": [i % 3 for i in range(len(words))]}
        for words in SENTENCES[:2]
    ] * 4
    before = copy.deepcopy(model.state_dict())
    trainer = LengthBatchingTrainer(
        model,
        TrainingArguments(tmp_path, num_train_epochs=2, **PLAIN_TRAINING),
        max_tokens=20,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        train_dataset=rows,
    )
    trainer.train()
    name = "model.piece_encoder.encoder.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(model.state_dict()[name], before[name])


REFUSED = {
    "missing": ({"encoder_ids": None}, "`encoder_ids` are missing.*`encoder_tokenizer`"),
    "spans missing": ({"encoder_spans": None}, "`encoder_spans` are missing"),
    "unknown": ({"encoder_ids": torch.full((1, 9), 10_000)}, "`encoder_ids` holds ids from 10000"),
    "places": ({"encoder_spans": torch.full((1, 6, 2), 50)}, "`encoder_spans` holds places from 50"),
    "shape": ({"encoder_spans": torch.ones(1, 2, 2, dtype=torch.long)}, r"`encoder_spans` has shape \(1, 2, 2\)"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_inputs_that_do_not_fit(change, message, folders):
    tokenizer = words_of(folders / "bert")
    model, inputs = build(folders / "bert", tokenizer), encode(tokenizer, SENTENCES[:1])
    with pytest.raises(ValueError, match=message):
        model(**(dict(inputs) | change))


def test_a_model_without_an_encoder_refuses_pieces(folders):
    tokenizer = words_of(folders / "bert")
    model = LSTM.build("ForTokenClassification", vocab_size=len(tokenizer))
    with pytest.raises(ValueError, match="`encoder_ids` were given, but the model has no `encoder`"):
        model(**{name: value for name, value in encode(tokenizer).items() if name[:4] not in ("char", "shap")})


BERT = {"encoder": {"model_type": "bert"}}
WRONG = {
    "no kind": ({"encoder": {"hidden_size": 4}}, "`encoder` must be a configuration"),
    "unknown kind": ({"encoder": {"model_type": "nothing"}}, "`model_type='nothing'` of `encoder`"),
    "no text": ({"encoder": {"model_type": "vit"}}, "no encoder of text"),
    "a decoder of its own": ({"encoder": {"model_type": "bart"}}, "no encoder"),
    "stride": (
        {"encoder": {"model_type": "bert"}, "encoder_max_length": 9, "encoder_stride": 9},
        "`encoder_stride=9`",
    ),
    "neighbours": (
        BERT | {"lm_loss_coef": 0.1, "num_hidden_layers": 1},
        "which it has seen with `encoder=...`. Set",
    ),
    "special": (BERT | {"encoder_special_ids": [[1]]}, "must be two lists"),
}


@pytest.mark.parametrize(("fields", "message"), WRONG.values(), ids=WRONG)
def test_configurations_that_cannot_work(fields, message):
    with pytest.raises(ValueError, match=message):
        LSTM.config(**fields)


def test_nothing_to_read():
    with pytest.raises(ValueError, match="`embedding_size=0` leaves nothing to read"):
        LSTMForTokenClassification(LSTM.config(embedding_size=0))


def test_language_models_refuse_an_encoder():
    with pytest.raises(ValueError, match="features of whole words"):
        LSTM.build("ForCausalLM", encoder={"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2})


def test_what_cuts_for_an_encoder_is_a_tokenizer():
    with pytest.raises(ValueError, match="`encoder_tokenizer` is 'bert'"):
        LSTMTokenizer.train_from_iterator(SENTENCES, "word", encoder_tokenizer="bert")


@each_encoder
def test_learning_rates_fall_from_layer_to_layer(kind, folders):
    tokenizer = words_of(folders / kind)
    model = build(folders / kind, tokenizer, encoder_layers="mix")
    groups = encoder_parameter_groups(model, 1.0, 0.1, layer_decay=0.5, weight_decay=0.01)
    rates = {id(each): group["lr"] for group in groups for each in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in groups) == len([*model.parameters()])
    encoder = model.base_model.piece_encoder.encoder
    own = {id(each) for each in encoder.parameters()}
    assert {rates[id(each)] for each in model.parameters() if id(each) not in own} == {1.0}
    embeddings = encoder.get_input_embeddings().weight
    assert rates[id(embeddings)] == 0.025
    layers = next(each for each in encoder.modules() if isinstance(each, torch.nn.ModuleList) and len(each) == 2)
    for layer, rate in zip(layers, (0.05, 0.1), strict=True):
        assert {rates[id(each)] for each in layer.parameters()} == {rate}
    for group in groups:
        assert group["weight_decay"] in (0.0, 0.01)


def test_layers_of_an_encoder_join_one_after_another(folders):
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer)
    groups = layer_groups(model)
    kinds = [{name.split(".")[1] if name.startswith("model.") else "head" for name in group} for group in groups]
    assert kinds[:3] == [{"piece_encoder"}] * 3  # its embeddings and two layers
    assert kinds[3] == {"char_encoder", "embed_shapes"} and kinds[-1] == {"head"}
    assert sum(map(len, groups)) == len([*model.parameters()])


def test_what_an_encoder_trainer_refuses(folders):
    tokenizer = words_of(folders / "bert")
    with pytest.raises(ValueError, match="`layer_decay` is 0"):
        encoder_parameter_groups(build(folders / "bert", tokenizer), 1.0, 0.1, layer_decay=0)
    with pytest.raises(ValueError, match="`model` reads no encoder"):
        encoder_parameter_groups(LSTM.build("ForTokenClassification"), 1.0, 0.1)


def test_a_trainer_with_two_rates(folders, tmp_path):
    model = build(folders / "bert", words_of(folders / "bert"), train_encoder=False)
    trainer = EncoderTrainer(model, TrainingArguments(tmp_path, **PLAIN_TRAINING), encoder_learning_rate=0.01)
    assert {group["lr"] for group in trainer.create_optimizer().param_groups} == {0.1}  # a frozen one has none
    model = build(folders / "bert", words_of(folders / "bert"))
    trainer = EncoderTrainer(model, TrainingArguments(tmp_path, **PLAIN_TRAINING), encoder_learning_rate=0.01)
    assert {group["lr"] for group in trainer.create_optimizer().param_groups} == {0.1, 0.01}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_texts_are_classified_too(kind, folders, tmp_path):
    tokenizer = words_of(folders / kind, is_split_into_words=None)
    model = build(folders / kind, tokenizer, GRU, "ForSequenceClassification", bidirectional=True, ngram_buckets=64)
    texts = [" ".join(words) for words in SENTENCES]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    alone = [model(**tokenizer(text, return_tensors="pt")).logits for text in texts]
    assert_close(model(**inputs).logits, torch.cat(alone))


def test_adapters_of_peft_train_the_encoder(folders):
    peft = pytest.importorskip("peft")
    model = build(folders / "bert", words_of(folders / "bert"), use_crf=True)
    config = peft.LoraConfig(target_modules=["query", "value"], task_type="TOKEN_CLS")
    adapted = peft.get_peft_model(model, config)
    trained = {name for name, each in adapted.named_parameters() if each.requires_grad}
    assert any("lora_A" in name and "piece_encoder" in name for name in trained)
    assert any("classifier" in name for name in trained) and not any("layers.0.weight_ih" in name for name in trained)


def test_what_stands_around_a_text_of_an_unknown_letter():
    """A tokenizer of another script gives nothing for "a"."""
    ids = {each: i for i, each in enumerate(["[PAD]", "[CLS]", "[SEP]", "日"])}
    backend = Tokenizer(models.BPE(vocab=ids, merges=[]))
    assert special_ids(backend) == [[], []]
    around = [("[CLS]", 1), ("[SEP]", 2)]
    for single, expected in {"[CLS] $A [SEP]": [[1], [2]], "$A [SEP] [CLS]": [[], [2, 1]]}.items():
        backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=around)
        assert special_ids(backend) == expected


def test_pieces_whose_places_go_back():
    """As behind an added token of RoBERTa's tokenizer, where an added space has a place too far on."""
    places = [(0, 0), (0, 1), (1, 2), (1, 2), (2, 8), (9, 9), (8, 9)]
    assert _pieces_of(places, [[1, 1], [2, 2], [3, 8], [9, 9], [0, 0]])[:3] == [[2, 2], [3, 4], [5, 5]]
    assert _pieces_of(places, [[9, 9]])[0][1] == 7


@pytest.mark.parametrize("pad, longest", [(0, 40), (1, 38), (3, 36)])
def test_positions_behind_the_id_of_padding(pad, longest):
    """As of RoBERTa, in Japanese with padding 3: a window of all positions is read."""
    fields = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    kind = RobertaConfig if pad else BertConfig
    encoder = kind(vocab_size=30, max_position_embeddings=40, pad_token_id=pad, **fields)
    model = LSTM.build("ForTokenClassification", encoder=encoder, num_labels=2)
    reader = model.base_model.piece_encoder
    assert reader.room == longest
    assert reader.read(torch.full((1, 60), 9)).isfinite().all()


def test_an_encoder_without_a_limit():
    config = LSTM.config(encoder={"model_type": "xlnet"}, encoder_special_ids=[[], [4, 3]])
    assert config.encoder_window > 400


def test_a_disk_that_is_full(folders, tmp_path, monkeypatch):
    """The error names the folder, and what was kept before is still right."""
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, train_encoder=False)
    reader, inputs = model.base_model.piece_encoder, encode(tokenizer)
    expected = read(model, inputs)
    reader.remember(folder=tmp_path)
    file = reader.memory.file

    class Full:
        def __getattr__(self, name):
            return getattr(file, name)

        def write(self, values):
            raise OSError(28, "No space left on device")

    read(model, encode(tokenizer, SENTENCES[:1]))
    reader.memory.file = Full()
    with pytest.raises(OSError, match=f"`folder` {tmp_path}: .*No space left.*`max_tokens`"):
        read(model, inputs)
    reader.memory.file = file
    for _ in range(2):
        assert_close(read(model, inputs), expected)


def test_no_words_to_resize(folders):
    model = build(folders / "bert", words_of(folders / "bert"))
    for part in (model, model.base_model):
        with pytest.raises(ValueError, match="`embedding_size` 0"):
            part.resize_token_embeddings(50)


def test_an_encoder_in_a_subfolder(folders):
    """Whatever says where an encoder lies says it of its tokenizer, too."""
    tokenizer = words_of(folders / "bert", characters=False, word_shapes=False)
    config = LSTM.config(vocab_size=len(tokenizer), embedding_size=0, num_labels=3)
    torch.manual_seed(1)
    expected = LSTMForTokenClassification.from_encoder_pretrained(folders / "bert", config)
    torch.manual_seed(1)
    found = LSTMForTokenClassification.from_encoder_pretrained(folders, config, subfolder="bert")
    inputs = encode(tokenizer)
    assert torch.equal(found.eval()(**inputs).logits, expected.eval()(**inputs).logits)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_encoder", False),
        ("encoder_learning_rate", 1e-3),
        ("layer_decay", 0.9),
        ("encoder_pooling", "mean"),
        ("encoder_layers", "mix"),
        ("encoder_dropout", 0.1),
    ],
)
def test_options_of_the_command_line_that_need_an_encoder(name, value):
    with pytest.raises(ValueError, match=f"`{name}` is {value!r} without an `encoder`"):
        EncoderArguments(**{name: value})
    assert getattr(EncoderArguments(encoder="bert", **{name: value}), name) == value


def test_a_classifier_begins_with_a_language_model_or_with_an_encoder():
    with pytest.raises(ValueError, match="`encoder` is 'bert', which does not go with `pretrained_model='lm'`"):
        ClassifierArguments(pretrained_model="lm").trainer(EncoderArguments(encoder="bert"))


def test_what_a_configuration_refuses_is_refused_before_training(folders):
    with pytest.raises(ValueError, match=r"`lm_loss_coef=0.1` asks each direction .* seen with `encoder=...`"):
        build(folders / "bert", words_of(folders / "bert"), lm_loss_coef=0.1, num_hidden_layers=1)
