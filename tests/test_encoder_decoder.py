# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What an encoder-decoder promises: it is the loop of its equations, whatever stands at padding, in a batch or in pieces.
"""

import itertools

import pytest
import torch
import transformers
from families import (
    ADAPTIVE,
    FAMILIES,
    GRU,
    LSTM,
    MASKS,
    MIXTURE,
    RNN,
    SPECIAL,
    UNTIED_ADAPTIVE,
    assert_close,
    encoder_decoder,
    first_fast,
    random_ids,
    states,
)
from reference import run_encoder_decoder

from hf_lstm import LSTMConfig, RecurrentEncoderDecoderForConditionalGeneration
from hf_lstm.models.attention import ATTENTIONS
from hf_lstm.models.cache import RecurrentCache


NORMED = {"num_hidden_layers": 3, "residual_connections": True, "layer_norm": True}
VARIANTS = {
    "lstm": {},
    "fed": {"encoder": GRU, "attention": "additive", "num_attention_heads": 2, "input_feeding": True},
    "rnn, norm": {"encoder": RNN, "target": NORMED, "attention": "general", "bridge": "none"},
    "1 layer, fed": {
        "target": {"num_hidden_layers": 1, "projection_size": 4},
        "input_feeding": True,
        "bridge": "mean",
    },
    "mixed": {
        "encoder": GRU,
        "decoder": LSTM,
        "source": {"num_hidden_layers": 2},
        "target": {"hidden_sizes": [6, 4, 8], "hidden_size": 8, "num_hidden_layers": 3, "tie_word_embeddings": False},
        "num_attention_heads": 2,
        "attention_size": 4,
    },
    "shared": {
        "source": {"vocab_size": 31, "embedding_size": 7, "bidirectional": False},
        "share_encoder_decoder_embeddings": True,
        "attention": "additive",
    },
}
LAYERS = {1: {"num_hidden_layers": 1}, 2: {}, 3: NORMED}
ALL = {
    f"{family} {attention} {heads} {'fed' if fed else 'whole'} {bridge} {layers}": {
        "encoder": family,
        "target": LAYERS[layers],
        "attention": attention,
        "num_attention_heads": heads,
        "input_feeding": fed,
        "bridge": bridge,
    }
    for family, attention, heads, fed, bridge, layers in itertools.product(
        FAMILIES, ATTENTIONS, (1, 2), (False, True), ("final", "mean", "none"), LAYERS
    )
}
each_variant = pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
first_variants = first_fast("fields", VARIANTS, 2)
MASKED = {name: torch.tensor(mask) for name, mask in MASKS.items()}
# Of source and target; each kind of padding on each side.
PAIRS = {"none": (None, None)} | {
    f"{a}, {b}": (MASKED[a], MASKED[b]) for a, b in zip(MASKED, [*MASKED][1:] + [*MASKED][:1], strict=True)
}


def problem(pair=(None, None), rows=3):
    """Tokens of sources, their mask, and labels, -100 at padding."""
    source, labels = torch.randint(4, 23, (rows, 7)), torch.randint(4, 31, (rows, 7))
    source_mask, target_mask = pair
    return source, source_mask, labels if target_mask is None else labels.masked_fill(target_mask == 0, -100)


def each_alone(source, mask, labels):
    """Of each row the real tokens of the source, what the decoder reads, and the labels."""
    for row in range(len(source)):
        words = source[row] if mask is None else source[row][mask[row].bool()]
        real = labels[row][labels[row] != -100]
        yield words, torch.cat([real.new_tensor([SPECIAL["bos_token_id"]]), real[:-1]])[: len(real)], real


def slow_loss(model, source, mask, labels):
    """The mean over all labels, by the loop."""
    total = 0.0
    for words, ids, real in each_alone(source, mask, labels):
        if len(real):
            log_p = run_encoder_decoder(model, words, ids)[0].log_softmax(-1)
            total = total - log_p[torch.arange(len(real)), real].sum()
    return total / (labels != -100).sum()


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]


def assert_is_the_loop(fields, pair):
    model = encoder_decoder(**fields).double()
    source, mask, labels = problem(pair)
    outputs = model(source, attention_mask=mask, labels=labels, output_attentions=True)
    (weights,) = outputs.cross_attentions
    for row, (words, ids, real) in enumerate(each_alone(source, mask, labels)):
        if not len(real):
            continue
        logits, seen = run_encoder_decoder(model, words, ids)
        there = labels[row] != -100
        assert_close(outputs.logits[row][there], logits, 1e-9)
        columns = torch.ones(7, dtype=torch.bool) if mask is None else mask[row].bool()
        assert_close(weights[row][:, there][..., columns], seen, 1e-9)
        assert not weights[row][..., ~columns].any()
    expected = slow_loss(model, source, mask, labels)
    wanted = gradients(model, expected)
    assert_close(outputs.loss, expected, 1e-9)
    assert_close(gradients(model, outputs.loss), wanted, 1e-9)
    model.train()  # without logits, and in kernels for training
    loss = model(source, attention_mask=mask, labels=labels).loss
    assert_close(loss, expected, 1e-9)
    assert_close(gradients(model, loss), wanted, 1e-9)


@first_fast("pair", PAIRS, {"none", "holes, empty row"})
@each_variant
def test_equals_a_loop_over_single_pairs_without_padding(fields, pair):
    assert_is_the_loop(fields, pair)


@pytest.mark.slow
@pytest.mark.parametrize("fields", ALL.values(), ids=ALL)
def test_each_combination_equals_the_loop(fields):
    assert_is_the_loop(fields, PAIRS["left, right"])
    assert_is_the_loop(fields, PAIRS["holes, empty row"])


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_without_attention_it_is_the_network_of_torch(family):
    """Where nothing reads the context, what is left is a stack of torch's own layers."""
    model = encoder_decoder(family, bridge="none")
    decoder, config = model.decoder, model.config.decoder
    theirs = family.torch_class(7, 6, num_layers=2, batch_first=True)
    for i, layer in enumerate(decoder.layers):
        given = {name: getattr(theirs, name.replace("_l0", f"_l{i}")) for name in layer.state_dict()}
        if i:
            given["weight_ih_l0"] = torch.cat([given["weight_ih_l0"], torch.zeros(len(given["weight_ih_l0"]), 8)], 1)
        layer.load_state_dict(given)
    with torch.no_grad():
        decoder.readout.weight[:, config.output_size :] = 0
    source, ids = random_ids(3, 5, 23), random_ids(3, 6)
    hidden = theirs(decoder.embed_tokens(ids))[0]
    expected = model.lm_head((hidden @ decoder.readout.weight[:, :6].T).tanh())
    assert_close(model(source, decoder_input_ids=ids).logits, expected)


@each_variant
def test_what_stands_at_padding_does_not_matter(fields):
    """Not even NaN: neither for the outputs nor for the gradients."""
    model = encoder_decoder(**fields)
    source, mask, labels = problem(PAIRS["holes, empty row"])
    ids, target_mask = model._read_before(labels)
    results = []
    for filler in (0.0, float("nan")):
        given = []
        for table, tokens, real in (
            (model.get_input_embeddings(), source, mask.bool()),
            (model.decoder.embed_tokens, ids, target_mask),
        ):
            given.append(table(tokens).detach().masked_fill(~real[..., None], filler).requires_grad_())
        outputs = model(
            inputs_embeds=given[0],
            attention_mask=mask,
            decoder_inputs_embeds=given[1],
            decoder_attention_mask=target_mask,
            labels=labels,
            output_hidden_states=True,
        )
        found = gradients(model, outputs.loss)
        tensors = [outputs.logits, outputs.loss, *outputs.decoder_hidden_states, *outputs.encoder_hidden_states]
        results.append([*tensors, *states(outputs), *(each.grad for each in given), *found])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert all(each.isfinite().all() for each in results[0])


@first_fast("sizes", {"1, 5, 1": [1, 5, 1], "3, 4": [3, 4], "each": [1] * 7})
@each_variant
def test_cached_equals_recomputed(fields, sizes):
    """In chunks with a state, whatever the mask, the outputs are those of the whole."""
    model = encoder_decoder(**fields)
    source, mask, _ = problem(PAIRS["left, right"])
    ids, target_mask = random_ids(), MASKED["holes"]
    encoded = model.get_encoder()(source, attention_mask=mask)
    whole = model(
        source,
        attention_mask=mask,
        decoder_input_ids=ids,
        decoder_attention_mask=target_mask,
        output_attentions=True,
        output_hidden_states=True,
    )
    for given in ({"encoder_outputs": encoded}, {"input_ids": source}):
        parts, cache = [], None
        for chunk, real in zip(ids.split(sizes, 1), target_mask.split(sizes, 1), strict=True):
            parts.append(
                model(
                    **given,
                    attention_mask=mask,
                    decoder_input_ids=chunk,
                    decoder_attention_mask=real,
                    cache=cache,
                    output_attentions=True,
                    output_hidden_states=True,
                )
            )
            cache = parts[-1].cache
        real = target_mask.bool()
        assert_close(torch.cat([part.logits for part in parts], 1)[real], whole.logits[real])
        weights = torch.cat([part.cross_attentions[0] for part in parts], 2).transpose(1, 2)
        assert_close(weights[real], whole.cross_attentions[0].transpose(1, 2)[real])
        for i, expected in enumerate(whole.decoder_hidden_states):
            assert_close(torch.cat([part.decoder_hidden_states[i] for part in parts], 1)[real], expected[real])
        assert_close(states(parts[-1]), states(whole))
        assert cache.get_seq_length() == 7


@first_variants
def test_the_state_does_not_depend_on_padding(fields):
    """Where padding is told by a mask, or by the id of padding alone."""
    model = encoder_decoder(**fields)
    source = random_ids(3, 5, 23)
    for mask in MASKED.values():
        ids = random_ids().masked_fill(mask == 0, 0)
        given = [{}, {"decoder_attention_mask": mask}]
        for outputs in (model(source, decoder_input_ids=ids, **more) for more in given):
            for row, real in enumerate(mask.bool()):
                if real.any():
                    alone = model(source[row : row + 1], decoder_input_ids=ids[row : row + 1, real])
                    assert_close(outputs.logits[row][real], alone.logits[0])
                    assert_close([s[row] for s in states(outputs)], [s[0] for s in states(alone)])
        labels = ids.masked_fill(mask == 0, -100)
        outputs = model(source, labels=labels)
        for row, (_, before, real) in enumerate(each_alone(source, None, labels)):
            if len(real):
                alone = model(source[row : row + 1], decoder_input_ids=before[None])
                assert_close([s[row] for s in states(outputs)], [s[0] for s in states(alone)])


def test_where_a_state_is_returned():
    for fields in ({}, {"input_feeding": True}):
        model = encoder_decoder(**fields)
        source, ids = random_ids(3, 5, 23), random_ids()
        assert model(source, decoder_input_ids=ids).cache.get_seq_length() == 7
        assert model(source, decoder_input_ids=ids, use_cache=False).cache is None
        model.train()
        assert model(source, decoder_input_ids=ids).cache is None
        cache = model(source, decoder_input_ids=ids, use_cache=True).cache
        assert model(source, decoder_input_ids=ids, cache=cache, use_cache=False).cache is None
        assert cache.get_seq_length() == 7  # asked for none: the given one stays where it was


def test_what_the_decoder_reads_before_each_label():
    model = encoder_decoder()
    x = -100
    labels = torch.tensor([[7, 8, 3, x, x], [x, x, 9, 6, 3], [x, 5, x, x, 3], [x, x, x, x, x]])
    expected = [[2, 7, 8, 0, 0], [0, 0, 2, 9, 6], [0, 2, 0, 0, 5], [0, 0, 0, 0, 0]]
    assert model.prepare_decoder_input_ids_from_labels(labels).tolist() == expected
    assert model.prepare_decoder_input_ids_from_labels(labels=labels[:1]).tolist() == expected[:1]
    model.config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="`decoder_start_token_id` of the configuration is None"):
        model(random_ids(4, 3, 23), labels=labels)


@pytest.mark.parametrize("side", ["left", "right"])
@first_variants
def test_batches_of_the_collator(fields, side):
    """`DataCollatorForSeq2Seq` pads sources and labels, on either side, and asks the model what its decoder reads."""
    from transformers import DataCollatorForSeq2Seq

    from hf_lstm import LSTMTokenizer

    tokenizer = LSTMTokenizer.train_from_iterator(["a b c d e f g h"], "word", show_progress=False)
    tokenizer.padding_side = side
    model = encoder_decoder(**fields)
    rows = [
        {"input_ids": random_ids(1, n, 23)[0].tolist(), "labels": random_ids(1, m)[0].tolist()}
        for n, m in ((5, 2), (3, 6), (1, 1))
    ]
    for row in rows:
        row["attention_mask"] = [1] * len(row["input_ids"])
    count = sum(len(row["labels"]) for row in rows)
    expected = 0.0
    for row in rows:
        alone = {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")}
        expected = expected + model(**alone).loss * len(row["labels"]) / count
    for given in (model, None):
        batch = DataCollatorForSeq2Seq(tokenizer, model=given)(rows)
        assert ("decoder_input_ids" in batch) is (given is not None)
        assert (batch["attention_mask"][2, 0] == 0).item() is (side == "left")
        assert_close(model(**batch).loss, expected)


@first_variants
def test_accumulated_gradients_equal_one_big_batch(fields):
    model = encoder_decoder(**fields)
    source, mask, labels = problem(PAIRS["left, right"])
    expected = gradients(model, model(source, attention_mask=mask, labels=labels).loss)
    count = (labels != -100).sum()
    losses = [
        model(a, attention_mask=b, labels=c, num_items_in_batch=count).loss
        for a, b, c in zip(source.split([1, 2]), mask.split([1, 2]), labels.split([1, 2]), strict=True)
    ]
    assert_close(gradients(model, sum(losses)), expected)


@pytest.mark.parametrize(("output_logits", "count"), [(True, 5), (None, None)], ids=str)
def test_a_batch_without_a_target(output_logits, count):
    for fields in VARIANTS.values():
        model = encoder_decoder(**fields, label_smoothing=0.1).train()
        source, mask, labels = problem(PAIRS["empty row, left"])
        options = {"num_items_in_batch": count, "output_logits": output_logits}
        loss = model(source, attention_mask=mask, labels=torch.full_like(labels, -100), **options).loss
        assert loss.item() == 0
        assert not any(gradient.any() for gradient in gradients(model, loss))


@pytest.mark.parametrize("output", [{}, MIXTURE, ADAPTIVE, UNTIED_ADAPTIVE, {"output_layer": "adaptive"}], ids=str)
def test_output_layers(output):
    """Each trains alike with logits and without, and grows with the vocabulary."""
    model = encoder_decoder(target=output).train()
    source, mask, labels = problem(PAIRS["left, right"])
    found = []
    for output_logits in (None, True):
        outputs = model(source, attention_mask=mask, labels=labels, output_logits=output_logits)
        assert (outputs.logits is None) == (output_logits is None)
        found.append([outputs.loss.detach(), *gradients(model, outputs.loss)])
    assert_close(*found)
    log_p = model(source, attention_mask=mask, labels=labels, output_logits=True).logits.log_softmax(-1)
    expected = -log_p.gather(2, labels.clamp(min=0)[..., None])[labels != -100].mean()
    assert_close(found[0][0], expected)


@first_variants
def test_logits_to_keep(fields):
    model = encoder_decoder(**fields)
    source, ids = random_ids(3, 5, 23), random_ids()
    logits = model(source, decoder_input_ids=ids).logits
    assert_close(model(source, decoder_input_ids=ids, logits_to_keep=2).logits, logits[:, -2:])
    assert_close(model(source, decoder_input_ids=ids, logits_to_keep=torch.tensor([0, 4])).logits, logits[:, [0, 4]])
    with pytest.raises(ValueError, match=r"`labels` has shape \(3, 7\), expected \(3, 2\)"):
        model(source, labels=ids, logits_to_keep=2)


def test_tuple_equals_dict():
    model = encoder_decoder()
    source, ids = random_ids(3, 5, 23), random_ids()
    options = {"decoder_input_ids": ids, "output_hidden_states": True, "output_attentions": True, "labels": ids}
    as_dict, as_tuple = model(source, **options), model(source, **options, return_dict=False)
    assert isinstance(as_tuple, tuple) and len(as_tuple) == len(as_dict.to_tuple()) == 8
    assert torch.equal(as_tuple[1], as_dict.logits)
    assert [h.shape for h in as_dict.decoder_hidden_states] == [(3, 7, 7), (3, 7, 6), (3, 7, 6)]
    assert [h.shape for h in as_dict.encoder_hidden_states] == [(3, 5, 5), (3, 5, 8)]
    assert [a.shape for a in as_dict.cross_attentions] == [(3, 1, 7, 5)]
    assert_close(as_dict.cross_attentions[0].sum(-1), torch.ones(3, 1, 7))


CHECKPOINTING = [None, {"use_reentrant": False}, {"use_reentrant": True}]


@each_variant
def test_gradient_checkpointing_changes_no_gradient(fields):
    model = encoder_decoder(**fields).train()
    source, mask, labels = problem(PAIRS["left, right"])
    found = []
    for checkpointing in CHECKPOINTING:
        if checkpointing:
            model.gradient_checkpointing_enable(checkpointing)
        found.append(gradients(model, model(source, attention_mask=mask, labels=labels).loss))
    assert_close(found[1], found[0])
    assert_close(found[2], found[0])
    assert all(gradient.any() for gradient in found[0])


@first_variants
def test_bf16_within_rounding(fields):
    model = encoder_decoder(**fields)
    source, mask, labels = problem(PAIRS["left, right"])
    ids, target_mask = model._read_before(labels)
    options = {"decoder_input_ids": ids, "decoder_attention_mask": target_mask, "attention_mask": mask}
    real, expected = labels != -100, model(source, **options).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = model(source, **options)
        step = model(source, attention_mask=mask, decoder_input_ids=ids[:, :1], cache=under_autocast.cache)
    assert states(step)[0].dtype == torch.bfloat16
    weights = model.bfloat16()(source, **options)
    assert weights.logits.dtype == torch.bfloat16
    for outputs in (under_autocast, weights):
        assert (outputs.logits - expected)[real].abs().max() < 0.08 * expected.abs().max()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.float().train()(source, attention_mask=mask, labels=labels).loss
    assert loss.dtype == torch.float32
    assert_close(loss, slow_loss(model, source, mask, labels), 0.1)


class Seen:
    """What the layers of a decoder read, over all steps, and what its output layer does."""

    def __init__(self, model):
        self.parts = {}
        for name, layer in (*enumerate(model.decoder.layers), ("readout", model.lm_head)):
            layer.register_forward_pre_hook(lambda module, inputs, name=name: self.keep(name, inputs[0]))

    def keep(self, name, inputs):
        self.parts.setdefault(name, []).append(inputs.detach())

    def zeros(self, name):
        return torch.cat(self.parts[name], 1) == 0


@pytest.mark.parametrize("variational", [True, False], ids=["one mask", "a mask for each step"])
@pytest.mark.parametrize("fed", [False, True], ids=["whole", "fed"])
def test_dropout(fed, variational):
    """Each rate acts in training alone; a variational one has one mask for a sequence, also step by step."""
    sizes = {"embedding_size": 50, "hidden_size": 50, "num_hidden_layers": 3, "variational_dropout": variational}
    where = {"input_dropout": 0, "hidden_dropout": 1, "output_dropout": "readout"}
    source, ids = random_ids(2, 5, 23), random_ids(2, 6)
    for rate, name in where.items():
        model = encoder_decoder(target=sizes | {rate: 0.5}, input_feeding=fed)
        again = [model(source, decoder_input_ids=ids).logits for _ in range(2)]
        assert torch.equal(*again)
        seen = Seen(model.train())
        model(source, decoder_input_ids=ids)
        zeros = seen.zeros(name)[:, 1:]  # what is fed is 0 before the first step
        assert 0.4 < zeros.float().mean() < 0.6
        assert (zeros == zeros[:, :1]).all().item() is variational
        assert not torch.equal(zeros[0], zeros[1])
        if name == 1:  # another mask at each layer
            assert not torch.equal(zeros[..., :50], seen.zeros(2)[:, 1:, :50])


def test_dropout_of_the_attention():
    model = encoder_decoder(attention_dropout=0.5)
    source, ids = random_ids(3, 40, 23), random_ids()
    options = {"decoder_input_ids": ids, "output_attentions": True}
    plain = model(source, **options).cross_attentions[0]
    dropped = model.train()(source, **options).cross_attentions[0]
    kept = dropped != 0
    assert 0.35 < kept.float().mean() < 0.65
    assert_close(dropped[kept], 2 * plain[kept])


def test_embedding_and_word_dropout_act_in_training():
    for name in ("embedding_dropout", "word_dropout"):
        model = encoder_decoder(target={name: 0.5})
        source, ids = random_ids(3, 5, 23), random_ids()
        assert torch.equal(*(model(source, decoder_input_ids=ids).logits for _ in range(2)))
        model.train()
        assert not torch.equal(*(model(source, decoder_input_ids=ids).logits for _ in range(2)))


# Label smoothing.


def test_label_smoothing_is_that_of_torch():
    model = encoder_decoder(label_smoothing=0.3)
    source, mask, labels = problem(PAIRS["left, right"])
    logits = model(source, attention_mask=mask, labels=labels).logits
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    smooth = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.3)
    assert_close(model(source, attention_mask=mask, labels=labels).loss, plain)  # in evaluation it is the plain one
    model.train()
    for output_logits in (None, True):
        assert_close(model(source, attention_mask=mask, labels=labels, output_logits=output_logits).loss, smooth)


def trained(tmp_path, fields, rows, resume=None, **arguments):
    """The parameters after one step of gradient descent by `Seq2SeqTrainer`."""
    from families import PLAIN_TRAINING
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

    from hf_lstm import LSTMTokenizer

    tokenizer = LSTMTokenizer.train_from_iterator(["a b c d e f g h"], "word", show_progress=False)
    transformers.set_seed(0)
    model = encoder_decoder(**fields)
    options = PLAIN_TRAINING | {"max_steps": 1, "per_device_train_batch_size": 4} | arguments
    trainer = Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(tmp_path, **options),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def pairs_of_unequal_length(vocab_size=23):
    lengths = ((5, 2), (3, 6), (1, 1), (7, 4))
    return [
        {"input_ids": random_ids(1, n, vocab_size)[0].tolist(), "labels": random_ids(1, m)[0].tolist()}
        for n, m in lengths
    ]


def test_label_smoothing_is_that_of_trainer(tmp_path):
    rows = pairs_of_unequal_length()
    for row in rows:
        row["attention_mask"] = [1] * len(row["input_ids"])
    ours = trained(tmp_path, {"label_smoothing": 0.2}, rows).model
    theirs = trained(tmp_path, {}, rows, label_smoothing_factor=0.2).model
    none = trained(tmp_path, {}, rows).model
    assert_close(list(ours.parameters()), list(theirs.parameters()))
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(ours.parameters(), none.parameters(), strict=True))


def test_trainer_accumulates_right_and_evaluates(tmp_path):
    rows = pairs_of_unequal_length()
    for row in rows:
        row["attention_mask"] = [1] * len(row["input_ids"])
    whole = trained(tmp_path, {}, rows).model
    trainer = trained(tmp_path, {}, rows, per_device_train_batch_size=1, gradient_accumulation_steps=4)
    assert_close(list(trainer.model.parameters()), list(whole.parameters()))
    model = trainer.model.eval()
    total = sum(model(**{k: torch.tensor([v]) for k, v in row.items()}).loss * len(row["labels"]) for row in rows)
    assert_close(torch.tensor(trainer.evaluate()["eval_loss"]), total.detach() / 13, 1e-4)
    trainer.args.predict_with_generate = True
    predictions = trainer.predict(rows, max_new_tokens=5, num_beams=2).predictions
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (7 - len(row["input_ids"])) for row in rows])
    source = torch.tensor([row["input_ids"] + [0] * (7 - len(row["input_ids"])) for row in rows])
    expected = model.generate(source, attention_mask=mask, max_new_tokens=5, num_beams=2)
    for row, want in zip(predictions, expected.tolist(), strict=True):
        assert row[: len(want)].tolist() == want


@pytest.mark.slow
@pytest.mark.parametrize("fed", [False, True], ids=["whole", "fed"])
def test_training_learns_and_resumes(fed, tmp_path):
    """From a checkpoint in the middle the same weights come out, and words are learned that turn the source round."""
    source = torch.randint(4, 12, (64, 5))
    rows = [{"input_ids": a.tolist(), "labels": [*a.flip(0).tolist(), 3]} for a in source]
    dropout = {"hidden_dropout": 0.1, "variational_dropout": True, "hidden_size": 32, "embedding_size": 32}
    fields = {"input_feeding": fed, "target": dropout | {"initializer": "orthogonal", "initializer_range": 0.2}}
    fields |= {"source": {"hidden_size": 16, "embedding_size": 16, "initializer": "orthogonal"}}
    arguments = {"learning_rate": 0.01, "optim": "adamw_torch", "save_strategy": "steps", "save_steps": 200}
    arguments |= {"per_device_train_batch_size": 16, "max_steps": 400}
    trainer = trained(tmp_path, fields, rows, **arguments)
    whole = [p.clone() for p in trainer.model.parameters()]
    written = trainer.model.eval().generate(source, max_new_tokens=6)
    assert (written[:, 1:6] == source.flip(1)).all(1).float().mean() > 0.9
    resumed = trained(tmp_path / "again", fields, rows, resume=str(tmp_path / "checkpoint-200"), **arguments)
    assert_close(list(resumed.model.parameters()), whole, 0)


# What goes in.


def test_rows_that_share_a_source():
    """B is a multiple of N: rows that follow each other read one source."""
    for fields in VARIANTS.values():
        model = encoder_decoder(**fields)
        source, mask, _ = problem(PAIRS["left, right"])
        ids = random_ids(6, 4)
        outputs = model(source, attention_mask=mask, decoder_input_ids=ids, output_attentions=True)
        repeated = model(source.repeat_interleave(2, 0), mask.repeat_interleave(2, 0), decoder_input_ids=ids)
        assert_close(outputs.logits, repeated.logits)
        assert outputs.cross_attentions[0].shape[0] == 6
        more = model(source, attention_mask=mask, decoder_input_ids=ids[:, :2], cache=outputs.cache)
        again = model(source, attention_mask=mask, decoder_input_ids=torch.cat([ids, ids[:, :2]], 1))
        assert_close(more.logits, again.logits[:, -2:])


@pytest.mark.parametrize("rows", [1, 2, 5])
@first_variants
def test_rows_that_fit_no_source_are_refused(fields, rows):
    model = encoder_decoder(**fields)
    with pytest.raises(ValueError, match=rf"{rows} rows.*3 sources"):
        model(random_ids(3, 5, 23), decoder_input_ids=random_ids(rows, 6))


@first_variants
def test_a_source_without_tokens(fields):
    """Text of no token, or of padding alone: the decoder is on its own."""
    model = encoder_decoder(**fields).double()
    ids = random_ids(2, 4)
    expected = torch.stack([run_encoder_decoder(model, [], row)[0] for row in ids])
    empty = model(torch.zeros(2, 0, dtype=torch.long), decoder_input_ids=ids)
    assert_close(empty.logits, expected, 1e-9)
    nothing = torch.zeros(2, 0, dtype=torch.long)
    assert_close(model(nothing, attention_mask=nothing, decoder_input_ids=ids).logits, expected, 1e-9)
    padding = torch.zeros(2, 5, dtype=torch.long)
    assert_close(model(padding, attention_mask=padding, decoder_input_ids=ids).logits, expected, 1e-9)
    loss = model.train()(padding, attention_mask=padding, labels=ids).loss
    assert all(gradient.isfinite().all() for gradient in gradients(model, loss))


def test_inputs_that_do_not_fit_are_refused():
    model = encoder_decoder()
    source, ids = random_ids(3, 5, 23), random_ids()
    cases = [
        ({"input_ids": source}, "`decoder_input_ids`"),
        ({"input_ids": source, "labels": ids + 30}, "`labels` holds"),
        ({"input_ids": source, "labels": ids.float()}, "`labels` must hold whole numbers"),
        ({"input_ids": source, "labels": ids[:, :5], "decoder_input_ids": ids}, "`labels` has shape"),
        ({"input_ids": source, "labels": ids[0]}, "`labels` has shape"),
        ({"input_ids": source, "decoder_input_ids": ids + 30}, "`decoder_input_ids` holds ids"),
        ({"input_ids": source, "decoder_input_ids": ids[0]}, "`decoder_input_ids` has shape"),
        ({"input_ids": source, "decoder_input_ids": ids[:, :0]}, "`decoder_input_ids` has shape"),
        ({"decoder_input_ids": ids}, "`input_ids` and `inputs_embeds`"),
        ({"input_ids": source + 30, "decoder_input_ids": ids}, "`input_ids` holds ids"),
        ({"input_ids": source, "attention_mask": torch.ones(3, 6), "decoder_input_ids": ids}, "`attention_mask`"),
        (
            {"input_ids": source, "attention_mask": torch.ones(3, 6).long(), "decoder_input_ids": ids},
            "`attention_mask`",
        ),
        (
            {"input_ids": source, "decoder_input_ids": ids, "decoder_attention_mask": torch.ones(3, 6).long()},
            "`decoder_attention_mask` has shape",
        ),
        ({"encoder_outputs": (torch.zeros(3, 5, 9),), "decoder_input_ids": ids}, "`encoder_outputs` has features"),
        (
            {"input_ids": source, "decoder_input_ids": ids, "cache": transformers.DynamicCache()},
            "`cache` is a DynamicCache",
        ),
        (
            {"input_ids": source, "decoder_input_ids": ids, "cache": RecurrentCache(model.config.decoder)},
            "`cache` is a RecurrentCache",
        ),
    ]
    for inputs, message in cases:
        with pytest.raises(ValueError, match=message):
            model(**inputs)
    with pytest.raises(TypeError, match="`pixel_values` is no argument"):
        model(source, decoder_input_ids=ids, pixel_values=torch.zeros(3, 3, 4, 4))
    other = encoder_decoder(GRU)
    with pytest.raises(ValueError, match="'gru'"):
        model(source, decoder_input_ids=ids, cache=other(source, decoder_input_ids=ids).cache)
    with pytest.raises(ValueError, match="batch of 2"):
        model(source[:2], decoder_input_ids=ids[:2], cache=model(source, decoder_input_ids=ids).cache)


@first_variants
def test_operations_on_the_state(fields, tmp_path):
    """Rows are taken, repeated, moved and written to a file, and the state goes on where it was."""
    model = encoder_decoder(**fields)
    source, mask, _ = problem(PAIRS["left, right"])
    ids, more = random_ids(3, 4), random_ids(3, 2)
    cache = model(source, mask, decoder_input_ids=ids).cache
    expected = model(source, mask, decoder_input_ids=torch.cat([ids, more], 1)).logits[:, -2:]

    def go_on(cache, rows=slice(None), repeats=1):
        tokens = more[rows].repeat_interleave(repeats, 0)
        return model(source[rows], mask[rows], decoder_input_ids=tokens, cache=cache).logits

    assert_close(go_on(cache.copy()), expected)
    taken = cache.copy()
    taken.batch_select_indices(torch.tensor([2, 0]))
    assert_close(go_on(taken, [2, 0]), expected[[2, 0]])
    reordered = cache.copy()
    reordered.reorder_cache(torch.tensor([1, 1, 0]))
    assert_close(go_on(reordered, [1, 1, 0]), expected[[1, 1, 0]])
    repeated = cache.copy()
    repeated.batch_repeat_interleave(2)
    assert_close(go_on(repeated, repeats=2), expected.repeat_interleave(2, 0))
    cache.save_file(tmp_path / "state.safetensors")
    assert_close(go_on(type(cache).load_file(tmp_path / "state.safetensors")), expected)
    detached = cache.copy().detach()
    assert not any(tensor.requires_grad for layer in detached.layers for tensor in layer.states)
    assert_close(go_on(detached), expected)
    recorded = cache.copy()
    recorded.activate_past_recording()
    go_on(recorded)
    recorded.crop(-2)
    assert_close(go_on(recorded), expected)
    assert cache.get_seq_length() == 4  # the copies went their own way
    cache.reset()
    assert_close(
        model(source, mask, decoder_input_ids=ids, cache=cache).cache.layers[0].states,
        list(states_of(model, source, mask, ids)),
    )


def states_of(model, source, mask, ids):
    return model(source, mask, decoder_input_ids=ids).cache.layers[0].states


def test_gradients_flow_through_a_state():
    """Two calls, the second from the state of the first, have the gradient of one."""
    for fields in VARIANTS.values():
        model = encoder_decoder(**fields).double().train()
        source, ids = random_ids(3, 5, 23), random_ids()
        expected = gradients(model, model(source, decoder_input_ids=ids).logits.square().sum())
        encoded = model.get_encoder()(source)
        first = model(encoder_outputs=encoded, decoder_input_ids=ids[:, :3], use_cache=True)
        second = model(encoder_outputs=encoded, decoder_input_ids=ids[:, 3:], cache=first.cache)
        found = gradients(model, first.logits.square().sum() + second.logits.square().sum())
        assert_close(found, expected, 1e-9)


def test_a_source_that_changes_is_read_anew():
    """The memory of a cache is that of its source: another one, or another mask, is not answered from it."""
    model = encoder_decoder()
    (one, two), ids = (random_ids(2, 5, 23) for _ in range(2)), random_ids(2, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2)
    first = model(one, decoder_input_ids=ids[:, :2])
    encoded = model.get_encoder()(one)
    for given in ({"input_ids": two}, {"input_ids": one, "attention_mask": mask}):
        fresh = first.cache.copy()
        fresh.memory = None
        again = model(**given, decoder_input_ids=ids[:, 2:], cache=first.cache.copy()).logits
        assert_close(again, model(**given, decoder_input_ids=ids[:, 2:], cache=fresh).logits, 0)
    with_mask = model(encoder_outputs=encoded, decoder_input_ids=ids[:, :2])
    fresh = with_mask.cache.copy()
    fresh.memory = None
    options = {"encoder_outputs": encoded, "attention_mask": mask, "decoder_input_ids": ids[:, 2:]}
    assert_close(model(**options, cache=with_mask.cache.copy()).logits, model(**options, cache=fresh).logits, 0)


# Embeddings.


def tied(model):
    tables = {"source": model.get_input_embeddings().weight, "target": model.decoder.embed_tokens.weight}
    tables["output"] = model.lm_head.weight
    names = [(a, b) for a, b in itertools.combinations(tables, 2) if tables[a] is tables[b]]
    return {frozenset(pair) for pair in names}


ALL_TIED = {frozenset(pair) for pair in itertools.combinations(("source", "target", "output"), 2)}
TYING = {
    "tied": ({}, {frozenset(("target", "output"))}),
    "untied": ({"tie_word_embeddings": False}, set()),
    "shared": (VARIANTS["shared"], ALL_TIED),
}


@first_fast("size", {"larger": 40, "smaller": 27})
@pytest.mark.parametrize(("fields", "names"), TYING.values(), ids=TYING)
def test_resizing_keeps_what_is_tied(fields, names, size, tmp_path):
    model = encoder_decoder(**fields)
    source, ids = random_ids(3, 5, 15), random_ids(vocab_size=15)
    before = model(source, decoder_input_ids=ids).logits
    assert tied(model) == names
    model.resize_token_embeddings(size)
    if "share_encoder_decoder_embeddings" in fields:
        with pytest.raises(ValueError, match="`new_num_tokens=9` would part the vocabularies"):
            model.resize_decoder_token_embeddings(9)
        target_size = size
    else:
        assert model.config.decoder.vocab_size == 31
        assert_close(model(source, decoder_input_ids=ids).logits, before)
        model.resize_decoder_token_embeddings(size + 1)
        target_size = size + 1
    assert tied(model) == names
    outputs = model(source, labels=ids)
    assert outputs.logits.shape[-1] == model.config.decoder.vocab_size == len(model.lm_head.weight) == target_size
    assert (
        len(model.lm_head.bias) == model.lm_head.out_features == target_size
        and model.config.encoder.vocab_size == size
    )
    assert outputs.loss.isfinite()
    after = model(source, decoder_input_ids=ids).logits
    assert_close(after[..., :27], before[..., :27])
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert tied(loaded) == names
    assert torch.equal(loaded(source, decoder_input_ids=ids).logits, after)
    with torch.no_grad():
        loaded.lm_head.weight += 1
    assert torch.equal(loaded.decoder.embed_tokens.weight, model.decoder.embed_tokens.weight) is not bool(names)


@pytest.mark.parametrize("output", [MIXTURE, ADAPTIVE, UNTIED_ADAPTIVE], ids=str)
def test_other_output_layers_are_not_resized(output):
    for fields in ({}, VARIANTS["shared"]):
        if output.get("tie_word_embeddings", True) or not fields:
            model = encoder_decoder(target=output, **fields)
            resize = model.resize_token_embeddings if fields else model.resize_decoder_token_embeddings
            with pytest.raises(ValueError, match=f"kind '{output['output_layer']}' cannot be resized"):
                resize(40)


def test_one_configuration_for_both_parts():
    """A configuration that was given for both is not changed for both when one vocabulary grows."""
    part = LSTMConfig(vocab_size=31, hidden_size=6, bidirectional=False, **SPECIAL)
    model = encoder_decoder(part, part)
    model.resize_token_embeddings(40)
    assert (model.config.encoder.vocab_size, model.config.decoder.vocab_size) == (40, 31)


# Initial weights.


def test_initial_weights():
    model = encoder_decoder(
        source={"hidden_size": 30, "initializer": "orthogonal"},
        target={"hidden_size": 40, "embedding_size": 40, "initializer": "orthogonal", "initializer_range": 0.2},
        attention="additive",
    )
    decoder = model.decoder
    for block in decoder.layers[1].weight_hh_l0.split(40):
        assert_close(block @ block.T, torch.eye(40))
    for linear in (decoder.readout, decoder.bridge, decoder.attention.key, decoder.attention.query):
        bound = (6 / sum(linear.weight.shape)) ** 0.5
        assert bound * 0.9 < linear.weight.abs().max() <= bound
        assert linear.bias is None or not linear.bias.any()
    assert 0.5 < decoder.attention.energy.std() * 40**0.5 < 1.5
    assert 0.17 < decoder.embed_tokens.weight[1:].std() < 0.23 and not decoder.embed_tokens.weight[0].any()
    assert not model.lm_head.bias.any()
    untied = encoder_decoder(target={"initializer_range": 0.2, "tie_word_embeddings": False})
    assert 0.15 < untied.lm_head.weight.std() < 0.25


def test_missing_weights_are_initialised(tmp_path):
    model = encoder_decoder(attention="additive")
    kept = {name: tensor for name, tensor in model.state_dict().items() if "attention" not in name}
    model.save_pretrained(tmp_path, state_dict=kept)
    loaded = RecurrentEncoderDecoderForConditionalGeneration.from_pretrained(tmp_path)
    attention = loaded.decoder.attention
    assert attention.energy.any() and attention.energy.abs().max() < 10 and attention.key.weight.any()
    assert torch.equal(loaded.decoder.readout.weight, model.decoder.readout.weight)


def test_meta_device():
    with torch.device("meta"):
        model = encoder_decoder(attention="additive")
    assert all(p.is_meta for p in model.parameters())
