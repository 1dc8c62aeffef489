# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A translation system of others that works on command, for `translation_peers.py`. It is run by an interpreter of its
own, where joeynmt and OpenNMT-py are installed, as `translation_server.py joeynmt|opennmt`.

Reads from its standard input one line of JSON, the task, and then lines that name a method of the class below and
what it takes; answers each line with one of its own.
"""

import functools
import importlib.metadata
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch


# Both log where they will: what they write goes to standard error, the answers to what was standard output.
channel = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # their checkpoints are older than torch's caution
SIDES = ("source", "target")


class JoeyNMT:
    """
    Its recipe for small data, `configs/iwslt_deen_bahdanau.yaml` in its repository, with which its README reports 8
    hours on a CPU: LSTMs of 256, Luong's attention, Adam 1e-3 that halves where an epoch brings nothing, 64 sentences.
    Changed: two layers in the decoder, an epoch of these data, the beam, no limit on lengths.
    """

    package = "joeynmt"

    def __init__(self, task: dict):
        from joeynmt import builders, config, prediction, training

        # Its decoder calls `nn.LSTM` for each step, where oneDNN would pack the weights anew; its encoder reads packed
        # sequences, which oneDNN does not take anyway.
        torch.backends.mkldnn.enabled = False
        plateau = builders.ReduceLROnPlateau  # has lost an argument that joeynmt gives, and that changed nothing
        builders.ReduceLROnPlateau = lambda verbose, **options: plateau(**options)
        self.folder, self.predict = Path(task["folder"], task["name"]), prediction.predict
        self.folder.mkdir(parents=True, exist_ok=True)
        self.args = config.parse_global_args(self._configuration(task))
        self.model, data, self.valid, self.test = prediction.prepare(self.args, rank=0, mode="train")
        if (self.folder / "best.ckpt").exists():
            self.model.load_state_dict(torch.load(self.folder / "best.ckpt")["model_state"])
        self.trainer = training.TrainManager(
            rank=0,
            model=self.model,
            model_dir=self.folder,
            device=self.args.device,
            autocast=self.args.autocast,
            seed=self.args.seed,
            train_args=self.args.train,
            dev_args=config.set_validation_args(self.args.test),
        )
        ends = {"pad_index": self.model.pad_index, "eos_index": self.model.eos_index}
        self.data = data
        self.batches = [data.collate_fn([data[i] for i in batch], **ends) for batch in task["batches"]]

    def _configuration(self, task: dict) -> dict:
        folder, size = task["folder"], task["size"]
        side = {"level": "word", "voc_file": f"{folder}/vocabulary.txt"}
        part = {"type": "recurrent", "rnn_type": "lstm", "embeddings": {"embedding_dim": size}, "hidden_size": size}
        return {
            "name": task["name"],
            "model_dir": str(self.folder),
            "use_cuda": False,
            "random_seed": task["seed"],
            "data": {name: f"{folder}/{name}" for name in ("train", "dev", "test")}
            | {short: side | {"lang": name} for short, name in zip(("src", "trg"), SIDES, strict=True)},
            "testing": {"beam_size": task["beams"], "beam_alpha": 1.0, "batch_size": 64}
            | {"max_output_length": task["longest"]},
            "training": {
                "optimizer": "adam",
                "learning_rate": 1e-3,
                "learning_rate_min": 5e-5,
                "batch_size": 64,
                "scheduling": "plateau",
                "patience": 0,
                "decrease_factor": 0.5,
                "early_stopping_metric": "ppl",
                "epochs": 1000,
                "validation_freq": task["steps_an_epoch"],
                "logging_freq": task["steps_an_epoch"],
                "print_valid_sents": [],
            },
            "model": {
                "encoder": part | {"bidirectional": True, "num_layers": 1, "dropout": 0.0},
                "decoder": part
                | {"num_layers": 2, "dropout": 0.2, "hidden_dropout": 0.2}
                | {"input_feeding": True, "init_hidden": "last", "attention": "luong"},
            },
        }

    def fit(self, minutes: float) -> None:
        def enough(*_):  # after the step under way one more validation, and the end
            self.trainer.args = self.trainer.args._replace(max_updates=0, validation_freq=1)

        signal.signal(signal.SIGALRM, enough)
        signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
        self.trainer.train_and_validate(self.data, self.valid)

    def train(self) -> None:
        for batch in self.batches:
            self.trainer._train_step(batch)
            self.trainer.optimizer.step()
            self.model.zero_grad()

    def translate(self) -> list[str]:
        args = self.args
        return self.predict(self.model, self.test, args.device, 0, args=args.test, autocast=args.autocast)[2]


class OpenNMT:
    """
    Its defaults (general attention, input feeding, dropout 0.3, 64 sentences of like length) in the sizes of the task,
    with a bidirectional encoder and Adam at the rate that its help recommends. Encoder and decoder of equal size and
    number of layers are all that it can do.
    """

    package = "OpenNMT-py"

    def __init__(self, task: dict):
        from onmt import model_builder, opts, train_single, trainer
        from onmt.inputters.text_utils import textbatch_to_tensor
        from onmt.utils.optimizers import Optimizer
        from onmt.utils.parse import ArgumentParser

        self.folder, self.task, data = Path(task["folder"], task["name"]), task, Path(task["folder"])
        files = {
            name: {f"path_{short}": f"{data}/{file}.{side}" for short, side in zip(("src", "tgt"), SIDES, strict=True)}
            for name, file in (("train", "train"), ("valid", "dev"))
        }
        options = {
            "data": json.dumps(files),
            "save_model": self.folder / "model",
            "encoder_type": "brnn",
            "layers": 2,
            "hidden_size": task["size"],
            "word_vec_size": task["size"],
            "input_feed": int(task["input_feeding"]),
            "optim": "adam",
            "learning_rate": 1e-3,
            "num_workers": 0,
            "bucket_size": 64 * task["steps_an_epoch"],  # more would mix copies of a sentence, and drop them
            "seed": task["seed"],
        } | {f"{short}_vocab": data / "vocabulary.txt" for short in ("src", "tgt")}
        self.opt = opt = _parsed(ArgumentParser(), opts.train_opts, options)
        ArgumentParser.validate_train_opts(opt)
        ArgumentParser.update_model_opts(opt)
        ArgumentParser.validate_model_opts(opt)
        train_single.configure_process(opt, -1)
        _, self.vocabs, self.transforms = train_single._init_train(opt)
        self.model = model_builder.build_model(opt, opt, self.vocabs, None, -1)
        self.optimizer = Optimizer.from_opt(self.model, opt)
        self.trainer = trainer.build_trainer(opt, -1, self.model, self.vocabs, self.optimizer)
        pairs = list(zip(*((data / f"train.{side}").read_text().splitlines() for side in SIDES), strict=True))
        self.batches = []
        for batch in task["batches"]:
            examples = [{"src": {"src": pairs[i][0]}, "tgt": {"tgt": pairs[i][1]}} for i in batch]
            self.batches += textbatch_to_tensor(self.vocabs, examples, torch.device("cpu"), is_train=True)

    def fit(self, minutes: float) -> None:
        from onmt.constants import CorpusTask
        from onmt.inputters.dynamic_iterator import build_dynamic_dataset_iter
        from onmt.models import build_model_saver

        opt, end = self.opt, time.monotonic() + 60 * minutes
        self.trainer.model_saver = build_model_saver(opt, opt, self.model, self.vocabs, self.optimizer, -1)
        train, valid = (
            build_dynamic_dataset_iter(opt, self.transforms, self.vocabs, task=task)
            for task in (CorpusTask.TRAIN, CorpusTask.VALID)
        )
        batches = iter(train)
        in_time = iter(lambda: next(batches) if time.monotonic() < end else None, None)
        self.trainer.train(in_time, 0, 0, valid, self.task["steps_an_epoch"])

    def train(self) -> None:
        self.trainer.train(iter(self.batches), 0, 0, None, sys.maxsize)

    def translate(self) -> list[str]:
        return [best for best, *_ in self._engine.infer_file()[1]]

    @functools.cached_property
    def _engine(self):
        """Its translator with the weights that were saved last."""
        from onmt import opts
        from onmt.inference_engine import InferenceEnginePY
        from onmt.utils.parse import ArgumentParser

        last = max(self.folder.glob("model_step_*.pt"), key=lambda path: path.stat().st_mtime)
        options = {"model": last, "src": f"{self.task['folder']}/test.source", "output": os.devnull}
        options |= {"beam_size": self.task["beams"], "batch_size": 64, "max_length": self.task["longest"]}
        opt = _parsed(ArgumentParser(), opts.translate_opts, options)
        ArgumentParser.validate_translate_opts(opt)
        ArgumentParser._get_all_transform_translate(opt)
        ArgumentParser._validate_transforms_opts(opt)
        ArgumentParser.validate_translate_opts_dynamic(opt)
        return InferenceEnginePY(opt)


def _parsed(parser, options_of, options: dict):
    options_of(parser)
    return parser.parse_args([word for name, value in options.items() for word in (f"--{name}", str(value))])


def answer(line: str) -> None:
    channel.write(line + "\n")
    channel.flush()


if __name__ == "__main__":
    kind, task = {"joeynmt": JoeyNMT, "opennmt": OpenNMT}[sys.argv[1]], json.loads(sys.stdin.readline())
    torch.set_num_threads(task["threads"])
    peer = kind(task)
    millions = sum(weights.numel() for weights in peer.model.parameters()) / 1e6
    answer(f"{kind.package} {importlib.metadata.version(kind.package)}, {millions:.1f} M")
    for line in sys.stdin:
        name, *values = line.split()
        answer(json.dumps(getattr(peer, name)(*map(float, values))))
