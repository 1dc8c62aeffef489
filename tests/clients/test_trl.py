# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Supervised fine-tuning with trl, padded, packed and without padding."""

import pytest
import torch
from chats import CHATS, build_chat_model, run_snippet
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from hf_lstm import LSTMConfig, LSTMForCausalLM


PLAIN = {"learning_rate": 0.01, "logging_steps": 1, "per_device_train_batch_size": 6, "disable_tqdm": True}
PLAIN |= {"report_to": "none", "use_cpu": True, "bf16": False, "save_strategy": "no"}
DATA = Dataset.from_list([{"messages": chat} for chat in CHATS])


@pytest.fixture
def beginner(folder):
    """In place of the model in the folder, one that has learnt nothing yet."""
    model, tokenizer = build_chat_model(steps=1)
    for part in (model, tokenizer):
        part.save_pretrained("my_model")


def losses(trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def train(model, tokenizer, **options) -> SFTTrainer:
    arguments = SFTConfig("unused", **PLAIN | {"max_steps": 4} | options)
    trainer = SFTTrainer(model, arguments, train_dataset=DATA, processing_class=tokenizer)
    trainer.train()
    return trainer


def test_snippet(folder, beginner, record):
    trainer = run_snippet("trl")["trainer"]
    first, *_, last = losses(trainer)
    assert last < 0.7 * first
    model = AutoModelForCausalLM.from_pretrained("tuned", trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained("tuned", trust_remote_code=True)
    assert (folder / "tuned" / "modeling_lstm.py").is_file()
    ids = torch.tensor([tokenizer.apply_chat_template(CHATS[0])["input_ids"]])
    trained = trainer.model.eval()
    del trained.forward  # the one that trl put there
    assert torch.equal(model(ids).logits, trained(ids).logits)
    record("trl", f"SFT, losses: {', '.join(f'{loss:.3f}' for loss in losses(trainer))}")


def test_loss_is_that_of_the_answers(folder, beginner):
    """The first loss, against one computed from the labels by hand."""
    tokenizer = AutoTokenizer.from_pretrained("my_model", trust_remote_code=True)
    model = LSTMForCausalLM.from_pretrained("my_model")
    options = {"return_dict": True, "return_assistant_tokens_mask": True}
    rows = [tokenizer.apply_chat_template(chat, **options) for chat in CHATS]
    total = count = 0
    with torch.no_grad():
        for row in rows:
            labels = [
                id if answer else -100 for id, answer in zip(row["input_ids"], row["assistant_masks"], strict=True)
            ]
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([labels])
            total += model(ids, labels=labels, num_items_in_batch=1).loss.item()
            count += (labels != -100).sum().item()
    assert 0 < count < sum(len(row["input_ids"]) for row in rows) / 2
    assert losses(train(model, tokenizer, assistant_only_loss=True))[0] == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("options", [{"padding_free": True, "max_length": None}, {"packing": True, "max_length": 200}])
def test_packed_equals_padded(folder, beginner, options):
    tokenizer = AutoTokenizer.from_pretrained("my_model", trust_remote_code=True)
    padded, packed = (train(LSTMForCausalLM.from_pretrained("my_model"), tokenizer, **more) for more in ({}, options))
    assert losses(packed) == pytest.approx(losses(padded), rel=1e-4)
    for a, b in zip(padded.model.parameters(), packed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"output_layer": "adaptive"},
        {"output_layer": "mixture"},
        {"embedding_size": 16},
        {"activation_regularization": 2.0},
    ],
    ids=str,
)
def test_output_layers_that_trl_would_leave_out_are_refused(folder, chat_model, fields):
    _, tokenizer = chat_model
    model = LSTMForCausalLM(LSTMConfig(vocab_size=len(tokenizer), hidden_size=32, pad_token_id=0, **fields))
    with pytest.raises(ValueError, match=f"`{next(iter(fields))}=.*` would be left out"):
        train(model, tokenizer)


def history(trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_preferences(folder, chat_model, record):
    """DPO: every sky and meadow is to be red."""
    _, tokenizer = chat_model
    red = [{"role": "assistant", "content": "it is red"}]
    rows = [{"prompt": chat[:1], "chosen": red, "rejected": chat[1:]} for chat in CHATS if red != chat[1:]]
    arguments = DPOConfig("unused", max_steps=30, **PLAIN | {"learning_rate": 0.001})
    model = LSTMForCausalLM.from_pretrained("my_model")
    trainer = DPOTrainer(model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    losses, chosen = history(trainer, "loss"), history(trainer, "rewards/accuracies")
    assert losses[0] == pytest.approx(0.6931, abs=1e-4) and losses[-1] < 0.4 and chosen[-1] == 1
    record("trl", f"DPO, loss: {losses[0]:.3f} to {losses[-1]:.3f}")


def test_rewards(folder, chat_model, record):
    """GRPO: rewarded for the letter e, the model writes more of them."""
    _, tokenizer = chat_model

    def reward(completions, **kwargs) -> list[float]:
        return [completion[0]["content"].count("e") for completion in completions]

    options = {"max_steps": 10, "per_device_train_batch_size": 12, "num_generations": 6, "max_completion_length": 8}
    prompts = Dataset.from_list([{"prompt": chat[:1]} for chat in CHATS])
    model = LSTMForCausalLM.from_pretrained("my_model")
    trainer = GRPOTrainer(model, reward, GRPOConfig("unused", **PLAIN | options), prompts, processing_class=tokenizer)
    trainer.train()
    rewards = history(trainer, "reward")
    assert rewards[-1] > 3 * rewards[0]
    record("trl", f"GRPO, reward: {rewards[0]:.2f} to {rewards[-1]:.2f}")
