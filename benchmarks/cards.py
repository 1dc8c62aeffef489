# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What the cards of our models say beside what was measured: licence, language, data sets of the Hub, an example.

    python benchmarks/cards.py        # writes it into all cards of model_cards/; what was measured stays as it is

The weights get no wider licence than the data that they were trained on. The copies in `model_cards/` do without the
table of code, which is that of a folder, and of one version.
"""

import re
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import ModelCard

from hf_lstm.hub.cards import TrainingData
from hf_lstm.hub.folders import reading


ROOT = Path(__file__).resolve().parents[1]
CODE = (
    "The `README.md` of a folder lists the Python files in it that `trust_remote_code=True` runs, with their sizes, "
    'their SHA-256 and what they hold. Read them first, and pass `revision="..."` with the commit that you have read, '
    "so that nothing newer runs."
)


class Facts(NamedTuple):
    """Of a data set: the language of the texts, the licence, its id on the Hub, an example, and what to know of it."""

    language: str | list[str]
    license: str
    hub_id: str | None
    example: str
    about: str
    paper: str


NAMES = "Ada Lovelace met Charles Babbage in London."
TATOEBA = (
    "The pairs are of [Tatoeba](https://tatoeba.org), as Anki decks of manythings.org have them; each line of the "
    "files names its authors. Chinese is in both scripts, as it was written. No sentence of one split is in another, "
    "on either side, whatever its case, punctuation and script (`benchmarks/tatoeba.py`)."
)
MULTI30K = (
    "Raw text of task 1: of each image of Flickr30k one caption, and its translation. The repository states no "
    "licence, and the captions are meant for research."
)
MULTI30K_PAPER = (
    "Elliott et al. (2016). Multi30K: Multilingual English-German Image Descriptions. Workshop on Vision and Language."
)
RESEARCH = "It may be used for research, and not be passed on."
UNSTATED = "Its authors state no licence."
DATA_SETS = {
    "CoNLL-2003 English NER": Facts(
        "en",
        "other",
        "eriktks/conll2003",
        NAMES,
        f"The text is of the Reuters Corpus (RCV1). {RESEARCH}",
        "Tjong Kim Sang and De Meulder (2003). Introduction to the CoNLL-2003 Shared Task. CoNLL.",
    ),
    "WNUT-17 emerging entities": Facts(
        "en",
        "cc-by-4.0",
        "leondz/wnut_17",
        "just saw Ada Lovelace in London",
        "",
        "Derczynski et al. (2017). Results of the WNUT2017 Shared Task on Novel and Emerging Entity Recognition. "
        "WNUT.",
    ),
    "Resume NER (Chinese)": Facts(
        "zh",
        "unknown",
        None,
        "李明先生，北京大学经济学硕士。",
        UNSTATED,
        "Zhang and Yang (2018). Chinese NER Using Lattice LSTM. ACL.",
    ),
    "Weibo NER (Chinese), second version": Facts(
        "zh",
        "cc-by-sa-3.0",
        "hltcoe/weibo_ner",
        "李明在北京",
        "The licence is that of the annotation.",
        "Peng and Dredze (2015). Named Entity Recognition for Chinese Social Media with Jointly Trained "
        "Embeddings. EMNLP.",
    ),
    "UD English EWT 2.16, universal parts of speech": Facts(
        "en",
        "cc-by-sa-4.0",
        "universal-dependencies/universal_dependencies",
        NAMES,
        "The licence is that of the annotation.",
        "Silveira et al. (2014). A Gold Standard Dependency Corpus for English. LREC.",
    ),
    "R8": Facts(
        "en",
        "other",
        None,
        "the company said its profit for the first quarter rose to 12 mln dlrs",
        f"The texts are of Reuters-21578. {RESEARCH}",
        "Cardoso-Cachopo (2007). Improving Methods for Single-label Text Categorization. Lisbon.",
    ),
    "TREC-6 question types": Facts(
        "en",
        "unknown",
        "CogComp/trec",
        "Who wrote the first program ?",
        UNSTATED,
        "Li and Roth (2002). Learning Question Classifiers. COLING.",
    ),
    "SST-2, sentences": Facts(
        "en",
        "unknown",
        "SetFit/sst2",
        "a film to see twice .",
        UNSTATED,
        "Socher et al. (2013). Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank. EMNLP.",
    ),
    "Multi30k, English to German": Facts(
        ["en", "de"], "unknown", "bentrevett/multi30k", "A man rides a bike.", MULTI30K, MULTI30K_PAPER
    ),
    "Multi30k, German to English": Facts(
        ["de", "en"], "unknown", "bentrevett/multi30k", "Ein Mann fährt Rad.", MULTI30K, MULTI30K_PAPER
    ),
    "Tatoeba, English to Chinese": Facts(["en", "zh"], "cc-by-2.0", None, "I don't know where he is.", TATOEBA, ""),
    "Tatoeba, Chinese to English": Facts(["zh", "en"], "cc-by-2.0", None, "我不知道他在哪里。", TATOEBA, ""),
    "WikiText-2": Facts(
        "en",
        "cc-by-sa-3.0",
        "Salesforce/wikitext",
        "the",
        "",
        "Merity et al. (2017). Pointer Sentinel Mixture Models. ICLR.",
    ),
    "Penn Treebank, words": Facts(
        "en",
        "other",
        "ptb-text-only/ptb_text_only",
        "the",
        "The text is of the Linguistic Data Consortium (LDC99T42), whose licence it takes.",
        "Marcus, Santorini and Marcinkiewicz (1993). Building a Large Annotated Corpus of English: The Penn Treebank. "
        "Computational Linguistics 19(2).",
    ),
    "tinyshakespeare": Facts(
        "en",
        "apache-2.0",
        "karpathy/tiny_shakespeare",
        "ROMEO:",
        "The text is in the public domain.",
        "",
    ),
}
# The data of the cards; of the last, the language models that taggers read, several.
CARDS = {
    "conll2003": ["CoNLL-2003 English NER"],
    "conll2003_context": ["CoNLL-2003 English NER"],
    "conll2003_onnx": ["CoNLL-2003 English NER"],
    "wnut17": ["WNUT-17 emerging entities"],
    "resume_ner": ["Resume NER (Chinese)"],
    "weibo_ner": ["Weibo NER (Chinese), second version"],
    "ud_english_ewt": ["UD English EWT 2.16, universal parts of speech"],
    "r8": ["R8"],
    "trec": ["TREC-6 question types"],
    "trec_fine_tuned": ["TREC-6 question types"],
    "trec_from_scratch": ["TREC-6 question types"],
    "sst2": ["SST-2, sentences"],
    "multi30k_de_en": ["Multi30k, German to English"],
    "multi30k_en_de": ["Multi30k, English to German"],
    "wikitext2": ["WikiText-2"],
    "wikitext2_sgd": ["WikiText-2"],
    "ptb": ["Penn Treebank, words"],
    "ptb_awd": ["Penn Treebank, words"],
    "tinyshakespeare": ["tinyshakespeare"],
    "tinyshakespeare_90s": ["tinyshakespeare"],
    "context_forward": [
        "WikiText-2",
        "WNUT-17 emerging entities",
        "UD English EWT 2.16, universal parts of speech",
        "CoNLL-2003 English NER",
    ],
}
CARDS["context_backward"] = CARDS["context_forward"]
WITHOUT_TOKENIZER = {"wikitext2_sgd"}


def described(name: str, text: str) -> str:
    """
    A card with all that is known of it beside what was measured.

    Args:
        name (`str`): Its name, without `.md`.
        text (`str`): The card as `write_model_card` wrote it, or as it is in `model_cards/`.
    """
    card, titles = ModelCard(text), CARDS[name]
    sets, header = [DATA_SETS[title] for title in titles], card.data
    licenses = [each.license for each in sets]
    header.language, header.license = sets[0].language, licenses[0] if len(set(licenses)) == 1 else "other"
    header.datasets = [each.hub_id for each in sets if each.hub_id] or None
    example = sets[0].example if "context" not in name or "conll" in name else "The"
    header.widget = [{"text": example}] if name not in WITHOUT_TOKENIZER else None
    for result in header.eval_results or []:
        result.dataset_name = titles[0] if len(titles) == 1 else ", ".join(titles)
        result.dataset_type = (sets[0].hub_id if len(sets) == 1 else None) or result.dataset_name
    if header.eval_results:
        header.model_name = header.model_name or name
    body = card.text.lstrip("\n").replace(f'"./{name}"', f'"hf-lstm/{name}"')
    body = with_example(body, header.pipeline_tag, example)
    body = re.sub(
        r"(?:## Files and code\n\n)?`trust_remote_code=True` lets .*?(?=Weights are)",
        f"## Files and code\n\n{CODE} ",
        body,
        flags=re.S,
    )
    body = re.sub(r"(?<=## Data\n\n).*?(?=\n\n(\||##))", "\n\n".join(map(about, titles)), body, count=1, flags=re.S)
    body = re.sub(r"trained on DATA/[^ ]+(?: [^ ]*)?(?= with \[hf_lstm\])", f"trained on {', '.join(titles)}", body)
    body = re.sub(r"\n<!-- by create_model_card.*?-->\n", "", body, flags=re.S)
    known = [each.paper for each in sets if each.paper and f"- {each.paper}" not in body]
    body = body.rstrip("\n") + "".join(f"\n- {paper}" for paper in known) + "\n"
    return f"---\n{header.to_yaml()}\n---\n\n{body}"


def training_data(title: str) -> TrainingData:
    """The data of a card, for `write_model_card`."""
    facts = DATA_SETS[title]
    options = {"description": facts.about or None, "citation": facts.paper or None}
    return TrainingData(title, hub_id=facts.hub_id, license=facts.license, **options)


def about(title: str) -> str:
    """The sentences about a data set."""
    facts = DATA_SETS[title]
    name = f"[{title}](https://huggingface.co/datasets/{facts.hub_id})" if facts.hub_id else title
    licence = "" if "public domain" in facts.about else f", licence `{facts.license}`"
    return f"{name}{licence}. {facts.about}".rstrip()


def with_example(body: str, task: str, example: str) -> str:
    """The two snippets, each of which reads the example."""
    limited = "model.generate(**inputs)\n" in body
    lines = "\n".join(reading(task, example, limited))
    known = "".join(re.escape(line).replace('""', ".*") + r"\n" for line in reading(task, "", limited))
    loaded = "pipe" if "pipe(" in lines else "tokenizer"
    return re.sub(rf"(^{loaded} = .*\)\n)(?:{known})?", lambda found: f"{found[1]}{lines}\n", body, flags=re.M)


def check_in(name: str, card: str | ModelCard) -> None:
    """Put the card of a run, described, among those of this repository."""
    text = described(name, card if isinstance(card, str) else card.content)
    (ROOT / "model_cards" / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in CARDS:
        check_in(name, (ROOT / "model_cards" / f"{name}.md").read_text(encoding="utf-8"))
