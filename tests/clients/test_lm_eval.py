# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""EleutherAI's evaluation harness, by its command line, where hf_lstm is not installed."""

import json
import math
from pathlib import Path

import pytest
import torch
from chats import FACTS, QUESTIONS, run, snippets


MORE_TASKS = {
    "questions": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    },
    "answers": {
        "output_type": "generate_until",
        "doc_to_text": "<|user|>{{question}}<|assistant|>",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["</s>"], "max_gen_toks": 12, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    },
}


@pytest.fixture
def tasks(folder):
    """The task of the page and two of other kinds, over one file of questions."""
    choices = [f"it is {colour}" for colour in FACTS.values()]
    rows = [{"question": text, "choices": choices, "answer": i} for i, text in enumerate(QUESTIONS)]
    Path("colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (page,) = snippets("lm-eval", "yaml")
    Path("colours.yaml").write_text(page)
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "colours.jsonl"}}, "test_split": "test"}
    for name, task in MORE_TASKS.items():
        Path(f"{name}.yaml").write_text(json.dumps({"task": name} | data | task))  # which is YAML, too
    return choices


def evaluate(folder, batch_size: int) -> tuple[str, dict, dict]:
    """What the command of the page prints, its results and its samples, for all three tasks."""
    (command,) = snippets("lm-eval", "bash")
    command = command.replace("--tasks colours", "--tasks colours,questions,answers")
    command = command.replace("--batch_size 4", f"--batch_size {batch_size}")
    output = folder / f"evaluated_{batch_size}"
    printed = run(command.replace("evaluated", str(output)), folder, installed=False)
    (results,) = output.glob("**/results_*.json")
    samples = {}
    for file in output.glob("**/samples_*.jsonl"):
        rows = sorted(map(json.loads, file.read_text().splitlines()), key=lambda row: row["doc_id"])
        samples[file.name.split("_")[1]] = rows
    return printed, json.loads(results.read_text())["results"], samples


def log_likelihood(model, ids: list[int], start: int) -> float:
    """Of the tokens from `start` on, one at a time."""
    total, state = 0.0, None
    for i, token in enumerate(ids[:-1]):
        outputs = model(torch.tensor([[token]]), cache=state, use_cache=True)
        state = outputs.cache
        if i + 1 >= start:
            total += outputs.logits[0, -1].log_softmax(-1)[ids[i + 1]].item()
    return total


@torch.no_grad()
def test_lm_eval(folder, tasks, chat_model, record):
    model, tokenizer = chat_model
    printed, results, samples = evaluate(folder, batch_size=4)
    record("lm-eval", printed[printed.index("hf (") :])

    assert results["colours"]["acc,none"] == results["answers"]["exact_match,none"] == 1
    for row, question in zip(samples["colours"], QUESTIONS, strict=True):
        prompt = tokenizer(f"<|user|>{question}<|assistant|>")["input_ids"]
        expected = [log_likelihood(model, prompt + tokenizer(choice)["input_ids"], len(prompt)) for choice in tasks]
        assert [float(answer[0]) for answer in row["filtered_resps"]] == pytest.approx(expected, abs=1e-3)

    # A text is predicted from its first token on, after the token of the beginning.
    texts = [[tokenizer.bos_token_id, *tokenizer(question)["input_ids"]] for question in QUESTIONS]
    total = sum(log_likelihood(model, text, 1) for text in texts)
    words, size = sum(len(text.split()) for text in QUESTIONS), sum(len(text.encode()) for text in QUESTIONS)
    assert results["questions"]["word_perplexity,none"] == pytest.approx(math.exp(-total / words), rel=1e-4)
    assert results["questions"]["bits_per_byte,none"] == pytest.approx(-total / size / math.log(2), rel=1e-4)

    for row, question in zip(samples["answers"], QUESTIONS, strict=True):
        prompt = tokenizer(f"<|user|>{question}<|assistant|>", return_tensors="pt")
        generated = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt.input_ids.shape[1] :]
        assert row["filtered_resps"][0].strip() == tokenizer.decode(generated, skip_special_tokens=True)

    _, one_by_one, _ = evaluate(folder, batch_size=1)
    for task, figures in one_by_one.items():
        for name, value in figures.items():
            if isinstance(value, float):
                assert value == pytest.approx(results[task][name], rel=1e-5), (task, name)
