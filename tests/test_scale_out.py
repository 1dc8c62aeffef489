# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The training scripts in two processes, under torchrun and accelerate, with DDP and FSDP2; texts that are streams."""

import importlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import torch.distributed.run
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from families import PLAIN_TRAINING
from processes import ROOT, environment
from safetensors.torch import load_file
from test_examples import load
from transformers import HfArgumentParser, TrainingArguments

from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMTokenizer
from hf_lstm.data import encode_text, load_text, make_blocks
from hf_lstm.distributed import end_processes
from hf_lstm.training.stateful import StatefulTrainer, TokenStreams


LINES = [f"The cat number {i} sat on the mat. The dog saw the cat and left.\n" for i in range(100)]
WORDS = ["Ada/B-PER", "Lovelace/I-PER", "met/O", "Bob/B-PER", "in/O", "Paris/B-LOC"]
# Gradient descent, so that a factor in the gradients shows in the weights.
PLAIN = "--use_cpu --report_to none --disable_tqdm true --optim sgd --lr_scheduler_type constant --weight_decay 0"
PLAIN += " --logging_steps 1 --eval_strategy no --save_strategy no --dropout 0"
LANGUAGE_MODEL = "train_language_model --train_file text.txt --vocab_size 300 --block_size 16 --hidden_size 8"
LANGUAGE_MODEL += f" --prompts The --max_steps 6 --learning_rate 0.5 {PLAIN}"
TAGGER = "train_token_classification --train_file train.txt --validation_file dev.txt --hidden_size 6 --max_tokens 400"
TAGGER += f" --word_dropout 0 --learning_rate 0.3 {PLAIN} --eval_strategy epoch --save_strategy epoch"
CLASSIFIER = "train_text_classification --train_file rows.csv --hidden_size 6 --word_dropout 0 --max_steps 6"
CLASSIFIER += f" --learning_rate 0.3 --train_sampling_strategy random {PLAIN} --load_best_model_at_end false"
CLASSIFIER += " --eval_strategy epoch"
TRANSLATOR = "train_translation --train_file pairs.txt --test_file pairs.txt --target_lang de --hidden_size 8"
TRANSLATOR += " --embedding_size 8 --vocab_size 300 --num_beams 2 --generation_max_length 6 --pictures 0"
TRANSLATOR += (
    f" --learning_rate 1 --train_sampling_strategy random {PLAIN} --eval_strategy epoch --save_strategy epoch"
)
# What a script is called with; what one process adds, and what each of two: the batch of a step is the same. A step of
# the tagger takes all sentences, in two batches, since those by budget are others for another number of processes.
TASKS = {
    "blocks": (LANGUAGE_MODEL, "--per_device_train_batch_size 8", "--per_device_train_batch_size 4"),
    "stateful": (
        f"{LANGUAGE_MODEL} --stateful --reset_at document --num_hidden_layers 2 --gradient_accumulation_steps 2 "
        "--max_grad_norm 0.1",
        "--per_device_train_batch_size 4",
        "--per_device_train_batch_size 2",
    ),
    "stream": (
        f"{LANGUAGE_MODEL} --streaming --held_out_documents 9 --shuffle_buffer 20",
        "--per_device_train_batch_size 4",
        "--per_device_train_batch_size 2",
    ),
    "tagger": (f"{TAGGER} --num_train_epochs 5", "--gradient_accumulation_steps 2", ""),
    "averaged": (f"{TAGGER} --num_train_epochs 5 --average 0.5", "--gradient_accumulation_steps 2", ""),
    "translator": (
        f"{TRANSLATOR} --num_train_epochs 2",
        "--per_device_train_batch_size 8",
        "--per_device_train_batch_size 4",
    ),
    "classifier": (CLASSIFIER, "--per_device_train_batch_size 8", "--per_device_train_batch_size 4"),
}
LAUNCHERS = {
    "torchrun": "torch.distributed.run --nproc_per_node 2 --master_port PORT",
    "accelerate": "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
    "--dynamo_backend no --main_process_port PORT",
    "accelerate, fsdp": "accelerate.commands.launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy "
    "TRANSFORMER_BASED_WRAP --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no "
    "--main_process_port PORT",
}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return str(free.getsockname()[1])


def run(folder: Path, line: str, launcher: str | None = None) -> subprocess.CompletedProcess:
    """A script with its arguments, in one process or as a launcher says."""
    script, *arguments = line.split()
    start = LAUNCHERS[launcher].replace("PORT", free_port()).split() if launcher else []
    command = [sys.executable, *(["-m", *start] if start else []), str(ROOT / "examples" / f"{script}.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=machine(folder), capture_output=True, text=True, timeout=300)


def machine(folder: Path) -> dict[str, str]:
    """The environment of a machine that no command has used before; processes of one command share its caches."""
    return environment(Path(tempfile.mkdtemp(prefix="home-", dir=folder)), ROOT, TRANSFORMERS_VERBOSITY="error")


def finished(folder: Path, *arguments) -> str:
    """What a script printed that ended well."""
    result = run(folder, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def ended(running: list[subprocess.Popen]) -> str:
    """What commands said that ended well."""
    try:
        outputs = [process.communicate(timeout=200)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(outputs)
    return "".join(outputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    (folder / "text.txt").write_text("".join(LINES))
    for name, number in (("train", 13), ("dev", 4)):
        sentences = (WORDS[i % 4 :] + WORDS[: i % 3] for i in range(number))
        text = "\n".join("".join(word.replace("/", " ") + "\n" for word in sentence) for sentence in sentences)
        (folder / f"{name}.txt").write_text(text)
    pairs = (f"The dog {i} ran home.\tDer Hund {i} lief heim.\n" for i in range(80))
    (folder / "pairs.txt").write_text("".join(pairs))
    rows = (f"{'when' if i % 2 else 'where'} was it {i},{'time' if i % 2 else 'place'}\n" for i in range(40))
    (folder / "rows.csv").write_text("text,label\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    """Trains a task in one process, once; returns where."""

    @cache
    def train(task: str) -> Path:
        line, one, _ = TASKS[task]
        finished(folder, f"{line} {one} --output_dir {task}")
        return folder / task

    return train


def losses(path: Path) -> list[float]:
    history = json.loads((path / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def scores(path: Path) -> dict:
    """At the end, and of what was generated on the way."""
    results = json.loads((path / "all_results.json").read_text())
    history = json.loads((path / "trainer_state.json").read_text())["log_history"]
    results["history"] = {f"{entry['step']}": entry["eval_bleu"] for entry in history if "eval_bleu" in entry}
    return {name: value for name, value in results.items() if not name.endswith(("seconds", "runtime", "per_second"))}


def assert_equal_runs(one: Path, two: Path) -> None:
    torch.testing.assert_close(
        load_file(two / "model.safetensors"), load_file(one / "model.safetensors"), rtol=0, atol=2e-6
    )
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert max(losses(one)) - min(losses(one)) > 0.01  # something was learned


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, launcher, options",
    [
        ("blocks", "torchrun", ""),
        ("blocks", "accelerate, fsdp", ""),
        ("stateful", "accelerate", ""),
        ("stream", "torchrun", ""),
        ("stream", "torchrun", '--accelerator_config {"dispatch_batches":false}'),
        ("tagger", "torchrun", ""),
        ("averaged", "torchrun", ""),
        ("classifier", "accelerate", ""),
        ("translator", "torchrun", ""),
    ],
)
def test_two_processes_equal_one(folder, alone, task, launcher, options):
    one, (line, _, each) = alone(task), TASKS[task]
    name = "-".join(filter(str.isalnum, f"{task}{launcher}{options}"))
    output = finished(folder, f"{line} {each} {options} --output_dir {name}", launcher)
    two = folder / name
    assert output.count(" parameters, ") == 1  # one process speaks
    assert_equal_runs(one, two)
    assert json.loads(json.dumps(scores(two))) == approx(scores(one))
    assert {path.name for path in two.glob("*.py")} == {path.name for path in one.glob("*.py")}
    assert (two / "config.json").read_text() == (one / "config.json").read_text()
    card = (two / "README.md").read_text()
    assert "FSDP" not in card and ("ForTokenClassification" in card) == line.startswith("train_token")


def approx(value):
    """`pytest.approx` of the numbers in nested dicts."""
    if isinstance(value, dict):
        return {name: approx(each) for name, each in value.items()}
    return pytest.approx(value, rel=1e-4) if isinstance(value, float) else value


@pytest.mark.slow
@pytest.mark.parametrize("task, launcher, options", [("blocks", "torchrun", "--fsdp"), ("stream", "torchrun", "")])
def test_two_processes_resume(folder, task, launcher, options):
    """From the middle, to the same end: shards of weights and of the optimizer (FSDP2), and the place in a stream."""
    line, _, each = TASKS[task]
    line = f"{line} {each} {options} --optim adamw_torch --learning_rate 1e-2 --save_strategy steps --save_steps 3"
    finished(folder, f"{line} --output_dir whole-{task} --save_total_limit 2", launcher)
    checkpoint = f"whole-{task}/checkpoint-3"
    finished(folder, f"{line} --output_dir resumed-{task} --resume_from_checkpoint {checkpoint}", launcher)
    assert_equal_runs(folder / f"whole-{task}", folder / f"resumed-{task}")


REFUSED = {
    f"{TASKS['averaged'][0]} --output_dir averaged-refused": "FSDP keep weights in pieces",
    f"{TASKS['tagger'][0]} --num_hidden_layers 1 --lm_loss_coef 0.1 --output_dir tagger-refused": (
        "`lm_loss_coef` is 0.1, whose loss reads the whole"
    ),
    f"{LANGUAGE_MODEL} --per_device_train_batch_size 4 --gradient_flow 1 --output_dir flow-refused": (
        "The weights are in pieces (FSDP), through which no gradient is followed"
    ),
}
REFUSALS = """
import sys
from pathlib import Path
from test_examples import load

for line in Path(sys.argv[1]).read_text().splitlines():
    script, *arguments = line.split()
    try:
        load(script).main(arguments)
    except ValueError as error:
        print("REFUSED", error)
"""


@pytest.mark.slow
def test_shards_refuse(folder):
    """Where accelerate was told to shard, too, of which the arguments say nothing."""
    (folder / "refused.py").write_text(REFUSALS)
    (folder / "refused.txt").write_text("\n".join(REFUSED))
    start = LAUNCHERS["accelerate, fsdp"].replace("PORT", free_port()).split()
    command = [sys.executable, "-m", *start, "refused.py", "refused.txt"]
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    result = subprocess.run(
        command, cwd=folder, env=machine(folder) | paths, capture_output=True, text=True, timeout=300
    )
    for message in REFUSED.values():
        assert result.stdout.count(f"{message}") == 2, result.stdout + result.stderr


# The end of a process

ENDING = """
import atexit, os, time
import torch
from hf_lstm.distributed import end_processes

torch.distributed.init_process_group("gloo")
held = torch.distributed.distributed_c10d._get_default_group()  # as by the mesh of FSDP
atexit.register(print, "exit functions ran")
time.sleep(float(os.environ["RANK"]))  # so that the first waits, and what follows runs in its thread of gloo
future = torch.distributed.all_reduce(torch.ones(1), async_op=True).get_future()
future.add_done_callback(lambda _: time.sleep(1))
future.wait()
print("work done")
end_processes()
"""


@pytest.mark.slow
def test_end_processes_while_a_thread_is_in_python(folder):
    """Without `end_processes`, or with `destroy_process_group` in its place, the first process is aborted."""
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    command, output = [sys.executable, "-c", ENDING], {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    ranks = [machine(folder) | group | {"RANK": rank} for rank in "01"]
    assert ended([subprocess.Popen(command, env=env, text=True, **output) for env in ranks]) == (
        "work done\nexit functions ran\n" * 2
    )


def test_end_processes_alone():
    end_processes()  # nothing happens


# The page about it

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
BLOCKS = {name: re.findall(rf"^```{name}\n(.*?)^```$", PAGE, flags=re.M | re.S) for name in ("bash", "yaml", "python")}
COMMANDS = "".join(BLOCKS["bash"]).splitlines()
MACHINES = [line for line in COMMANDS if "--nnodes" in line]  # one command in two places
PROGRAMS = {"torchrun": torch.distributed.run.get_args_parser, "accelerate": launch_command_parser}


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_page(line, tmp_path, monkeypatch):
    """The launcher knows its options and the script its own; what they do is tested above."""
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(line)
    if program in PROGRAMS:
        if program == "accelerate":
            assert arguments.pop(0) == "launch"
        launch = PROGRAMS[program]().parse_args(arguments)
        if getattr(launch, "config_file", None):
            write_settings(tmp_path)
            assert load_config_from_file(launch.config_file).num_processes == 8
        place = arguments.index(launch.training_script)
        assert arguments[place + 1 :] == launch.training_script_args
        assert all(each.startswith("-") or arguments[i].startswith("-") for i, each in enumerate(arguments[1:place]))
        arguments = arguments[place:]
    else:
        assert program == "python"
    script, *options = arguments
    read, parse = [], HfArgumentParser.parse_args_into_dataclasses

    def stop(self, args=None, **kwargs):
        read.append(parse(self, args, **kwargs))
        raise InterruptedError

    monkeypatch.setattr(HfArgumentParser, "parse_args_into_dataclasses", stop)
    with pytest.raises(InterruptedError):
        load(re.fullmatch(r"examples/(\w+)\.py", script)[1]).main([*options, "--use_cpu"])
    assert any(isinstance(part, TrainingArguments) for part in read[0])


def write_settings(folder: Path, processes: int = 8) -> None:
    """The files of the page for accelerate."""
    for code in BLOCKS["yaml"]:
        name = re.match(r"# (\w+\.yaml)\n", code)[1]
        (folder / name).write_text(re.sub(r"num_processes: \d+", f"num_processes: {processes}", code))


def started(folder: Path, line: str, port: str) -> subprocess.Popen:
    """A command of the page for several machines, on this one: a process for each, with small sizes."""
    line = line.replace("node0", "localhost").replace("29500", port)
    _, *arguments = shlex.split(re.sub(r"--nproc_per_node \d+", "--nproc_per_node 1", line))
    place = next(i for i, argument in enumerate(arguments) if argument.startswith("examples/"))
    arguments[place] = str(ROOT / arguments[place])
    small = "--max_steps 2 --hidden_size 8 --use_cpu --report_to none --disable_tqdm true --vocab_size 300"
    command = [sys.executable, "-m", "torch.distributed.run", *arguments, *small.split(), "--block_size", "16"]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=machine(folder), **output)


@pytest.mark.slow
def test_two_machines(tmp_path):
    (tmp_path / "my_text.txt").write_text("".join(LINES * 2))
    assert [re.search(r"--node_rank (\d)", line)[1] for line in MACHINES] == ["0", "1"]
    port = free_port()
    output = ended([started(tmp_path, line, port) for line in MACHINES])
    assert output.count(" parameters, ") == 1
    run = tmp_path / re.search(r"^Model, tokenizer.* are in (\S+)\.$", output, flags=re.M)[1]
    assert json.loads((run / "trainer_state.json").read_text())["global_step"] == 2
    assert len(re.findall(r"^\{'loss'", output, flags=re.M)) == 2 * len(MACHINES)
    assert len(list((run / "checkpoint-2").glob("rng_state_*.pth"))) == 2


@pytest.mark.slow
def test_settings_of_the_page_for_accelerate(tmp_path):
    """With two processes; those for FSDP are read like them."""
    (tmp_path / "my_text.txt").write_text("".join(LINES * 2))
    write_settings(tmp_path, processes=2)
    (line,) = (line for line in COMMANDS if "ddp.yaml" in line)
    _, _, *arguments = shlex.split(line.replace("examples/", f"{ROOT}/examples/"))
    small = "--max_steps 2 --hidden_size 8 --use_cpu --report_to none --disable_tqdm true --vocab_size 300"
    start = ["-m", "accelerate.commands.launch", "--main_process_port", free_port(), "--dynamo_backend", "no"]
    command = [sys.executable, *start, *arguments, *small.split(), "--block_size", "16"]
    subprocess.run(command, cwd=tmp_path, env=machine(tmp_path), check=True, capture_output=True, timeout=200)
    (run,) = tmp_path.glob("runs/*/trainer_state.json")
    assert json.loads(run.read_text())["global_step"] == 2
    assert len(list((run.parent / "checkpoint-2").glob("rng_state_*.pth"))) == 2


def test_python_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = BLOCKS["python"]
    namespace = {"__name__": "page"}
    exec(compile(code, "scaling.md", "exec"), namespace)
    assert namespace["model"].training


# Streams


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / "text.txt"
    path.write_text("".join(LINES))
    return path


@pytest.mark.parametrize("block_size", [1, 7, 16, 500])
def test_blocks_of_a_stream_are_those_of_the_text(text, block_size):
    whole, stream = load_text(text, text), load_text(text, text, streaming=True)
    assert isinstance(stream["train"], datasets.IterableDataset) and isinstance(stream["validation"], datasets.Dataset)
    tokenizer = LSTMTokenizer.train_from_iterator(LINES, vocab_size=300, show_progress=False)
    expected = make_blocks(encode_text(whole["train"], tokenizer), block_size)
    blocks = list(make_blocks(encode_text(stream["train"], tokenizer), block_size))
    assert len(blocks) == len(expected)
    for name in ("input_ids", "labels"):
        assert [block[name].tolist() for block in blocks] == list(expected[name])


@pytest.mark.parametrize("name, column", [("rows.jsonl", "line"), ("rows.csv", "text")])
def test_a_stream_holds_out_its_beginning(text, name, column):
    path = text.parent / name
    lines = [line.strip() for line in LINES]
    rows = (
        json.dumps({"id": 1, column: line}) if "jsonl" in name else f'1,"{line}"'
        for line in [lines[0], "", *lines[1:]]
    )
    path.write_text("\n".join(([] if "jsonl" in name else [f"id,{column}"]) + list(rows)) + "\n")
    documents = load_text(path, text_column=column, streaming=True, held_out_documents=10)
    assert documents["validation"]["text"] == lines[:10]
    assert [row["text"] for row in documents["train"]] == lines[10:]
    assert [row["text"] for row in documents["train"]] == lines[10:]  # as often as one likes


def test_streams_refuse(text):
    for number in (0, len(LINES), 1000):
        with pytest.raises(ValueError, match=f"`held_out_documents` is {number}, and has to leave something"):
            load_text(text, streaming=True, held_out_documents=number)
    with pytest.raises(ValueError, match=r"`text_column` is 'txt', but the train data has \['text'\]"):
        load_text(text, text_column="txt", streaming=True)
    tokenizer = LSTMTokenizer.train_from_iterator(LINES, vocab_size=300, show_progress=False)
    tokens = encode_text(load_text(text, text, streaming=True)["train"], tokenizer)
    with pytest.raises(ValueError, match=r"`block_size` is 10000 and the text has \d+ tokens"):
        list(make_blocks(tokens, 10_000))
    line = ["--train_file", str(text), "--streaming", "--use_cpu", "--output_dir", str(text.parent / "run")]
    with pytest.raises(ValueError, match="`max_steps` is -1 with `streaming`"):
        load("train_language_model").main(line)
    with pytest.raises(ValueError, match=r"`stateful` does not go with `streaming`.*numpy.memmap"):
        load("train_language_model").main([*line, "--max_steps", "2", "--stateful"])


def test_training_on_a_stream(text, monkeypatch):
    """The tokenizer learns from the first documents of what is trained on; the stream begins anew when it ends."""
    learned, train = [], LSTMTokenizer.train_from_iterator
    from_iterator = lambda texts, *args, **kwargs: train(learned.extend(texts) or learned, *args, **kwargs)  # noqa: E731
    monkeypatch.setattr(LSTMTokenizer, "train_from_iterator", from_iterator)
    options = "--streaming --held_out_documents 9 --tokenizer_documents 30 --shuffle_buffer 50 --max_steps 40"
    options += " --vocab_size 300 --block_size 16 --hidden_size 8 --use_cpu --report_to none --disable_tqdm true"
    line = ["--train_file", str(text), "--output_dir", str(text.parent / "run"), "--prompts", "The"]
    load("train_language_model").main([*line, *options.split()])
    assert learned == [line.strip() for line in LINES[9:39]]
    results = json.loads((text.parent / "run" / "eval_results.json").read_text())
    assert set(results["perplexity"]["validation"]) == {"LSTM, windows of 16", "LSTM, state carried"}
    assert set(results["tokens"]) == {"validation"} and results["epochs"] > 1


def test_stateful_training_leaves_a_text_on_disk(tmp_path):
    tokens = np.memmap(tmp_path / "tokens.bin", dtype=np.int64, mode="w+", shape=(1_000,))
    tokens[:] = np.arange(1_000) % 10
    streams = TokenStreams(tokens, 2, 10)
    assert np.shares_memory(streams.tokens.numpy(), tokens)
    model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    arguments = TrainingArguments(str(tmp_path), max_steps=2, **PLAIN_TRAINING)
    StatefulTrainer(model, arguments, train_dataset=tokens, sequence_length=10).train()


@pytest.mark.slow
def test_the_measurement_of_memory(tmp_path):
    """At sizes that measure nothing."""
    line = "--megabytes 1 --read 1 --max_steps 2 --output"
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "streaming.py"),
        *line.split(),
        str(tmp_path / "figures.json"),
    ]
    subprocess.run(command, env=machine(tmp_path), check=True, capture_output=True, timeout=200)
    results = json.loads((tmp_path / "figures.json").read_text())
    for way, limit in (("training", 900), ("reading", None)):
        (row,) = results[way]
        assert row["text_MiB"] == 1 and row["limit_MiB"] == limit and 50 < row["peak_MiB"] < 2_000


def test_memory_that_does_not_suffice_is_told(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measured = importlib.import_module("streaming").measured
    command = [sys.executable, "-c", "bytearray(300 * 2**20)"]
    assert measured(command, 400)["peak_MiB"] > 300
    with pytest.raises(RuntimeError, match="MemoryError"):
        measured(command, 200)
