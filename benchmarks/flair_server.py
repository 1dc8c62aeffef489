# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A tagger of flair that works on command, for `against_flair.py`. It is run by an interpreter of its own, where flair is
installed: flair needs an older transformers than ours.

Reads from its standard input one line of JSON, the sizes and the sentences, and then a line for each run, "train" or
"tag"; answers each line with one of its own.
"""

import json
import os
import sys

import torch


# flair prints and logs where it will: what it writes goes to standard error, the answers to what was standard output.
channel = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import flair  # noqa: E402
from flair.data import Dictionary, Sentence  # noqa: E402
from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings  # noqa: E402
from flair.models import SequenceTagger  # noqa: E402


def answer(line: str) -> None:
    channel.write(line + "\n")
    channel.flush()


task = json.loads(sys.stdin.readline())
torch.set_num_threads(task["threads"])
flair.device = torch.device("cpu")
characters, words, labels = Dictionary(), Dictionary(), Dictionary(add_unk=False)
for dictionary, items in ((characters, task["characters"]), (words, task["words"]), (labels, task["labels"])):
    for item in items:
        dictionary.add_item(item)
embeddings = [
    OneHotEmbeddings(words, embedding_length=task["embedding_size"]),
    CharacterEmbeddings(characters, task["char_embedding_size"], task["char_hidden_size"] // 2),
]
tagger = SequenceTagger(
    StackedEmbeddings(embeddings),
    labels,
    "tag",
    hidden_size=task["hidden_size"],
    reproject_embeddings=False,
    word_dropout=0.0,
    locked_dropout=0.0,
)
sentences = [Sentence(tokens) for tokens in task["sentences"]]
for sentence, tags in zip(sentences, task["tags"], strict=True):
    for token, tag in zip(sentence, tags, strict=True):
        token.add_label("tag", tag)
batches = [sentences[i : i + task["rows"]] for i in range(0, len(sentences), task["rows"])]
answer(flair.__version__)

for line in sys.stdin:
    if line.strip() == "train":
        tagger.train()
        for batch in batches:
            tagger.zero_grad()
            tagger.forward_loss(batch)[0].backward()
            for sentence in batch:
                sentence.clear_embeddings()
    else:
        tagger.eval()
        tagger.predict([Sentence(tokens) for tokens in task["sentences"]], mini_batch_size=task["rows"])
    answer("done")
